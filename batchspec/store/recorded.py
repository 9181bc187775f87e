"""The recorded state as its writer reads it, on its own connection."""

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from math import inf

from batchspec.ids import BatchId, ConversationId, JobAddress, LaneId, RecordRef, RemoteId, RowKey
from batchspec.messages import Contract
from batchspec.state.records import BatchRecord, JobTools, Lane, LaneRecord
from batchspec.state.stored import (
    FinalReply,
    StoredRequest,
    Waiting,
)
from batchspec.state.tokens import ENVELOPE
from batchspec.store.accounts import read_accounts
from batchspec.store.hooklog import RecordedHooks
from batchspec.store.jobs import RecordedJobs
from batchspec.store.reader import (
    StateReader,
    read_contract,
    read_lane,
    read_lanes,
)
from batchspec.store.refingerprint import version_of
from batchspec.store.rows import ASKED, BATCH_COLUMNS, batch_record
from batchspec.store.untidy import untidy

_BACKLOG = """
SELECT l.id, c.job, SUM(MAX(1, c.size - c.data + 1 - ?)) FROM lanes l
  JOIN conversations c ON c.lane = l.id AND c.phase = 'pending'
WHERE l.id IN (SELECT value FROM json_each(?)) AND c.ready_at <= ? GROUP BY 1, 2
"""
# What a conversation cost beside the turns on record is the cost of its last reply.
_COSTS_OF = """
WITH b AS MATERIALIZED (SELECT number FROM batches WHERE id = :batch)
SELECT j.address, SUM(s.cost) FROM (
  SELECT c.job, t.cost FROM turns t JOIN conversations c ON c.id = t.conversation
  WHERE t.batch = (SELECT number FROM b)
  UNION ALL
  SELECT c.job, c.cost - coalesce((SELECT SUM(t.cost) FROM turns t WHERE t.conversation = c.id), 0)
  FROM conversations c WHERE c.batch = (SELECT number FROM b)
) s JOIN jobs j ON j.id = s.job GROUP BY s.job
"""


_SETTLED = """
SELECT EXISTS (
  SELECT 1 FROM conversations c CROSS JOIN items i ON i.conversation = c.id
  WHERE c.settled > 0 AND c.settled >= ? AND i.job = (SELECT id FROM jobs WHERE address = ?)
    AND c.phase = 'final' AND c.outcome = 'succeeded')
"""


class RecordedState(RecordedHooks, RecordedJobs):
    """What the loop and the planner look up."""

    def reader(self) -> StateReader:
        """Open a reader with a connection of its own."""
        return StateReader(self.directory)

    def batch(self, batch: BatchId) -> BatchRecord:
        """Return one batch."""
        row = self.db.execute(f"SELECT {BATCH_COLUMNS} FROM batches WHERE id = ?", (batch,))  # noqa: S608 - constants
        return batch_record(row.fetchone())

    def accounts(self) -> dict[str, str]:
        """Return the account each provider is bound to."""
        return read_accounts(self.db)

    def known(self, batches: Sequence[RemoteId]) -> set[RemoteId]:
        """Return those of the provider's batches that are on record."""
        rows = self.db.execute(
            "SELECT remote_id FROM batches WHERE remote_id IN (SELECT value FROM json_each(?))",
            (json.dumps(batches),),
        )
        return {RemoteId(batch) for (batch,) in rows}

    def open_batches(self) -> tuple[BatchRecord, ...]:
        """Return the batches that are not collected or rejected."""
        rows = self.db.execute(
            f"SELECT {BATCH_COLUMNS} FROM batches "  # noqa: S608 - constants
            "WHERE phase IN ('intended', 'submitted', 'ended') ORDER BY number"
        )
        return tuple(batch_record(row) for row in rows)

    def lanes(self, now: float = inf) -> tuple[LaneRecord, ...]:
        """Return every lane with what waits in it; without a time, all of it counts as ready."""
        return read_lanes(self.db, now)

    def tools(self) -> tuple[JobTools, ...]:
        """Return the jobs with tool calls to run."""
        rows = self.db.execute(
            "SELECT j.address, COUNT(*) FROM lanes l JOIN conversations c ON c.lane = l.id "
            "AND c.phase = 'tools' JOIN jobs j ON j.id = c.job GROUP BY 1"
        )
        return tuple(JobTools(JobAddress(address), n) for address, n in rows)

    def serial(self) -> int:
        """Return the counter of changes."""
        return int(self.db.execute("SELECT value FROM meta WHERE key = 'serial'").fetchone()[0])

    def settled_since(self, job: JobAddress, serial: int) -> bool:
        """Tell whether an item of a job got an answer, or another one, from a serial on."""
        return bool(self.db.execute(_SETTLED, (serial, job)).fetchone()[0])

    def pending(self, lane: LaneId, now: float = inf) -> Iterator[Waiting]:
        """Yield what can be sent in a lane at a time, in order."""
        rows = self.db.execute(
            "SELECT id, job, size, data FROM conversations WHERE lane = ? AND phase = 'pending' "
            "AND ready_at <= ? ORDER BY id",
            (lane, now),
        )
        while chunk := rows.fetchmany(1000):
            yield from map(Waiting._make, chunk)

    def backlog(self, model: Lane, now: float) -> Mapping[tuple[LaneId, int], int]:
        """Return the prompt bytes that can be sent, by lane of a provider's model and by job."""
        lanes = [one.lane.id for one in self.lanes() if one.lane.queue == model.queue]
        rows = self.db.execute(_BACKLOG, (ENVELOPE, json.dumps(lanes), now))
        return {(LaneId(lane), job): size for lane, job, size in rows}

    def untidy(self, limit: int) -> Sequence[BatchRecord]:
        """Return batches that are done with and whose input file is still to be deleted."""
        return untidy(self.db, limit)

    def requests(self, batch: BatchId) -> Iterator[StoredRequest]:
        """Yield the members of a batch with their messages, in order."""
        rows = self.db.execute(
            "SELECT lower(hex(substr(fingerprint, 1, 8))) || '-' || turn, contract, turn, request "
            "FROM conversations WHERE phase = 'batched' AND "
            "batch = (SELECT number FROM batches WHERE id = ?) ORDER BY id",
            (batch,),
        )
        get = self.bodies.get
        while chunk := rows.fetchmany(1000):
            for key, contract, turn, request in chunk:
                yield StoredRequest(key, contract, turn, get(request).partition(b"\t")[0])

    def lane(self, lane: LaneId) -> Lane:
        """Return one lane."""
        return read_lane(self.db, lane)

    def contract(self, contract: int) -> Contract:
        """Return what all requests of a contract share."""
        return read_contract(self.db, contract)

    def owner(self, conversation: ConversationId) -> tuple[RowKey | None, RecordRef | None]:
        """Return key and row of an item that wants a conversation."""
        row = self.db.execute(
            "SELECT key, row FROM items WHERE conversation = ? LIMIT 1", (conversation,)
        ).fetchone()
        return (None, None) if row is None else (RowKey(row[0]), RecordRef(row[1]))

    def costs(self) -> dict[JobAddress, Decimal]:
        """Return US dollars the requests on record have cost, by job; unknown prices count as 0."""
        rows = self.db.execute(
            "SELECT j.address, SUM(c.cost) FROM conversations c JOIN jobs j ON j.id = c.job "
            "GROUP BY c.job"
        )
        return {JobAddress(job): Decimal(str(cost or 0)) for job, cost in rows}

    def costs_of(self, batch: BatchId) -> dict[JobAddress, Decimal]:
        """Return US dollars the replies of one batch have cost, by job, as `costs` does."""
        rows = self.db.execute(_COSTS_OF, {"batch": batch})
        return {JobAddress(job): Decimal(str(cost or 0)) for job, cost in rows}

    def job_name(self, job: int) -> JobAddress:
        """Return the address of a job by its number."""
        row = self.db.execute("SELECT address FROM jobs WHERE id = ?", (job,)).fetchone()
        return JobAddress(row[0])

    def unjudged(self) -> Sequence[JobAddress]:
        """Return the jobs whose replies were judged by another policy than the one agreed to."""
        rows = self.db.execute("SELECT address FROM jobs WHERE policy <> judged AND NOT removed")
        return [JobAddress(address) for (address,) in rows]

    def final_replies(self, job: JobAddress) -> Iterator[FinalReply]:
        """Yield the replies that gave items their outcome."""
        rows = self.db.execute(
            f"SELECT c.id, reply, turn, outcome, reason, {ASKED}, l.endpoint, resumable, answer "  # noqa: S608 - constant
            "FROM conversations c JOIN lanes l ON l.id = c.lane WHERE phase = 'final' "
            "AND outcome IN ('succeeded', 'failed', 'exhausted') AND reply IS NOT NULL "
            "AND job = (SELECT id FROM jobs WHERE address = ?)",
            (job,),
        )
        while chunk := rows.fetchmany(1000):
            yield from (FinalReply._make(row) for row in chunk)

    def fingerprints(self) -> int:
        """Return the number of the algorithm that fingerprinted what is recorded."""
        return version_of(self.db)
