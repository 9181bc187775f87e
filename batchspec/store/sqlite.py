"""The writer of the state: every change is one transaction, checked against the lease.

Rows are the truth; each commit also appends its event to the journal. `Collection` (settling a
batch) and the statements of `agree` live in modules of their own.
"""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict

from batchspec.ids import BatchId, ConversationId, JobAddress
from batchspec.messages import Usage
from batchspec.ports import (
    Body,
)
from batchspec.state.events import (
    AccountBound,
    BatchCollected,
    BatchDoubled,
    BatchEvent,
    BatchImported,
    BatchIntended,
    BatchLost,
    BatchObserved,
    BatchRejected,
    CancelWanted,
    Event,
    PlanAgreed,
    RepliesRejudged,
    RequestsDeclined,
    ToolsRun,
)
from batchspec.state.housekeeping import (
    AddressMoved,
    AnswersDeleted,
    BodiesDeleted,
    ItemsCancelled,
    ItemsForgotten,
    ItemsTainted,
    LeaseBroken,
    StateReplaced,
)
from batchspec.state.machine import conversation_phase, evolve
from batchspec.state.records import BatchRecord, LeaseRecord, MeanGrade
from batchspec.state.settlement import Answered
from batchspec.state.stored import (
    CallDone,
    Judged,
    NextTurn,
    Resumed,
    StoredReply,
    ToolTurn,
    Verdict,
)
from batchspec.state.watching import ConditionChanged, PlanGranted, RowsAwaited, WatchBegan
from batchspec.store import holding, lease, memo, resuming, toollog, wanted, watching
from batchspec.store.accounts import bind
from batchspec.store.agree import agree
from batchspec.store.collection import Collection
from batchspec.store.draft import SqliteDraft
from batchspec.store.foreign import record_batch
from batchspec.store.intents import intend
from batchspec.store.recorded import RecordedState
from batchspec.store.refingerprint import Compute, refingerprint
from batchspec.store.rejudging import collect_verdicts, record_verdicts
from batchspec.store.rows import INSERT_DOUBLE, SERIAL, UPDATE_BATCH, batch_values
from batchspec.store.schema import immediate
from batchspec.store.segments import segment_path, sync_folder


class StateStore(RecordedState):
    """Implements `ports.Store`: what the loop and the planner record."""

    # --- events --------------------------------------------------------------------------------

    def commit(self, *events: Event) -> None:
        """Record events and the rows they change, in one transaction."""
        with self.transaction():
            for event in events:
                self.apply_event(event)

    def apply_event(self, event: Event) -> None:
        """Change the rows of one event and journal it, inside a transaction."""
        match event:
            case BatchIntended():
                intend(self.db, event)
            case AccountBound():
                bind(self.db, event)
            case BatchDoubled():
                self._double(event)
            case RequestsDeclined():
                holding.decline(self.db, event)
            case PlanAgreed() | ToolsRun() | RepliesRejudged() | BatchImported():
                pass
            case ConditionChanged() | WatchBegan() | PlanGranted() | RowsAwaited():
                watching.record(self.db, event)
            case (
                LeaseBroken()
                | AddressMoved()
                | ItemsForgotten()
                | ItemsTainted()
                | ItemsCancelled()
                | AnswersDeleted()
                | StateReplaced()
                | BodiesDeleted()
            ):
                pass
            case _:
                self._evolve(event)
        self.journal(event)

    def journal(self, event: Event) -> None:
        """Append an event to the journal, inside a transaction."""
        self.db.execute(
            "INSERT INTO journal (at, kind, payload) VALUES (?, ?, ?)",
            (event.at, type(event).__name__, json.dumps(asdict(event), ensure_ascii=False)),
        )

    def take_lease_away(self, held: LeaseRecord) -> None:
        """Take the lease away from its holder, whose next write fails; needs no lease.

        Raises:
            LockedError: Somebody else holds it by now.
        """
        with self._explained(), immediate(self.db):
            lease.take_away(self.db, held.holder)
            event = LeaseBroken(
                holder=held.holder,
                host=held.host,
                pid=held.pid,
                operation=held.operation,
                at=self._now(),
            )
            self.journal(event)

    def _double(self, event: BatchDoubled) -> None:
        self.db.execute(INSERT_DOUBLE, asdict(event))

    def cancel_unneeded(self) -> Sequence[CancelWanted]:
        """Note that open batches none of whose members any row wants are to be cancelled."""
        idle = wanted.unneeded(self.db)
        events = [CancelWanted(id=b, at=self._now(), reason="unwanted") for b in idle]
        if events:
            self.commit(*events)
        return events

    def needed(self, batch: BatchId) -> bool:
        """Tell whether some row wants a member of a batch."""
        return wanted.needed(self.db, batch)

    def _evolve(self, event: BatchEvent) -> None:
        record = evolve(self.batch(event.id), event)
        self.db.execute(UPDATE_BATCH, batch_values(record))
        if isinstance(event, BatchObserved) and record.phase == "ended":
            holding.ended(self.db, record.lane)
        if isinstance(event, BatchRejected):
            self._return_members(event, record)
        elif isinstance(event, BatchLost):
            wanted.lose(self.db, event.id, event.reason)
            holding.ended(self.db, record.lane)
        elif isinstance(event, BatchCollected):
            self.db.execute(
                "UPDATE lanes SET holds = 0, hold_until = 0, hold_reason = NULL WHERE id = ? "
                "AND ? > 0",
                (record.lane, event.final + event.tools),
            )
            proven = (record.lane, event.replies)
            self.db.execute("UPDATE lanes SET proven = 1 WHERE id = ? AND ? > 0", proven)

    def _return_members(self, event: BatchRejected, record: BatchRecord) -> None:
        """Make the members wait again, but those nobody wants and those a person stopped."""
        self.db.execute(
            "UPDATE conversations SET phase = ?, tries = tries + 1 WHERE phase = 'batched' AND "
            "batch = (SELECT number FROM batches WHERE id = ?)",
            (conversation_phase("batched", "Returned"), event.id),
        )
        wanted.abandon(self.db, event.id)
        if event.hold_lane_until:
            holding.hold(self.db, record.lane, event)
        if event.max_bytes is not None:
            holding.learn_max_bytes(self.db, record.lane, event.max_bytes)

    # --- settling ------------------------------------------------------------------------------

    @contextmanager
    def collecting(self, batch: BatchId, closing: Sequence[Body]) -> Generator[Collection]:
        """Settle members in one transaction; `closing` is made durable before it commits."""
        with self._undoing(closing), self.transaction() as db:
            yield Collection(db, batch)
            for segment in closing:
                self.close_segment(segment)

    def reject_lines(self, event: BatchRejected, lines: Mapping[int, str]) -> None:
        """Record a batch that failed validation: some members are final, the rest goes again."""
        with self.transaction() as db:
            collection = Collection(db, event.id)
            members = collection.by_line()
            collection.record(
                [
                    Judged(members[n], Answered("failed", message), None, Usage(), 0.0)
                    for n, message in lines.items()
                    if n in members
                ]
            )
            self.apply_event(event)

    def unpack(self) -> None:
        """Take apart batches that were never asked for, so that a plan can change their rows."""
        idle = [b for b in self.open_batches() if b.phase == "intended" and b.create_at is None]
        if idle:
            reason = "it was not sent yet and is put together anew"
            self.commit(*(BatchRejected(id=b.id, at=self._now(), reason=reason) for b in idle))

    def refingerprint(self, compute: Compute, version: int) -> int:
        """Fingerprint what is recorded by another algorithm; returns how many conversations."""

        def contract(number: int) -> bytes:
            return self.contract(number).canonical()

        self.unpack()
        with self.transaction() as db:
            return refingerprint(db, self.bodies.get, contract, compute, version)

    def rejudge(
        self,
        job: JobAddress,
        changes: Iterable[Verdict],
        event: Callable[[int], Event],
        closing: Sequence[Body] = (),
    ) -> Event:
        """Record new outcomes of old replies, and that the job is judged by its policy.

        Users' functions make the changes as they are read: they wait on disk until all are known,
        and are recorded in one short transaction. `event` makes its event from their number;
        `closing` has the texts they accept.
        """
        with self._undoing(closing):
            with self._explained():
                collect_verdicts(self.db, changes)
            with self.transaction() as db:
                for segment in closing:
                    self.close_segment(segment)
                recorded = event(record_verdicts(db, job))
                self.journal(recorded)
        self.db.execute("DROP TABLE temp.verdicts")
        return recorded

    def keep_grades(self, grades: Mapping[JobAddress, MeanGrade]) -> None:
        """Keep the mean grades of jobs, all there are, until there are newer answers."""
        with self.transaction() as db:
            db.execute("UPDATE jobs SET grade = NULL")
            db.executemany(
                f"UPDATE jobs SET grade = ?, graded = {SERIAL} WHERE address = ?",  # noqa: S608 - constant
                [(json.dumps(asdict(grade)), job) for job, grade in grades.items()],
            )

    def tool_turns(
        self, job: JobAddress, limit: int, but: Iterable[ConversationId] = ()
    ) -> Sequence[ToolTurn]:
        """Return conversations of a job that wait for tool results, but for some."""
        return toollog.tool_turns(self.db, job, limit, but)

    def record_calls(
        self, done: Sequence[CallDone], beginning: Sequence[ToolTurn], at: float
    ) -> None:
        """Write the results of calls, and that others are about to run, durably."""
        with self.transaction() as db:
            toollog.finish_calls(db, done, at)
            toollog.begin_calls(db, beginning, at)

    def remembered(self, key: bytes) -> str | None:
        """Return the answer a pure tool gave an equal call, if it is kept."""
        return memo.remembered(self.db, key)

    def forget(self, before: float) -> tuple[int, int]:
        """Drop answers of pure tools not used since a time, and what is too much."""
        with self.transaction() as db:
            return memo.forget(db, before=before)

    def continue_turns(
        self, turns: Sequence[NextTurn], closing: Sequence[Body], event: Event
    ) -> None:
        """Make the next turns ready, or end conversations that failed."""
        with self._undoing(closing), self.transaction() as db:
            for segment in closing:
                self.close_segment(segment)
            toollog.continue_turns(db, turns)
            self.journal(event)

    def replies(self, job: JobAddress, limit: int) -> Sequence[StoredReply]:
        """Return replies of a job that conversations are to go on from."""
        return resuming.replies(self.db, job, limit)

    def resume(self, resumed: Sequence[Resumed], closing: Sequence[Body], event: Event) -> None:
        """Let conversations go on from their last replies, as these were judged again."""
        with self._undoing(closing), self.transaction() as db:
            for segment in closing:
                self.close_segment(segment)
            resuming.resume(db, resumed)
            self.journal(event)

    def import_batch(
        self, draft: SqliteDraft, agreed: PlanAgreed, event: BatchImported
    ) -> BatchImported:
        """Record a batch made by hand with the rows of a draft it carries, in one transaction.

        Args:
            draft: With the lines of the batch, matched.
            agreed: Of the rows.
            event: Without lane, members and jobs; they are in what is returned.

        Raises:
            RefusedError: No request waits for its answers any more.
        """
        recorded: list[BatchImported] = []

        def record(db: sqlite3.Connection) -> Event:
            recorded.append(record_batch(db, event))
            return recorded[0]

        self.agree(draft, agreed.plan, [agreed], record)
        return recorded[0]

    # --- plans and bodies ----------------------------------------------------------------------

    def draft(self, plan: str, *, whole: bool = True) -> SqliteDraft:
        """Start the body of a plan; needs no lease. Without bodies it can only be looked at."""
        folder = self.scratch / f"{os.getpid()}-{plan}"
        with self._explained():
            reader = self.reader()
            try:
                return SqliteDraft(folder, reader, self._segment_in if whole else None)
            except BaseException:
                reader.close()
                shutil.rmtree(folder, ignore_errors=True)
                raise

    def agree(
        self,
        draft: SqliteDraft,
        plan: str,
        events: Sequence[PlanAgreed],
        then: Callable[[sqlite3.Connection], Event | None] | None = None,
    ) -> None:
        """Record the rows of a plan that was agreed to, in one transaction; uses up the draft.

        `then` records one thing more in the same transaction and returns its event, if it has one.
        """
        try:
            draft.seal()
            with self._explained():
                self.db.execute("ATTACH DATABASE ? AS draft", (str(draft.path),))
        except BaseException:
            draft.discard()
            raise
        try:
            with self.transaction() as db:
                for segment in draft.segments:
                    self.close_segment(segment)
                    segment.path.rename(segment_path(self.artifacts, segment.segment))
                sync_folder(self.artifacts)
                db.execute(
                    "INSERT INTO plans VALUES (?, ?, ?)",
                    (plan, self._now(), json.dumps([asdict(event) for event in events])),
                )
                agree(db)
                for event in events:
                    self.journal(event)
                further = None if then is None else then(db)
                if further is not None:
                    self.journal(further)
        finally:
            self.db.execute("DETACH DATABASE draft")
            draft.discard()
