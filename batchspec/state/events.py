"""Facts that happened, past tense. Each is committed with the rows it changes and journalled."""

from collections.abc import Mapping
from dataclasses import dataclass

from batchspec.ids import BatchId, FileId, JobAddress, LaneId, RemoteId
from batchspec.state.housekeeping import HousekeepingEvent
from batchspec.state.records import CancelReason, HoldKind, RemoteStatus, RequestCounts, Via
from batchspec.state.watching import WatchEvent


@dataclass(frozen=True, slots=True)
class Part:
    """What one job has in a batch: of its requests that could be sent, `first` to `last`.

    `job` is the number of its row, `bytes` counts its lines with their newlines.
    """

    job: int
    first: int
    last: int
    members: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchIntended:
    """Members were put together; from here on a batch with this id may exist at the provider."""

    id: BatchId
    lane: LaneId
    parts: tuple[Part, ...]
    """By job, ranges of the lane's conversations that were pending and ready then."""
    members: int
    bytes: int
    at: float
    via: Via = "batch"
    traceparent: str | None = None
    """The span in which they were, as W3C writes it; None: nothing was traced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestsDeclined:
    """Requests of a lane ended as failed: too few for a batch, and no more would come."""

    lane: LaneId
    requests: int
    reason: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchImported:
    """A batch that was made by hand, or by a state that is lost, carries requests of a job.

    It is recorded as submitted, and collected like any other; its files stay whose they are.
    """

    id: BatchId
    lane: LaneId
    remote_id: RemoteId
    status: RemoteStatus
    members: int
    jobs: Mapping[JobAddress, int]
    submitted_at: float
    """When the provider made it."""
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchDoubled:
    """The provider has another batch with the same members; it is cancelled and never read."""

    id: BatchId
    of: BatchId
    lane: LaneId
    remote_id: RemoteId
    status: RemoteStatus
    at: float
    input_file_id: FileId | None = None
    """Its input file, if that is not the one of the batch that is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadAttempted:
    """An upload of the input file is about to be made; without an answer the file may be there."""

    id: BatchId
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class InputUploaded:
    """The input file is at the provider."""

    id: BatchId
    file: FileId
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateAttempted:
    """A create call is about to be made; until its answer is recorded the outcome is unknown."""

    id: BatchId
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSubmitted:
    """The provider has the batch, created just now or found again (`adopted`)."""

    id: BatchId
    remote_id: RemoteId
    status: RemoteStatus
    at: float
    next_at: float
    adopted: bool = False
    input_file_id: FileId | None = None
    """The file it was made of, where that is not the one uploaded last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchAbsent:
    """There is no such batch at the provider, so that it may be created again.

    Known because a create was refused in passing, or because the provider was asked after the
    grace period.
    """

    id: BatchId
    at: float
    next_at: float
    reason: str | None = None
    keep_file: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRejected:
    """The provider refused it: nothing ran, nothing is charged; members are pending again."""

    id: BatchId
    at: float
    reason: str
    hold_lane_until: float = 0.0
    hold: HoldKind | None = None
    """Why the lane waits, if that is more than the time."""
    max_bytes: int | None = None
    """A larger input file is refused: learned from this refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchObserved:
    """The provider was asked how far the batch is."""

    id: BatchId
    status: RemoteStatus
    counts: RequestCounts
    output_file_id: FileId | None
    error_file_id: FileId | None
    ended: bool
    at: float
    next_at: float
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchNotSeen:
    """A batch whose creation got no answer was looked for and not found, which may be too early."""

    id: BatchId
    at: float
    next_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFailed:
    """A call about a batch failed; nothing is known but that it is to be tried again."""

    id: BatchId
    at: float
    next_at: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelWanted:
    """A batch is to be cancelled; what it has by then is still collected.

    One that was never created is given up without a call.
    """

    id: BatchId
    at: float
    reason: CancelReason


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelDropped:
    """A batch nobody wanted is wanted again, before the provider was told to stop it."""

    id: BatchId
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelTaken:
    """The provider has taken the cancellation; the batch may still end completed."""

    id: BatchId
    status: RemoteStatus
    at: float
    next_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLost:
    """The provider does not know the batch any more: its members end without an answer.

    They may have been billed, so that only a plan a person agrees to sends them again.
    """

    id: BatchId
    at: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InputDeleted:
    """The input file of a batch that is done with is gone at the provider."""

    id: BatchId
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsDeleted:
    """The result files of a collected batch are gone at the provider; their lines are kept here."""

    id: BatchId
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class InputKept:
    """The input file of a batch that is done with could not be deleted."""

    id: BatchId
    at: float
    next_at: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCollected:
    """Every member is settled: final, with tools to run, or pending again."""

    id: BatchId
    at: float
    final: int
    tools: int
    pending: int
    unmatched: int
    """Lines that belong to no member: unknown, doubled or unreadable ones."""
    replies: int = 0
    """Members the model answered, whatever became of the answer."""
    unread: bool = False
    """Whether a result file was not read: gone, without a line of ours, or of a double."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolsRun:
    """Tool calls of some conversations are done."""

    job: JobAddress
    calls: int
    pending: int
    final: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RepliesRejudged:
    """Stored replies of a job were judged again, free, because its policy changed."""

    job: JobAddress
    replies: int
    changed: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanAgreed:
    """A person, or `--auto-approve`, agreed to a plan; its rows are recorded."""

    plan: str
    job: JobAddress
    added: int
    changed: int
    removed: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountBound:
    """From here on a provider is used with an account: its open batches are there."""

    provider: str
    account: str
    at: float


BatchEvent = (
    UploadAttempted
    | InputUploaded
    | CreateAttempted
    | BatchSubmitted
    | BatchNotSeen
    | BatchAbsent
    | BatchRejected
    | BatchObserved
    | CallFailed
    | CancelWanted
    | CancelDropped
    | CancelTaken
    | BatchLost
    | BatchCollected
    | InputDeleted
    | InputKept
    | ResultsDeleted
)
"""Events that `machine.evolve` applies to one batch."""

Event = (
    BatchIntended
    | BatchImported
    | BatchDoubled
    | BatchEvent
    | ToolsRun
    | RepliesRejudged
    | PlanAgreed
    | RequestsDeclined
    | AccountBound
    | HousekeepingEvent
    | WatchEvent
)
