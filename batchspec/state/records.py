"""What the state file holds, as values. Their number grows with jobs and open batches, not rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from batchspec.ids import BatchId, FileId, JobAddress, LaneId, RemoteId
from batchspec.messages import Outcome, Usage

BatchPhase = Literal["intended", "submitted", "ended", "collected", "rejected", "lost"]
"""intended: recorded, perhaps created · submitted: the provider has it · ended: results can be
read · collected: every member is settled · rejected: not created, or failed validation · lost: the
provider does not know it any more."""

CancelReason = Literal["unwanted", "requested", "double"]
"""Why a batch is cancelled. unwanted: no row wants any of its members · requested: a person asked ·
double: another batch has the same members."""

ConversationPhase = Literal["pending", "batched", "tools", "final"]
"""pending: the next turn can be sent · batched: in a batch · tools: calls are to be run · final."""

Via = Literal["batch", "live"]
"""batch: by the provider's batch API · live: one by one, at its live endpoint."""

LoneRequest = Literal["batch", "live", "error"]
"""What becomes of requests that are too few for a batch: batch: sent all the same · live: asked one
by one, at the live endpoint · error: they end as failed."""

HoldKind = Literal["full", "probe"]
"""full: the provider's queue of the model was full; nothing is sent until a batch of ours ends ·
probe: it was, so that one batch is tried at a time, until all that waits is sent."""

RemoteStatus = Literal[
    "validating",
    "in_progress",
    "finalizing",
    "completed",
    "failed",
    "expired",
    "cancelling",
    "cancelled",
    "unknown",
]
"""The provider's words; `unknown` is any word not in the list and means: not ended."""


TERMINAL: frozenset[RemoteStatus] = frozenset({"completed", "failed", "expired", "cancelled"})
"""Statuses that do not change any more."""

OPEN: frozenset[BatchPhase] = frozenset({"intended", "submitted", "ended"})
"""Phases of batches that something is still to be done about."""


TIDY_TRIES = 4
"""Tries to delete an input file before it is left to `state gc`."""


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """The provider's counts, for display only; results are never derived from them."""

    total: int = 0
    completed: int = 0
    failed: int = 0


_AT = {"openai-responses": "openai"}
"""Providers that are another one's account at another endpoint."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One provider, endpoint and model: requests of a lane may share a batch."""

    id: LaneId
    provider: str
    endpoint: str
    model: str

    @property
    def queue(self) -> tuple[str, str]:
        """Return whose queue of which model its batches are in."""
        return _AT.get(self.provider, self.provider), self.model


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRecord:
    """One batch, from the intent to its last reply. Times are unix seconds."""

    id: BatchId
    lane: LaneId
    phase: BatchPhase = "intended"
    members: int = 0
    bytes: int = 0
    data: int = 0
    """Bytes of its lines that are no prompt, see `state.tokens`."""
    jobs: Mapping[JobAddress, int] = field(default_factory=dict[JobAddress, int])
    intended_at: float = 0.0
    input_file_id: FileId | None = None
    create_at: float | None = None
    """When the last create call was about to be made; None: no create whose answer is unknown."""
    looked_at: float | None = None
    """When a create without an answer was first looked for in vain."""
    creates: int = 0
    """How often a create was tried."""
    remote_id: RemoteId | None = None
    status: RemoteStatus | None = None
    counts: RequestCounts = RequestCounts()
    submitted_at: float | None = None
    output_file_id: FileId | None = None
    error_file_id: FileId | None = None
    ended_at: float | None = None
    """When a terminal status was first seen."""
    next_at: float = 0.0
    """When to look again; a schedule while waiting, a backoff after errors."""
    failures: int = 0
    """Errors in a row while talking about this batch."""
    note: str | None = None
    """The last error or the provider's reason, for people."""
    uploads: int = 0
    """How often an upload of the input file was begun."""
    cancel_at: float | None = None
    """Since when it is to be cancelled; None: it is not."""
    cancel_reason: CancelReason | None = None
    cancelled_at: float | None = None
    """When the provider took the cancellation."""
    double_of: BatchId | None = None
    """The batch with the same members; this one is cancelled and its results are never read."""
    account: str | None = None
    """Whose it is: where the provider is, and a hash of the key."""
    via: Via = "batch"
    imported: bool = False
    """Made by hand and adopted; its members have custom_ids of their own."""
    tidied_at: float | None = None
    """When its input file was deleted at the provider."""
    purged_at: float | None = None
    """When its result files were deleted at the provider."""
    unread: bool = False
    """Whether it was collected though its results were not read, or not all of them."""
    traceparent: str | None = None
    """The span in which it was put together, as W3C writes it."""

    @property
    def lines(self) -> int:
        """Return how many requests the provider runs in it; of an imported one not all are ours."""
        return max(self.members, self.counts.total) if self.imported else self.members

    @property
    def to_cancel(self) -> bool:
        """Tell whether the provider is still to be told that this batch is to stop."""
        return (
            self.cancel_at is not None
            and self.cancelled_at is None
            and self.status not in {*TERMINAL, "cancelling"}
        )


@dataclass(frozen=True, slots=True)
class LaneRecord:
    """What waits in a lane."""

    lane: Lane
    pending: int
    """Conversations whose next turn can be sent now."""
    tools: int
    """Conversations with tool calls to run."""
    hold_until: float = 0.0
    hold_reason: str | None = None
    holds: int = 0
    """Holds in a row; reset when a batch of the lane completes."""
    hold_kind: HoldKind | None = None
    max_bytes: int | None = None
    """Learned: larger input files are refused."""
    head: int = 0
    """Bytes of the line that has waited longest, as far as they are prompt."""
    later: int = 0
    """Conversations that wait for their time before they are sent again."""
    ready_at: float | None = None
    """When the first of them can be sent."""
    proven: bool = False
    """Whether its model answered a request of a batch before."""


@dataclass(frozen=True, slots=True)
class JobTools:
    """A job with tool calls to run."""

    job: JobAddress
    conversations: int


@dataclass(frozen=True, slots=True)
class MeanGrade:
    """The mean of some items' grades; an item without a grade does not count.

    Attributes:
        mean: Of the grades.
        items: How many have one.
        low: Lower end of the confidence interval (95 %); None: nobody can tell.
        high: Upper end.
    """

    mean: float
    items: int
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.mean:.3g}"
        return f"{self.mean:.3g} [{self.low:.3g}, {self.high:.3g}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress:
    """How far a job is; the numbers count items."""

    address: JobAddress
    model: str
    items: int = 0
    phases: Mapping[ConversationPhase, int] = field(default_factory=dict[ConversationPhase, int])
    outcomes: Mapping[Outcome, int] = field(default_factory=dict[Outcome, int])
    usage: Usage = Usage()
    cost: Decimal | None = Decimal(0)
    """US dollars paid, each shared conversation counted once; None where a price is unknown."""
    turns: int = 0
    """Replies received so far."""
    removed: bool = False
    resumable: int = 0
    """Items that ended without an answer and can go on from the turns they paid for."""
    grade: MeanGrade | None = None
    """As the last apply that came to its end found it; None: it grades nothing, or there are newer
    answers."""

    @property
    def final(self) -> int:
        """Return how many items have their outcome."""
        return self.phases.get("final", 0)

    @property
    def failed(self) -> int:
        """Return how many items ended in any other way than succeeded."""
        return sum(n for outcome, n in self.outcomes.items() if outcome != "succeeded")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """Who may write. Times are unix seconds."""

    holder: str
    host: str
    pid: int
    operation: str
    since: float
    heartbeat: float
    fence: int
    watcher: int | None = None
    """The process that runs the holder as its engine."""
    watching_since: float | None = None

    @property
    def leader(self) -> int:
        """Return the process to be told to stop."""
        return self.pid if self.watcher is None else self.watcher

    @property
    def begun(self) -> float:
        """Return since when that process is at work."""
        return self.since if self.watching_since is None else self.watching_since

    @property
    def machine(self) -> str:
        """Return the plain name of the host, without what tells processes of it apart."""
        return self.host.partition("/")[0]
