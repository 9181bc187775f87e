"""The writer of the state: every change is one transaction, checked against the lease.

Rows are the truth; each commit also appends its event to the journal. `Collection` (settling a
batch) and the statements of `agree` live in modules of their own.
"""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from batchspec.errors import StateError
from batchspec.ids import BatchId, ConversationId, JobAddress, LaneId, RecordRef, RowKey
from batchspec.messages import Contract, Usage
from batchspec.ports import Body, CallDone, Judged, NextTurn, StoredRequest, ToolTurn
from batchspec.state.events import (
    BatchCollected,
    BatchEvent,
    BatchIntended,
    BatchRejected,
    Event,
    LaneHeld,
    PlanAgreed,
    ToolsRun,
)
from batchspec.state.machine import conversation_phase, evolve
from batchspec.state.records import BatchRecord, JobProgress, JobTools, Lane, LaneRecord
from batchspec.state.settlement import Answered
from batchspec.store import lease, toollog
from batchspec.store.agree import agree
from batchspec.store.collection import Collection
from batchspec.store.draft import SqliteDraft
from batchspec.store.reader import (
    StateReader,
    read_contract,
    read_lane,
    read_lanes,
    read_progress,
)
from batchspec.store.rows import BATCH_COLUMNS, UPDATE_BATCH, batch_record, batch_values
from batchspec.store.schema import explain, open_database
from batchspec.store.segments import SegmentReader, SegmentWriter, segment_path

_CHECKPOINT_PAGES = 4000


class StateStore:
    """Implements the writing side of the state in one folder.

    Args:
        directory: The folder of one environment; made when missing, mode 0700.
        now: Reads the clock, unix seconds.
    """

    def __init__(self, directory: Path, now: Callable[[], float]) -> None:
        self.directory = directory
        self.path = directory / "batchspec.db"
        self.artifacts = directory / "artifacts"
        self.scratch = directory / "tmp"
        self._now = now
        self._fence: int | None = None
        with self._explained():
            for folder in (directory, self.artifacts, self.scratch):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.db = open_database(self.path)
        self.db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        self.bodies = SegmentReader(self.artifacts)

    def initialise(self, lineage: str) -> None:
        """Give a new state its lineage; an older one keeps its own."""
        with self._explained():
            self.db.execute("INSERT OR IGNORE INTO meta VALUES ('lineage', ?)", (lineage,))
            self.db.execute("INSERT OR IGNORE INTO meta VALUES ('serial', 0)")

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StateError(explain(error, self.path)) from error

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """Write atomically, fenced by the lease; the serial grows by one.

        Raises:
            LockedError: The lease was taken over.
            StateError: The file cannot be written; nothing was changed.
        """
        if self._fence is None:
            raise StateError("The state can be changed only while its lease is held.")
        with self._explained():
            self.db.execute("BEGIN IMMEDIATE")
            try:
                lease.check(self.db, self._fence, self._now())
                yield self.db
                self.db.execute("UPDATE meta SET value = value + 1 WHERE key = 'serial'")
                self.db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self.db.execute("ROLLBACK")
                raise

    # --- lease ---------------------------------------------------------------------------------

    def acquire(self, holder: str, operation: str) -> None:
        """Take the lease.

        Raises:
            LockedError: Somebody else holds it.
        """
        with self._explained():
            self._fence = lease.acquire(self.db, holder, operation, self._now())
            self._clean()

    def renew(self) -> None:
        """Record a heartbeat.

        Raises:
            LockedError: The lease was taken over.
        """
        if self._fence is not None:
            with self._explained():
                lease.renew(self.db, self._fence, self._now())

    def release(self) -> None:
        """Give the lease back."""
        if self._fence is not None:
            with suppress(sqlite3.Error):
                lease.release(self.db, self._fence)
            self._fence = None

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
                self._intend(event)
            case LaneHeld():
                self._hold(event.lane, event.until, event.reason)
            case PlanAgreed() | ToolsRun():
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

    def _intend(self, event: BatchIntended) -> None:
        db = self.db
        members = "lane = ? AND phase = 'pending' AND id BETWEEN ? AND ?"
        where = (event.lane, event.first, event.last)
        jobs = dict(
            db.execute(
                f"SELECT j.address, COUNT(*) FROM conversations c JOIN jobs j ON j.id = c.job "  # noqa: S608 - constants
                f"WHERE c.id IN (SELECT id FROM conversations WHERE {members}) GROUP BY 1",
                where,
            ).fetchall()
        )
        number = db.execute(
            "INSERT INTO batches (id, lane, phase, members, bytes, jobs, intended_at, next_at) "
            "VALUES (?, ?, 'intended', ?, ?, ?, ?, ?)",
            (
                event.id,
                event.lane,
                event.members,
                event.bytes,
                json.dumps(jobs),
                event.at,
                event.at,
            ),
        ).lastrowid
        changed = db.execute(
            f"UPDATE conversations SET phase = ?, batch = ? WHERE {members}",  # noqa: S608 - constants
            (conversation_phase("pending", "Batched"), number, *where),
        ).rowcount
        if changed != event.members:
            raise StateError(
                f"A batch was to have {event.members} members, {changed} were found; "
                "nothing was recorded. Run the command again."
            )

    def _hold(self, lane: LaneId, until: float, reason: str | None) -> None:
        self.db.execute(
            "UPDATE lanes SET hold_until = ?, hold_reason = ?, holds = holds + 1 WHERE id = ?",
            (until, reason, lane),
        )

    def _evolve(self, event: BatchEvent) -> None:
        record = evolve(self.batch(event.id), event)
        self.db.execute(UPDATE_BATCH, batch_values(record))
        if isinstance(event, BatchRejected):
            self._return_members(event)
        elif isinstance(event, BatchCollected):
            self.db.execute(
                "UPDATE lanes SET holds = 0, hold_until = 0, hold_reason = NULL WHERE id = ? "
                "AND ? > 0",
                (record.lane, event.final + event.tools),
            )

    def _return_members(self, event: BatchRejected) -> None:
        self.db.execute(
            "UPDATE conversations SET phase = ?, tries = tries + 1 WHERE phase = 'batched' AND "
            "batch = (SELECT number FROM batches WHERE id = ?)",
            (conversation_phase("batched", "Returned"), event.id),
        )
        if event.hold_lane_until:
            self._hold(self.batch(event.id).lane, event.hold_lane_until, event.reason)

    # --- what is recorded ----------------------------------------------------------------------

    def reader(self) -> StateReader:
        """Open a reader with a connection of its own."""
        return StateReader(self.directory)

    def batch(self, batch: BatchId) -> BatchRecord:
        """Return one batch."""
        row = self.db.execute(f"SELECT {BATCH_COLUMNS} FROM batches WHERE id = ?", (batch,))  # noqa: S608 - constants
        return batch_record(row.fetchone())

    def open_batches(self) -> tuple[BatchRecord, ...]:
        """Return the batches that are not collected or rejected."""
        rows = self.db.execute(
            f"SELECT {BATCH_COLUMNS} FROM batches "  # noqa: S608 - constants
            "WHERE phase IN ('intended', 'submitted', 'ended') ORDER BY number"
        )
        return tuple(batch_record(row) for row in rows)

    def lanes(self) -> tuple[LaneRecord, ...]:
        """Return every lane with what waits in it."""
        return read_lanes(self.db)

    def tools(self) -> tuple[JobTools, ...]:
        """Return the jobs with tool calls to run."""
        rows = self.db.execute(
            "SELECT j.address, COUNT(*) FROM lanes l JOIN conversations c ON c.lane = l.id "
            "AND c.phase = 'tools' JOIN jobs j ON j.id = c.job GROUP BY 1"
        )
        return tuple(JobTools(JobAddress(address), n) for address, n in rows)

    def unfinished(self) -> set[JobAddress]:
        """Return the jobs with an item that is not final."""
        rows = self.db.execute(
            "SELECT DISTINCT j.address FROM conversations c JOIN items i ON i.conversation = c.id "
            "JOIN jobs j ON j.id = i.job WHERE c.id IN ("
            "SELECT c.id FROM lanes l JOIN conversations c ON c.lane = l.id AND c.phase='pending' "
            "UNION ALL SELECT c.id FROM lanes l JOIN conversations c ON c.lane = l.id "
            "AND c.phase = 'tools' UNION ALL SELECT c.id FROM batches b JOIN conversations c "
            "ON c.batch = b.number AND c.phase = 'batched' "
            "WHERE b.phase IN ('intended', 'submitted', 'ended'))"
        )
        return {JobAddress(address) for (address,) in rows}

    def pending(self, lane: LaneId) -> Iterator[tuple[ConversationId, int]]:
        """Yield (conversation, bytes of its line) of what can be sent in a lane, in order."""
        rows = self.db.execute(
            "SELECT id, size FROM conversations WHERE lane = ? AND phase = 'pending' ORDER BY id",
            (lane,),
        )
        while chunk := rows.fetchmany(1000):
            yield from chunk

    def requests(self, batch: BatchId) -> Iterator[StoredRequest]:
        """Yield the members of a batch with their messages, in order."""
        rows = self.db.execute(
            "SELECT lower(hex(substr(fingerprint, 1, 8))) || '-' || turn, contract, request "
            "FROM conversations WHERE phase = 'batched' AND "
            "batch = (SELECT number FROM batches WHERE id = ?) ORDER BY id",
            (batch,),
        )
        get = self.bodies.get
        while chunk := rows.fetchmany(1000):
            for key, contract, request in chunk:
                yield StoredRequest(key, contract, get(request).partition(b"\t")[0])

    def progress(self) -> Sequence[JobProgress]:
        """Count the items of every job by phase and outcome."""
        return read_progress(self.db)

    def lane(self, lane: LaneId) -> Lane:
        """Return one lane."""
        return read_lane(self.db, lane)

    def contract(self, contract: int) -> Contract:
        """Return what all requests of a contract share."""
        return read_contract(self.db, contract)

    def body(self, ref: RecordRef) -> bytes:
        """Return a stored body."""
        with self._explained():
            return self.bodies.get(ref)

    def scan(self, segment: int) -> Iterator[tuple[RecordRef, bytes]]:
        """Yield every record of a file of bodies, in order."""
        with self._explained():
            yield from self.bodies.scan(segment)

    def owner(self, conversation: ConversationId) -> tuple[RowKey | None, RecordRef | None]:
        """Return key and row of an item that wants a conversation."""
        row = self.db.execute(
            "SELECT key, row FROM items WHERE conversation = ? LIMIT 1", (conversation,)
        ).fetchone()
        return (None, None) if row is None else (RowKey(row[0]), RecordRef(row[1]))

    # --- settling ------------------------------------------------------------------------------

    @contextmanager
    def collecting(self, batch: BatchId, closing: Sequence[Body]) -> Generator[Collection]:
        """Settle members in one transaction; `closing` is made durable before it commits."""
        with self.transaction() as db:
            yield Collection(db, batch)
            for segment in closing:
                self.close_segment(segment)

    def reject_lines(self, event: BatchRejected, lines: Mapping[int, str]) -> None:
        """Record a batch that failed validation: some members are final, the rest goes again."""
        with self.transaction() as db:
            collection = Collection(db, event.id)
            members = list(collection.members().values())
            collection.record(
                [
                    Judged(members[n - 1], Answered("failed", message), None, Usage(), 0.0)
                    for n, message in lines.items()
                    if 0 < n <= len(members)
                ]
            )
            self.apply_event(event)

    def tool_turns(self, job: JobAddress, limit: int) -> Sequence[ToolTurn]:
        """Return conversations of a job that wait for tool results."""
        return toollog.tool_turns(self.db, job, limit)

    def begin_calls(self, turns: Sequence[ToolTurn]) -> None:
        """Note that calls are about to run, durably."""
        with self.transaction() as db:
            toollog.begin_calls(db, turns)

    def finish_calls(self, done: Sequence[CallDone]) -> None:
        """Write the results of calls, durably."""
        with self.transaction() as db:
            toollog.finish_calls(db, done)

    def continue_turns(
        self, turns: Sequence[NextTurn], closing: Sequence[Body], event: Event
    ) -> None:
        """Make the next turns ready, or end conversations that failed."""
        with self.transaction() as db:
            for segment in closing:
                self.close_segment(segment)
            toollog.continue_turns(db, turns)
            self.journal(event)

    # --- plans and bodies ----------------------------------------------------------------------

    def draft(self, plan: str) -> SqliteDraft:
        """Start the body of a plan; needs no lease."""
        with self._explained():
            folder = self.scratch / f"{os.getpid()}-{plan}"
            return SqliteDraft(folder, self.reader(), self._segment_in)

    def agree(self, draft: SqliteDraft, plan: str, events: Sequence[PlanAgreed]) -> None:
        """Record the rows of a plan that was agreed to, in one transaction; uses up the draft."""
        draft.seal()
        self.db.execute("ATTACH DATABASE ? AS draft", (str(draft.path),))
        try:
            with self.transaction() as db:
                for segment in draft.segments:
                    self.close_segment(segment)
                    segment.path.rename(segment_path(self.artifacts, segment.segment))
                db.execute(
                    "INSERT INTO plans VALUES (?, ?, ?)",
                    (plan, self._now(), json.dumps([asdict(event) for event in events])),
                )
                agree(db)
                for event in events:
                    self.journal(event)
        finally:
            self.db.execute("DETACH DATABASE draft")
            draft.discard()

    def open_segment(self, kind: str) -> SegmentWriter:
        """Open a new segment for bodies."""
        return self._segment_in(self.artifacts, kind)

    def _segment_in(self, folder: Path, kind: str = "requests") -> SegmentWriter:
        with self._explained():
            number = self.db.execute(
                "INSERT INTO artifacts (kind, created) VALUES (?, ?)", (kind, self._now())
            ).lastrowid
            return SegmentWriter(segment_path(folder, number or 0), number or 0)

    def close_segment(self, segment: Body) -> None:
        """Make a segment durable and note its size."""
        size = segment.close()
        self.db.execute(
            "UPDATE artifacts SET records = ?, bytes = ? WHERE id = ?",
            (segment.records, size, segment.segment),
        )

    def _clean(self) -> None:
        """Remove what a killed process left: scratch files, and segments nothing points at."""
        for leftover in self.scratch.iterdir():
            owner = leftover.name.partition("-")[0]
            if leftover.is_dir() and owner.isdecimal() and lease.alive(int(owner)):
                continue
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)
        known = {row[0] for row in self.db.execute("SELECT id FROM artifacts WHERE records > 0")}
        for path in self.artifacts.glob("*.jsonl.zst"):
            if int(path.name.partition(".")[0]) not in known:
                path.unlink()

    def close(self) -> None:
        """Release the lease and close the file."""
        self.release()
        self.bodies.close()
        with suppress(sqlite3.Error):
            self.db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        self.db.close()
