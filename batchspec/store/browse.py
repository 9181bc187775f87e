"""Looking at the recorded state: lists and details for people, on a reader's connection."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from batchspec.ids import BatchId, JobAddress, LaneId, RecordRef, RowKey, item_address
from batchspec.messages import Usage
from batchspec.state.browsed import (
    BodyPlace,
    ItemDetail,
    ItemEntry,
    JobDetail,
    JournalEntry,
    ListedBatch,
    OldAnswer,
)
from batchspec.state.journal import event_from_json
from batchspec.state.records import Lane
from batchspec.store.reader import StateReader
from batchspec.store.segments import unpack_ref

_CHUNK = 1000
_ENTRIES = """
SELECT i.id, i.key, c.phase, CASE WHEN c.phase = 'final' THEN c.outcome END, c.tainted > 0
FROM items i JOIN conversations c ON c.id = i.conversation
WHERE i.job = (SELECT id FROM jobs WHERE address = ?) AND i.id > ? ORDER BY i.id LIMIT ?
"""
_JOB = """
SELECT hex(k.fingerprint), hex(j.policy), j.policy = j.judged, j.upstream, j.protect, k.lane
FROM jobs j JOIN contracts k ON k.id = j.contract WHERE j.address = ?
"""
_ITEM = """
SELECT i.id, c.tainted > 0 AS tainted, i.row, i.previous, c.id AS conversation,
  hex(c.fingerprint) AS fingerprint, hex(k.fingerprint) AS contract, c.lane, c.phase, c.turn,
  c.tries, c.attempts, c.output_retries, c.outcome, c.reason, c.request, c.reply, c.answer, c.kept,
  c.input_tokens, c.cached_tokens, c.output_tokens, c.reasoning_tokens, c.cost, b.id AS batch,
  b.remote_id
FROM items i JOIN conversations c ON c.id = i.conversation JOIN contracts k ON k.id = c.contract
LEFT JOIN batches b ON b.number = c.batch
WHERE i.job = (SELECT id FROM jobs WHERE address = ?) AND i.key = ?
"""
_SHARED = """
SELECT j.address, i.key FROM items i JOIN jobs j ON j.id = i.job
WHERE i.conversation = ? AND i.id <> ? ORDER BY i.id LIMIT 10
"""
_BATCHES_OF = """
SELECT b.id FROM items i JOIN conversations c ON c.id = i.conversation
JOIN batches b ON b.number = c.batch OR b.number IN (
  SELECT t.batch FROM turns t WHERE t.conversation = c.id)
WHERE i.job = (SELECT id FROM jobs WHERE address = ?) AND i.key = ?
"""


def entries(reader: StateReader, jobs: Iterable[JobAddress]) -> Iterator[ItemEntry]:
    """Yield the items of some jobs, in the order in which they were first seen."""
    for job in jobs:
        after = 0
        while True:
            rows = reader.db.execute(_ENTRIES, (job, after, _CHUNK)).fetchall()
            for _, key, phase, outcome, tainted in rows:
                yield ItemEntry(job, RowKey(key), phase, outcome, bool(tainted))
            if len(rows) < _CHUNK:
                break
            after = rows[-1][0]


def live_jobs(db: sqlite3.Connection) -> list[JobAddress]:
    """Return the jobs that are not forgotten."""
    rows = db.execute("SELECT address FROM jobs WHERE NOT removed ORDER BY address")
    return [JobAddress(address) for (address,) in rows]


def keys(db: sqlite3.Connection, job: JobAddress, most: int) -> list[str]:
    """Return the first keys of a job."""
    rows = db.execute(
        "SELECT key FROM items WHERE job = (SELECT id FROM jobs WHERE address = ?) LIMIT ?",
        (job, most),
    )
    return [key for (key,) in rows]


def job_detail(reader: StateReader, job: JobAddress) -> JobDetail | None:
    """Return one job in full; None: there is no such job."""
    row = reader.db.execute(_JOB, (job,)).fetchone()
    if row is None:
        return None
    contract, policy, judged, upstream, protect, lane = row
    return JobDetail(
        progress=next(p for p in reader.progress() if p.address == job),
        lane=reader.lane(LaneId(lane)),
        contract=contract.lower(),
        policy=policy.lower(),
        judged=bool(judged),
        upstream=upstream,
        protect=bool(protect),
    )


def item_detail(reader: StateReader, job: JobAddress, key: RowKey) -> ItemDetail | None:
    """Return one item in full; None: the job has no such item."""
    found = _named(reader.db, _ITEM, (job, key))
    if found is None:
        return None
    shared = reader.db.execute(_SHARED, (found["conversation"], found["id"]))
    outcome = found["outcome"] if found["phase"] == "final" else None
    return ItemDetail(
        entry=ItemEntry(job, key, found["phase"], outcome, bool(found["tainted"])),
        fingerprint=found["fingerprint"].lower(),
        contract=found["contract"].lower(),
        lane=reader.lane(LaneId(found["lane"])),
        reason=found["reason"],
        turn=found["turn"],
        tries=found["tries"],
        attempts=found["attempts"],
        output_retries=found["output_retries"],
        usage=Usage(
            found["input_tokens"],
            found["cached_tokens"],
            found["output_tokens"],
            found["reasoning_tokens"],
        ),
        cost=found["cost"],
        batch=found["batch"],
        remote_id=found["remote_id"],
        bodies={
            name: _place(found[name])
            for name in ("row", "request", "reply", "answer", "kept")
            if found[name] is not None
        },
        previous=_old(reader.db, found["previous"]),
        shared_with=tuple(item_address(JobAddress(other), its) for other, its in shared),
    )


def _named(db: sqlite3.Connection, sql: str, parameters: Sequence[Any]) -> dict[str, Any] | None:
    cursor = db.execute(sql, parameters)
    row = cursor.fetchone()
    return None if row is None else dict(zip((c[0] for c in cursor.description), row, strict=True))


def _place(ref: int) -> BodyPlace:
    segment, offset, index = unpack_ref(RecordRef(ref))
    return BodyPlace(f"{segment:08d}.jsonl.zst", offset, index)


def _old(db: sqlite3.Connection, conversation: int | None) -> OldAnswer | None:
    if conversation is None:
        return None
    row = db.execute(
        "SELECT hex(fingerprint), outcome, cost FROM conversations WHERE id = ?", (conversation,)
    ).fetchone()
    return (
        None if row is None else OldAnswer(fingerprint=row[0].lower(), outcome=row[1], cost=row[2])
    )


def listed_batches(reader: StateReader, *, open_only: bool) -> list[ListedBatch]:
    """Return batches, open ones first, newer ones before older ones."""
    lanes: dict[LaneId, Lane] = {}
    found = [
        ListedBatch(b, lanes.setdefault(b.lane, reader.lane(b.lane)))
        for b in reversed(reader.batches(open_only=open_only))
    ]
    still_open = {b.id for b in reader.batches(open_only=True)}
    return sorted(found, key=lambda one: one.batch.id not in still_open)


def batches_of(reader: StateReader, job: JobAddress, key: RowKey) -> set[BatchId]:
    """Return the batches that carried a turn of an item."""
    return {BatchId(batch) for (batch,) in reader.db.execute(_BATCHES_OF, (job, key))}


def journal(reader: StateReader) -> Iterator[JournalEntry]:
    """Yield the journal, oldest first."""
    rows = reader.db.execute("SELECT seq, at, kind, payload FROM journal ORDER BY seq")
    for seq, at, kind, payload in rows:
        yield JournalEntry(seq, at, kind, json.loads(payload), event_from_json(kind, payload))
