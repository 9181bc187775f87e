"""The tables of a draft, comparing rows with what is recorded, and adding them up."""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from batchspec.fingerprint import row_digest
from batchspec.ids import JobAddress
from batchspec.ports import PlannedRow
from batchspec.state.resumption import LOST, TOOLS, TURN
from batchspec.state.stored import DraftTotals, LastTurn
from batchspec.store import leaving
from batchspec.store.rows import ASKED

SCHEMA = """
PRAGMA page_size = 16384;
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -32768;
CREATE TABLE jobs (
  number INTEGER PRIMARY KEY, address TEXT NOT NULL UNIQUE, state INTEGER,
  fingerprint BLOB NOT NULL, provider TEXT NOT NULL, endpoint TEXT NOT NULL, model TEXT NOT NULL,
  contract TEXT NOT NULL, policy BLOB NOT NULL, partial INTEGER NOT NULL, protect INTEGER NOT NULL,
  scoped INTEGER NOT NULL, sample INTEGER NOT NULL
);
CREATE TABLE rows (
  id INTEGER PRIMARY KEY, job INTEGER NOT NULL, key TEXT NOT NULL, line INTEGER,
  kind TEXT, fingerprint BLOB, body INTEGER, size INTEGER, digest INTEGER,
  data INTEGER,
  UNIQUE (job, key)
);
CREATE TABLE sources (job INTEGER NOT NULL, upstream TEXT NOT NULL, collects INTEGER NOT NULL,
  picks INTEGER NOT NULL, whole INTEGER NOT NULL);
CREATE TABLE kept (job TEXT, key TEXT, same INTEGER, PRIMARY KEY (job, key)) WITHOUT ROWID;
CREATE TABLE reused (id INTEGER PRIMARY KEY, job TEXT NOT NULL, key TEXT NOT NULL,
  fingerprint BLOB NOT NULL, row BLOB NOT NULL);
CREATE INDEX reused_job ON reused (job);
CREATE TABLE removed_jobs (address TEXT PRIMARY KEY);
CREATE TABLE anew (fingerprint BLOB PRIMARY KEY, wished INTEGER NOT NULL) WITHOUT ROWID;
"""
# Only jobs with one contract can have a request in common, such as variants that differ in rows.
_TWINS = """
SELECT t.number FROM jobs t JOIN jobs j ON j.number = ?
WHERE t.number < j.number AND t.fingerprint = j.fingerprint AND t.sample = j.sample
"""
_REQUESTS = """
SELECT COUNT(*), SUM(size), SUM(data) FROM (
  SELECT size, data FROM rows r WHERE job = ? AND kind IN ('+', '-/+') {} GROUP BY fingerprint)
"""
_NOT_A_TWINS = """
AND NOT EXISTS (SELECT 1 FROM json_each(?) t JOIN rows o ON o.job = t.value
  AND o.fingerprint = r.fingerprint AND o.kind IN ('+', '-/+'))
"""
_RESUMED = """
SELECT DISTINCT fingerprint FROM rows r WHERE job = ? AND kind = '>>' AND fingerprint > ?
  AND NOT EXISTS (SELECT 1 FROM rows o WHERE o.fingerprint = r.fingerprint AND o.job < r.job
    AND o.kind IN ('>>', '-/+')) ORDER BY 1 LIMIT ?
"""
_CHUNK = 500
_SIZES = f"""
SELECT turn, resumable <> {TURN}, COUNT(*), SUM(size), SUM(data) FROM conversations
WHERE fingerprint IN ({",".join("?" * _CHUNK)}) GROUP BY 1, 2
"""  # noqa: S608 - marks
Found = Mapping[str, Sequence[Any]]
"""Of items by key: fingerprint, phase, outcome, …, seventh `tainted`, last `expired`."""
_EXPIRED = (
    "CASE WHEN ?1 IS NOT NULL THEN {0}phase = 'final' AND {0}outcome = 'succeeded' "
    "AND (SELECT b.ended_at <= ?1 FROM batches b WHERE b.number = {0}batch) END"
)
"""Whether an answer came in before a moment: that is when the end of its last batch was seen."""
BLOBS = 500
"""Fingerprints looked for at a time."""
# How long the request is with which a conversation that ended goes on, as `agree` has it.
_RESENT = (
    "CASE WHEN phase = 'final' AND resumable > 0 AND tainted <= tries "
    f"AND (resumable <= {TOOLS} OR outcome = 'cancelled') THEN size END"
)
SAME = (
    "SELECT fingerprint, id, phase, outcome, phase = 'final' AND tainted > 0, "  # noqa: S608 - placeholders
    "outcome = 'lost' AND (SELECT phase = 'lost' FROM batches WHERE number = batch), "
    f"stopped, {_RESENT}, {_EXPIRED.format('')} "
    "FROM conversations "
    f"WHERE fingerprint IN ({','.join('?' * BLOBS)})"
)
ITEMS = f"""
SELECT i.key, c.fingerprint, c.phase, c.outcome, c.contract, i.row, i.digest,
  c.tainted > 0,
  c.outcome = 'lost' AND (SELECT b.phase = 'lost' FROM batches b WHERE b.number = c.batch),
  c.stopped, c.resumable, c.turn, {ASKED}, c.output_tokens > 0,
  CASE WHEN c.resumable = {LOST} THEN (SELECT json_group_array(t.name) FROM tool_calls t
    WHERE t.conversation = c.id AND t.since = c.since AND t.turn = c.turn AND t.status <> 'done'
      AND t.attempts > 0) END,
  {_RESENT}, {_EXPIRED.format("c.")}
FROM json_each(?) k CROSS JOIN items i ON i.job = ? AND i.key = k.value
JOIN conversations c ON c.id = i.conversation
"""  # noqa: S608 - constants


def compare(
    items: Callable[[int | None, Sequence[PlannedRow]], Found],
    state: sqlite3.Connection,
    job: JobAddress,
    rows: Sequence[PlannedRow],
) -> Mapping[str, bool | None]:
    """Compare rows of a job that is not begun with its items.

    None: only the row changed, and not its request; its answer is judged anew.
    """
    number = state.execute("SELECT id FROM jobs WHERE address = ?", (job,)).fetchone()
    found = items(None if number is None else number[0], rows)
    pairs = ((row, found[row.key]) for row in rows if row.key in found)
    return {row.key: _same(row, item) for row, item in pairs}


def _same(row: PlannedRow, item: Sequence[Any]) -> bool | None:
    if tuple(item[:3]) != (row.fingerprint, "final", "succeeded") or item[6] or item[-1]:
        return False
    return item[5] == row_digest(row.row_json) or None


def totals(draft: sqlite3.Connection, number: int) -> DraftTotals:
    """Return the different requests that a job would send, without those of jobs before it."""
    twins = [twin for (twin,) in draft.execute(_TWINS, (number,))]
    if twins:
        draft.execute(leaving.INDEX)
        found = draft.execute(_REQUESTS.format(_NOT_A_TWINS), (number, json.dumps(twins)))
    else:
        found = draft.execute(_REQUESTS.format(""), (number,))
    requests, size, data = found.fetchone()
    return DraftTotals(requests, size or 0, data or 0)


def resumed(
    draft: sqlite3.Connection, state: sqlite3.Connection, job: int
) -> dict[LastTurn, DraftTotals]:
    """Return the last requests of what goes on, without those of jobs before it, by their turn."""
    found: dict[LastTurn, DraftTotals] = {}
    query = "SELECT EXISTS (SELECT 1 FROM rows WHERE job = ? AND kind = '>>')"
    if draft.execute(query, (job,)).fetchone()[0]:
        draft.execute(leaving.INDEX)
    after, more = b"", True
    while more:
        some = [f for (f,) in draft.execute(_RESUMED, (job, after, _CHUNK))]
        marks = [*some, *[b""] * (_CHUNK - len(some))]
        for number, answered, requests, size, data in state.execute(_SIZES, marks):
            turn = LastTurn(number, bool(answered))
            old = found.get(turn, DraftTotals(0, 0))
            new = old.requests + requests, old.bytes + size, old.data + data
            found[turn] = DraftTotals(*new)
        more, after = len(some) == _CHUNK, some[-1] if some else after
    return found
