"""What a person stops: rows that are not sent, calls that are not run, batches that end early.

Set-based; the chosen items are in a temporary table, which is no part of the state.
"""

import json
import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice

from batchspec.ids import BatchId, JobAddress, RemoteId, RowKey
from batchspec.state.stopped import Fate, JobStop, Stop, StopBatch
from batchspec.store.wanted import end_stopped

Named = Mapping[JobAddress, Sequence[RowKey] | None]
"""The keys meant of every job; None: all."""

_CHUNK = 1000
_CHOOSE = """
INSERT OR IGNORE INTO temp.chosen
SELECT i.id, i.conversation FROM items i JOIN jobs j ON j.id = i.job WHERE j.address = :job
"""
_CHOOSE_KEYS = f"{_CHOOSE} AND i.key IN (SELECT value FROM json_each(:keys))"  # noqa: S608 - constants
_STOPPING = """
CREATE TEMP TABLE stopping AS
SELECT DISTINCT c.id, c.phase, c.batch FROM temp.chosen x JOIN conversations c
  ON c.id = x.conversation
WHERE c.phase <> 'final' AND NOT EXISTS (SELECT 1 FROM items i WHERE i.conversation = c.id
  AND i.id NOT IN (SELECT item FROM temp.chosen))
"""
_JOBS = """
SELECT j.address, COUNT(*), COALESCE(SUM(c.phase = 'final'), 0),
  COALESCE(SUM(s.phase = 'pending'), 0), COALESCE(SUM(s.phase = 'tools'), 0),
  COALESCE(SUM(s.phase = 'batched'), 0), COALESCE(SUM(c.phase <> 'final' AND s.id IS NULL), 0)
FROM temp.chosen x JOIN items i ON i.id = x.item JOIN jobs j ON j.id = i.job
JOIN conversations c ON c.id = x.conversation LEFT JOIN temp.stopping s ON s.id = c.id
GROUP BY j.id ORDER BY j.address
"""
_BATCHES = """
SELECT b.id, b.remote_id, b.phase, b.members, b.imported,
  (SELECT COUNT(*) FROM temp.stopping s WHERE s.phase = 'batched' AND s.batch = b.number) AS mine,
  EXISTS (SELECT 1 FROM conversations c WHERE c.batch = b.number AND c.phase = 'batched'
    AND NOT c.stopped AND c.id NOT IN (SELECT id FROM temp.stopping)
    AND EXISTS (SELECT 1 FROM items i WHERE i.conversation = c.id)),
  b.cancel_at IS NOT NULL, b.phase = 'intended' AND b.create_at IS NULL
FROM batches b WHERE b.phase IN ('intended', 'submitted', 'ended') AND mine > 0 ORDER BY b.number
"""
_MARK = "UPDATE conversations SET stopped = 1 WHERE id IN (SELECT id FROM temp.stopping)"


@contextmanager
def chosen(db: sqlite3.Connection, named: Named) -> Generator[None]:
    """Have the items a person named, and what nobody else wants of theirs, in temporary tables."""
    _drop(db)
    db.execute("CREATE TEMP TABLE chosen (item INTEGER PRIMARY KEY, conversation INTEGER)")
    for job, keys in named.items():
        if keys is None:
            db.execute(_CHOOSE, {"job": job})
            continue
        every = iter(keys)
        while chunk := list(islice(every, _CHUNK)):
            db.execute(_CHOOSE_KEYS, {"job": job, "keys": json.dumps(chunk)})
    db.execute(_STOPPING)
    yield
    _drop(db)


def _drop(db: sqlite3.Connection) -> None:
    for table in ("chosen", "stopping"):
        db.execute(f"DROP TABLE IF EXISTS temp.{table}")


def look(db: sqlite3.Connection) -> Stop:
    """Say what stopping the chosen items means."""
    jobs = [JobStop(JobAddress(row[0]), *row[1:]) for row in db.execute(_JOBS)]
    batches = [_batch(row) for row in db.execute(_BATCHES)]
    return Stop(tuple(jobs), tuple(batches))


def _batch(row: Sequence[object]) -> StopBatch:
    id_, remote, phase, members, imported, mine, shared, ending, unsent = row
    name = None if remote is None else RemoteId(str(remote))
    fate: Fate
    if unsent:
        fate = "unsent"
    elif phase == "ended" or ending:
        fate = "ending"
    elif shared:
        fate = "shared"
    else:
        fate = "imported" if imported else "cancel"
    return StopBatch(BatchId(str(id_)), name, int(str(members)), int(str(mine)), fate)


def stop(db: sqlite3.Connection) -> None:
    """Stop the chosen items; inside a transaction.

    What waits ends now. What is in a batch is marked: an answer it gets is kept, and anything else
    ends it, so that it is never sent again by itself.
    """
    db.execute(_MARK)
    end_stopped(db)
