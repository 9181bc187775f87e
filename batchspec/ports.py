"""Every seam on one page: what the pure core and the shell ask of the world.

Adapters (`store`, `providers`, `pricing`, views as hooks) implement these; `project` wires them.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
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
from batchspec.state.events import BatchRejected, Event
from batchspec.state.kinds import Kind
from batchspec.state.records import (
    BatchRecord,
    JobProgress,
    JobTools,
    Lane,
    LaneRecord,
    LeaseRecord,
)
from batchspec.state.remote import RemoteBatch
from batchspec.state.stored import (
    CallDone,
    DraftTotals,
    Duplicate,
    FinalReply,
    Judged,
    Member,
    NextTurn,
    RecordedRow,
    StoredItem,
    StoredRequest,
    StoredTurn,
    ToolTurn,
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

    def meter(self, provider: str, model: str) -> Callable[[Usage], float] | None:
        """Return what tells the cost of one reply fast, or None when the price is not known."""
        ...


# --- store -------------------------------------------------------------------------------------


class PlannedRow(Protocol):
    """One row as the specs want it. The JSON texts are stored when the plan is agreed to."""

    @property
    def key(self) -> str: ...
    @property
    def fingerprint(self) -> Fingerprint: ...
    @property
    def row_json(self) -> bytes: ...
    @property
    def messages_json(self) -> bytes: ...
    @property
    def line(self) -> int | None:
        """Return the line of the row in its source, for messages."""
        ...


class Draft(Protocol):
    """The body of a plan: on disk, one entry per row of the specs, in bounded memory."""

    def begin(
        self, job: JobAddress, contract: Contract, policy: bytes, *, partial: bool = False
    ) -> bool:
        """Start a job; tells whether the state holds items of it.

        Of a `partial` job only some rows are planned, so that none is forgotten.
        """
        ...

    def look(self, job: JobAddress, rows: Sequence[PlannedRow]) -> Sequence[RecordedRow]:
        """Return what is recorded for some rows, in the same order."""
        ...

    def put(
        self, job: JobAddress, rows: Sequence[tuple[PlannedRow, Kind]], overhead: int
    ) -> Sequence[Duplicate]:
        """Note rows as seen, keep those that change, and return rows whose key was seen before.

        `overhead` is what a line of an input file holds beside the messages, in bytes.
        """
        ...

    def recorded_items(self, job: JobAddress) -> int:
        """Return how many items the state holds for a job; those not seen will be forgotten."""
        ...

    def forget_job(self, job: JobAddress) -> int:
        """Note that a job is gone; returns how many items will be forgotten."""
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


class Reader(Protocol):
    """What views and the planner may see; it cannot write. Never blocked by a writer."""

    @property
    def lineage(self) -> str: ...

    def serial(self) -> int: ...

    def lease(self) -> LeaseRecord | None: ...

    def jobs(self) -> Sequence[JobAddress]: ...

    def outstanding(self) -> Mapping[JobAddress, DraftTotals]:
        """Return the requests that are agreed to and not sent, by job."""
        ...

    def judged_by(self, job: JobAddress) -> bytes | None:
        """Return the policy a job's replies were judged by; None for a job without items."""
        ...

    def progress(self) -> Sequence[JobProgress]: ...

    def batches(self, *, open_only: bool = False) -> Sequence[BatchRecord]: ...

    def lane(self, lane: LaneId) -> Lane: ...
    def contract(self, contract: int) -> Contract: ...

    def items(
        self, job: JobAddress, *, failed: bool = False, key: RowKey | None = None
    ) -> Iterator[StoredItem]:
        """Yield the items of a job, in the order in which they were first seen."""
        ...

    def turns(self, job: JobAddress, key: RowKey) -> Sequence[StoredTurn]:
        """Return every request of an item with what came back, in order."""
        ...

    def spent(self) -> Decimal | None:
        """Return US dollars paid so far; None where a price is unknown."""
        ...


class Body(Protocol):
    """A growing file of bodies; references are valid once its transaction is committed."""

    @property
    def segment(self) -> int: ...

    @property
    def records(self) -> int: ...

    def append(self, record: bytes) -> RecordRef:
        """Add a record without newlines and return where it will be."""
        ...

    def close(self) -> int:
        """Make it durable and return its size in bytes."""
        ...

    def extend(self, records: Sequence[bytes]) -> None: ...

    def abandon(self) -> None: ...


class Collection(Protocol):
    """The members of a batch that is being settled, inside one transaction."""

    def members(self) -> dict[str, Member]:
        """Return the members that are not settled, by custom_id, in the order of their lines."""
        ...

    def record(self, judged: Sequence[Judged]) -> None:
        """Write what became of some members."""
        ...

    def leave_unjudged(self, jobs: Iterable[JobAddress]) -> None:
        """Note jobs whose replies were taken without their own rules, to be judged once back."""
        ...


class Store(Protocol):
    """The writing side of the state, held by one process at a time.

    Every method may be called from any thread, by one thread at a time. Each raises `StateError`
    when the file cannot be written and `LockedError` when the lease was lost; then nothing changed.
    """

    @property
    def scratch(self) -> Path: ...

    def renew(self) -> None: ...

    def commit(self, *events: Event) -> None:
        """Record events with the rows they change, durably, in one transaction."""
        ...

    def batch(self, batch: BatchId) -> BatchRecord: ...

    def open_batches(self) -> Sequence[BatchRecord]: ...

    def lanes(self) -> Sequence[LaneRecord]: ...

    def tools(self) -> Sequence[JobTools]: ...

    def unfinished(self) -> set[JobAddress]: ...

    def progress(self) -> Sequence[JobProgress]: ...

    def lane(self, lane: LaneId) -> Lane: ...

    def contract(self, contract: int) -> Contract: ...

    def pending(self, lane: LaneId) -> Iterator[tuple[ConversationId, int]]:
        """Yield (conversation, bytes of its line) of what can be sent in a lane, in order."""
        ...

    def requests(self, batch: BatchId) -> Iterator[StoredRequest]:
        """Yield the members of a batch with their messages, in order."""
        ...

    def body(self, ref: RecordRef) -> bytes: ...

    def owner(self, conversation: ConversationId) -> tuple[RowKey | None, RecordRef | None]:
        """Return key and row of an item that wants a conversation."""
        ...

    def reject_lines(self, event: BatchRejected, lines: Mapping[int, str]) -> None:
        """Record a batch that failed validation: some members are final, the rest goes again.

        `lines` has the provider's message by line number, from 1.
        """
        ...

    def scan(self, segment: int) -> Iterator[tuple[RecordRef, bytes]]:
        """Yield every record of a file of bodies, in order."""
        ...

    def open_segment(self, kind: str) -> Body:
        """Start a file of bodies."""
        ...

    def close_segment(self, segment: Body) -> None:
        """Make a file of bodies durable, before rows that point at it are committed."""
        ...

    def collecting(
        self, batch: BatchId, closing: Sequence[Body]
    ) -> AbstractContextManager[Collection]:
        """Settle members in one transaction; `closing` is made durable before it commits."""
        ...

    def apply_event(self, event: Event) -> None:
        """Record an event inside the transaction of `collecting`."""
        ...

    def removed_jobs(self) -> frozenset[JobAddress]: ...

    def unjudged(self) -> Sequence[JobAddress]:
        """Return the jobs whose replies were judged by another policy than the one agreed to."""
        ...

    def final_replies(self, job: JobAddress) -> Iterator[FinalReply]:
        """Yield the replies that gave items their outcome; those without a choice are left out."""
        ...

    def rejudge(
        self,
        job: JobAddress,
        changes: Iterable[tuple[Outcome, str | None, ConversationId]],
        event: Callable[[int], Event],
    ) -> Event:
        """Record new outcomes of old replies, and that the job is judged by its policy."""
        ...

    def tool_turns(self, job: JobAddress, limit: int) -> Sequence[ToolTurn]: ...

    def begin_calls(self, turns: Sequence[ToolTurn]) -> None: ...

    def finish_calls(self, done: Sequence[CallDone]) -> None: ...

    def continue_turns(
        self, turns: Sequence[NextTurn], closing: Sequence[Body], event: Event
    ) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A provider as the loop uses it."""

    name: str
    client: Client
    wire: Wire
    max_requests: int
    max_bytes: int
    window: str = "24h"


class Hook(Protocol):
    """An observer of the loop; it must not raise and must not block."""

    def event(self, event: Event) -> None: ...
    def progress(self, jobs: Sequence[JobProgress], batches: Sequence[BatchRecord]) -> None: ...
    def warning(self, message: str) -> None: ...
