"""What the planner and the loop ask of the state."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from batchspec.ids import (
    BatchId,
    ConversationId,
    Fingerprint,
    JobAddress,
    LaneId,
    RecordRef,
    RemoteId,
    RowKey,
)
from batchspec.messages import Contract
from batchspec.ports.hooklog import HookLog
from batchspec.ports.jobs import Jobs
from batchspec.ports.toollog import ToolLog
from batchspec.state.events import BatchRejected, CancelWanted, Event
from batchspec.state.kinds import Kind
from batchspec.state.missing import Missing
from batchspec.state.records import (
    BatchRecord,
    JobTools,
    Lane,
    LaneRecord,
    LeaseRecord,
)
from batchspec.state.stored import (
    DraftTotals,
    Duplicate,
    FinalReply,
    Fresh,
    Judged,
    LastTurn,
    Member,
    RecordedRow,
    Spent,
    StoredItem,
    StoredRequest,
    StoredTurn,
    Verdict,
    Waiting,
)


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

    def begin(  # noqa: PLR0913 - one keyword per thing that is noted
        self,
        job: JobAddress,
        contract: Contract,
        policy: bytes,
        *,
        partial: bool = False,
        protect: bool = False,
        scoped: bool = False,
    ) -> bool:
        """Start a job; tells whether the state holds items of it.

        Of a `partial` job only some rows are planned, so that none is forgotten. `protect` is
        remembered with the job, for when its spec is gone. The key of a row is part of the
        fingerprint of a `scoped` job.
        """
        ...

    def made_of(
        self,
        job: JobAddress,
        upstream: Sequence[JobAddress],
        *,
        collects: bool,
        picks: bool,
        whole: bool,
    ) -> None:
        """Note whose answers the rows of a job are made of, and whether all of them are here.

        `collects`: all answers make one row. `picks`: a function of the spec takes some of them.
        """
        ...

    def look(
        self, job: JobAddress, rows: Sequence[PlannedRow], before: float | None = None
    ) -> Sequence[RecordedRow]:
        """Return what is recorded for some rows, in order; answers from `before` have expired."""
        ...

    def put(
        self,
        job: JobAddress,
        rows: Sequence[tuple[PlannedRow, Kind]],
        size: Callable[[bytes], int],
    ) -> Sequence[Duplicate]:
        """Note rows as seen and keep those that change; returns those whose key was seen before."""
        ...

    def ask_anew(self, rows: Sequence[PlannedRow], *, wished: bool = True) -> None:
        """Note rows whose conversations begin again; `wished`: whatever was answered so far."""
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

    def resumed(self, job: JobAddress) -> Mapping[LastTurn, DraftTotals]:
        """Return what goes on from turns that were answered: its last requests, by their turn."""
        ...

    def record(self, ref: RecordRef) -> tuple[bytes, bytes]:
        """Return (messages, row) of a stored request, to explain a change."""
        ...

    def discard(self) -> None:
        """Remove the draft from the disk."""
        ...


class Reader(Jobs, Protocol):
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

    def protected(self) -> Mapping[JobAddress, bool]:
        """Tell of every job on record whether it was protected when it was last agreed to."""
        ...

    def batches(self, *, open_only: bool = False) -> Sequence[BatchRecord]: ...

    def unwanted(self) -> Mapping[BatchId, tuple[int, int]]:
        """Return (members, members some row wants) of open batches that have others."""
        ...

    def lane(self, lane: LaneId) -> Lane: ...

    def lanes(self, now: float = ...) -> Sequence[LaneRecord]:
        """Return every lane with what waits in it; without a time, all of it counts as ready."""
        ...

    def contract(self, contract: int) -> Contract: ...

    def items(
        self,
        job: JobAddress,
        *,
        failed: bool = False,
        keys: Sequence[RowKey] | None = None,
    ) -> Iterator[StoredItem]:
        """Yield the items of a job, or those of some keys, as they were first seen."""
        ...

    def keys(self, jobs: Sequence[JobAddress]) -> Iterator[RowKey]:
        """Yield the keys that items of some jobs have, each once, about as they were first seen."""
        ...

    def latencies(self, job: JobAddress) -> Mapping[float, int]:
        """Count the final items of a job by the seconds that the batches of their turns took."""
        ...

    def spent_on(self, job: JobAddress) -> Spent:
        """Return what the answers shown of a job took, those that rows share counted once."""
        ...

    def fresh_items(self, job: JobAddress, fresh: Fresh) -> Iterator[StoredItem]:
        """Yield the items of a job whose own requests are answered, as far as that is news."""
        ...

    def turns(self, job: JobAddress, key: RowKey) -> Sequence[StoredTurn]:
        """Return every request of an item with what came back, in order."""
        ...

    def missing(self) -> Sequence[Missing]:
        """Return what jobs made of answers lack, those that lack something."""
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

    def delay(self, until: float) -> None:
        """Let what failed in passing wait, all of it for one time."""
        ...

    def abandon(self) -> None:
        """End members that are to go on though no row wants them; they can be taken up again."""
        ...

    def leave_unjudged(self, jobs: Iterable[JobAddress]) -> None:
        """Note jobs whose replies were taken without their own rules, to be judged once back."""
        ...


class Store(Jobs, ToolLog, HookLog, Protocol):
    """The writing side of the state, held by one process at a time.

    Every method may be called from any thread, by one thread at a time. Each raises `StateError`
    when the file cannot be written and `LockedError` when the lease was lost; then nothing changed.
    """

    @property
    def scratch(self) -> Path: ...

    def renew(self) -> None: ...

    def confirm(self) -> None:
        """Make sure that the lease is held now."""
        ...

    def commit(self, *events: Event) -> None:
        """Record events with the rows they change, durably, in one transaction."""
        ...

    def batch(self, batch: BatchId) -> BatchRecord: ...

    def known(self, batches: Sequence[RemoteId]) -> set[RemoteId]:
        """Return those of the provider's batches that are on record."""
        ...

    def cancel_unneeded(self) -> Sequence[CancelWanted]:
        """Note that open batches none of whose members any row wants are to be cancelled."""
        ...

    def needed(self, batch: BatchId) -> bool:
        """Tell whether some row wants a member of a batch."""
        ...

    def open_batches(self) -> Sequence[BatchRecord]: ...

    def untidy(self, limit: int) -> Sequence[BatchRecord]:
        """Return batches that are done with and whose input file is still to be deleted."""
        ...

    def lanes(self, now: float = ...) -> Sequence[LaneRecord]:
        """Return every lane with what waits in it; without a time, all of it counts as ready."""
        ...

    def tools(self) -> Sequence[JobTools]: ...

    def serial(self) -> int: ...

    def settled_since(self, job: JobAddress, serial: int) -> bool:
        """Tell whether an item of a job got an answer, or another one, from a serial on."""
        ...

    def lane(self, lane: LaneId) -> Lane: ...

    def contract(self, contract: int) -> Contract: ...

    def pending(self, lane: LaneId, now: float = ...) -> Iterator[Waiting]:
        """Yield what can be sent in a lane at a time, in order."""
        ...

    def backlog(self, model: Lane, now: float) -> Mapping[tuple[LaneId, int], int]:
        """Return the prompt bytes that can be sent, by lane of a provider's model and by job."""
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

    def job_name(self, job: int) -> JobAddress:
        """Return the address of a job by its number."""
        ...

    def unjudged(self) -> Sequence[JobAddress]:
        """Return the jobs whose replies were judged by another policy than the one agreed to."""
        ...

    def final_replies(self, job: JobAddress) -> Iterator[FinalReply]:
        """Yield the replies that gave items their outcome; those without a choice are left out."""
        ...

    def rejudge(
        self,
        job: JobAddress,
        changes: Iterable[Verdict],
        event: Callable[[int], Event],
        closing: Sequence[Body] = (),
    ) -> Event:
        """Record new outcomes of old replies, and that the job is judged by its policy.

        `closing` is made durable before that.
        """
        ...
