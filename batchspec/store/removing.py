"""Removing jobs and items for good: what they are, and the answers nobody else wants."""

import json
import sqlite3
from collections.abc import Collection
from decimal import Decimal

from batchspec.ids import BatchId, JobAddress
from batchspec.state.removed import JobRemoval
from batchspec.store.stopping import Named
from batchspec.store.watching import note_forgotten

_JOBS = """
SELECT j.address, COUNT(i.id), COALESCE(SUM(c.outcome = 'succeeded' AND c.phase = 'final'), 0)
FROM jobs j LEFT JOIN items i ON i.job = j.id AND i.id IN (SELECT item FROM temp.chosen)
LEFT JOIN conversations c ON c.id = i.conversation
WHERE j.address IN (SELECT value FROM json_each(?)) GROUP BY j.id ORDER BY j.address
"""
# What would be nobody's: of the chosen items, and of whole jobs also what no item wants any more.
_DOOMED = """
CREATE TEMP TABLE doomed AS
SELECT c.id, c.job, c.cost FROM conversations c
WHERE c.phase = 'final' AND (
    c.id IN (SELECT conversation FROM temp.chosen)
    OR c.id IN (SELECT i.previous FROM items i JOIN temp.chosen x ON x.item = i.id)
    OR c.job IN (SELECT id FROM jobs WHERE address IN (SELECT value FROM json_each(?))))
  AND NOT EXISTS (SELECT 1 FROM items i WHERE i.conversation = c.id
    AND i.id NOT IN (SELECT item FROM temp.chosen))
  AND NOT EXISTS (SELECT 1 FROM items i WHERE i.previous = c.id
    AND i.id NOT IN (SELECT item FROM temp.chosen))
"""
_COST = """
SELECT j.address, COUNT(*), SUM(d.cost), SUM(d.cost IS NULL) FROM temp.doomed d
JOIN jobs j ON j.id = d.job GROUP BY j.id
"""
_DELETE = (
    "DELETE FROM tool_calls WHERE conversation IN (SELECT id FROM temp.doomed)",
    "DELETE FROM turns WHERE conversation IN (SELECT id FROM temp.doomed)",
    "DELETE FROM foreign_ids WHERE conversation IN (SELECT id FROM temp.doomed)",
    "DELETE FROM conversations WHERE id IN (SELECT id FROM temp.doomed)",
)


def look(db: sqlite3.Connection, named: Named) -> tuple[JobRemoval, ...]:
    """Say what removing the chosen items means for each job."""
    _doom(db, named)
    costs = {row[0]: row[1:] for row in db.execute(_COST)}
    found = [
        JobRemoval(
            job=JobAddress(address),
            whole=named[JobAddress(address)] is None,
            items=items,
            succeeded=succeeded,
            answers=costs.get(address, (0, 0, 0))[0],
            cost=None if costs.get(address, (0, 0, 0))[2] else costs.get(address, (0, 0, 0))[1],
        )
        for address, items, succeeded in db.execute(_JOBS, (json.dumps(list(named)),))
    ]
    db.execute("DROP TABLE temp.doomed")
    return tuple(found)


def _doom(db: sqlite3.Connection, named: Named) -> None:
    db.execute("DROP TABLE IF EXISTS temp.doomed")
    whole = [job for job, keys in named.items() if keys is None]
    db.execute(_DOOMED, (json.dumps(whole),))


def doom(db: sqlite3.Connection, named: Named) -> list[tuple[JobAddress, int, float | None]]:
    """Note the answers of the chosen items that nobody else wants, while the items are there.

    Returns:
        How many there are of each job, and US dollars they have cost, None where a price is
        unknown.
    """
    _doom(db, named)
    return [
        (JobAddress(job), number, None if unknown else cost or 0.0)
        for job, number, cost, unknown in db.execute(_COST)
    ]


def delete_doomed(db: sqlite3.Connection) -> None:
    """Delete what was noted, once its items are forgotten; inside a transaction.

    What it cost stays paid: budgets that count from some moment on would grow otherwise.
    """
    (cost,) = db.execute("SELECT SUM(cost) FROM temp.doomed").fetchone()
    if cost:
        note_forgotten(db, Decimal(str(cost)))
    for statement in _DELETE:
        db.execute(statement)
    db.execute("DROP TABLE temp.doomed")


def batches_of(db: sqlite3.Connection, jobs: Collection[JobAddress]) -> set[BatchId]:
    """Return the batches that have requests of some jobs and of no other."""
    rows = db.execute(
        "SELECT b.id FROM batches b WHERE b.jobs <> '{}' AND NOT b.imported AND NOT EXISTS ("
        "SELECT 1 FROM json_each(b.jobs) o WHERE o.key NOT IN (SELECT value FROM json_each(?)))",
        (json.dumps(list(jobs)),),
    )
    return {BatchId(batch) for (batch,) in rows}
