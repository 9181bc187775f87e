"""Every seam on one page: what the pure core and the shell ask of the world.

Adapters (`store`, `providers`, `pricing`, views as hooks) implement these; `project` wires them.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from batchspec.ids import (
    BatchId,
    ConversationId,
    FileId,
    Fingerprint,
    JobAddress,
    LaneId,
    RecordRef,
    RemoteId,
    RowKey,
)
from batchspec.messages import Contract, JsonObject, Line, Outcome, Usage
from batchspec.plan.changes import JobPlan, Kind, Plan, ReasonCode
from batchspec.state.events import BatchEvent, BatchIntended, Event
from batchspec.state.records import (
    BatchRecord,
    ConversationPhase,
    JobProgress,
    JobTools,
    Lane,
    LaneRecord,
    LeaseRecord,
    RemoteStatus,
    RequestCounts,
)


class Clock(Protocol):
    """The time and the only way to wait; tests pass one that moves by itself."""

    def now(self) -> float:
        """Return unix seconds."""
        ...

    async def sleep_until(self, when: float) -> None:
        """Return when `now()` is at least `when`."""
        ...


# --- providers ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteBatch:
    """A batch as the provider tells it; `metadata` holds our token."""

    id: RemoteId
    status: RemoteStatus
    created_at: float
    counts: RequestCounts = RequestCounts()
    input_file_id: FileId | None = None
    output_file_id: FileId | None = None
    error_file_id: FileId | None = None
    errors: tuple["RemoteError", ...] = ()
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RemoteError:
    """One validation error of a batch; `line` counts from 1, None where the batch is meant."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class CallError(Exception):
    """A call to a provider failed; the subclass says what is known about its effect."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Refused(CallError):  # noqa: N818 - reads as what happened
    """The provider answered 4xx: nothing was done, and trying the same again is pointless."""

    def __init__(self, message: str, *, status: int, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Throttled(CallError):  # noqa: N818 - reads as what happened
    """The provider answered 429, or a file is not visible yet: nothing was done, try later."""


class NotFound(CallError):  # noqa: N818 - reads as what happened
    """The provider does not know the id (any more)."""


class Uncertain(CallError):  # noqa: N818 - reads as what happened
    """No answer, 5xx, 408 or 409: it may or may not have been done."""


class Wire(Protocol):
    """The pure codec of one endpoint; no I/O."""

    endpoint: str
    max_requests: int
    max_bytes: int

    def line_parts(self, contract: Contract) -> tuple[bytes, bytes]:
        """Return what stands in a line between the custom_id and the messages, and after them."""
        ...

    def body(self, contract: Contract, messages: Sequence[Any]) -> JsonObject:
        """Return the request body as the provider gets it."""
        ...

    def decode(self, line: bytes) -> Line:
        """Judge one line of a result file alone; never raises."""
        ...

    def assistant(self, line: bytes) -> JsonObject:
        """Return the assistant's message of a line that `decode` read as a reply."""
        ...


class Client(Protocol):
    """The I/O of one provider. Every method raises `CallError`, nothing else, for the far side."""

    async def upload(self, path: Path, name: str) -> FileId:
        """Upload a batch input file, streaming. May be retried: a second file harms nobody."""
        ...

    async def create(
        self, file: FileId, endpoint: str, window: str, metadata: Mapping[str, str]
    ) -> RemoteBatch:
        """Create a batch with exactly one POST. `Uncertain` means it may exist."""
        ...

    async def retrieve(self, batch: RemoteId) -> RemoteBatch: ...

    def recent(self, since: float) -> AsyncIterator[RemoteBatch]:
        """Yield the account's batches, newest first, down to a creation time."""
        ...

    def content(self, file: FileId) -> AsyncIterator[bytes]:
        """Yield the bytes of a file in chunks of any size."""
        ...

    async def cancel(self, batch: RemoteId) -> RemoteBatch: ...

    async def delete_file(self, file: FileId) -> None: ...

    async def close(self) -> None: ...


class Prices(Protocol):
    """What tokens cost."""

    def cost(self, provider: str, model: str, usage: Usage) -> Decimal | None:
        """Return US dollars at batch price, or None when the price is not known (never 0)."""
        ...


# --- store -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """One row as the specs want it. The JSON texts are stored when the plan is agreed to."""

    key: str
    fingerprint: Fingerprint
    row_json: bytes
    messages_json: bytes
    place: str
    """File and line of the row, for messages."""


@dataclass(frozen=True, slots=True)
class RecordedRow:
    """What the state holds for a row: its own item, and a conversation with the same request."""

    fingerprint: Fingerprint | None = None
    """Of the item's conversation; None: the job has no item with this key."""
    phase: ConversationPhase | None = None
    outcome: Outcome | None = None
    contract: int | None = None
    request: RecordRef | None = None
    same: ConversationId | None = None
    """A conversation, of any job, with the wanted request."""
    same_outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two rows of a job have one key."""

    key: str
    first: str
    second: str
    """Places, as `file:line`."""


@dataclass(frozen=True, slots=True)
class DraftTotals:
    """What a draft would send for one job."""

    requests: int
    bytes: int


class Draft(Protocol):
    """The body of a plan: on disk, one entry per row that changes, bounded memory."""

    def begin(self, job: JobAddress, contract: Contract, policy: bytes) -> bool:
        """Start a job; tells whether the state holds items of it."""
        ...

    def look(
        self, job: JobAddress, rows: Sequence[PlannedRow]
    ) -> tuple[Sequence[RecordedRow], Sequence[Duplicate]]:
        """Note the keys of some rows as seen and return what is recorded, in the same order."""
        ...

    def add(
        self, job: JobAddress, changes: Sequence[tuple[PlannedRow, Kind, ReasonCode]], size: int
    ) -> None:
        """Keep rows that change; `size` is what a line holds beside the messages, in bytes."""
        ...

    def unseen(self, job: JobAddress) -> int:
        """Return how many recorded items of a job have no row any more; they will be forgotten."""
        ...

    def totals(self, job: JobAddress) -> DraftTotals:
        """Return the different requests a job would send."""
        ...

    def record(self, ref: RecordRef) -> tuple[bytes, bytes]:
        """Return (messages, row) of a stored request, to explain a change."""
        ...

    def discard(self) -> None:
        """Remove the draft from the disk."""
        ...


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A member of a batch, to be written to its input file."""

    custom_id: str
    contract: int
    messages_json: bytes


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a batch, to be settled."""

    conversation: ConversationId
    custom_id: str
    job: JobAddress
    turn: int
    attempts: int
    output_retries: int
    request: RecordRef


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredItem:
    """One item, read back. `line` is the raw reply line of its last turn."""

    key: RowKey
    row_json: bytes
    phase: ConversationPhase
    outcome: Outcome | None
    reason: str | None
    line: bytes | None
    turns: int
    usage: Usage
    cost: Decimal | None
    model: str
    provider: str
    endpoint: str
    previous: bool = False
    """True when this is the old answer of an item whose new request is not answered yet."""


class Reader(Protocol):
    """What views and the planner may see; it cannot write. Never blocked by a writer."""

    @property
    def lineage(self) -> str: ...

    def serial(self) -> int: ...

    def lease(self) -> LeaseRecord | None: ...

    def jobs(self) -> Sequence[JobAddress]: ...

    def progress(self) -> Sequence[JobProgress]: ...

    def batches(self, *, open_only: bool = False) -> Sequence[BatchRecord]: ...

    def lane(self, lane: LaneId) -> Lane: ...

    def contract(self, contract: int) -> Contract: ...

    def items(
        self, job: JobAddress, *, failed: bool = False, key: RowKey | None = None
    ) -> Iterator[StoredItem]:
        """Yield the items of a job, in the order in which they were first seen."""
        ...

    def spent(self) -> Decimal | None:
        """Return US dollars paid so far; None where a price is unknown."""
        ...


class Hook(Protocol):
    """An observer of the loop; it must not raise and must not block."""

    def event(self, event: Event) -> None: ...

    def progress(self, jobs: Sequence[JobProgress], batches: Sequence[BatchRecord]) -> None: ...

    def warning(self, message: str) -> None: ...


Expected = tuple[Iterable[BatchIntended], Iterable[BatchEvent]]
__all__ = [
    "BatchId",
    "CallError",
    "Client",
    "Clock",
    "Draft",
    "DraftTotals",
    "Duplicate",
    "Hook",
    "JobPlan",
    "JobTools",
    "LaneRecord",
    "Member",
    "NotFound",
    "Plan",
    "PlannedRow",
    "Prices",
    "Reader",
    "RecordedRow",
    "Refused",
    "RemoteBatch",
    "RemoteError",
    "StoredItem",
    "StoredRequest",
    "Throttled",
    "Uncertain",
    "Wire",
]
