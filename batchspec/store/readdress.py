"""Changing addresses and forgetting items by hand: nothing is sent, cancelled or destroyed."""

import sqlite3
from collections.abc import Callable

from batchspec.ids import Fingerprint, JobAddress, RecordRef, RowKey
from batchspec.store.wanted import LET_GO

_MOVE_BATCHES = """
UPDATE batches SET jobs = json_set(json_remove(jobs, :old), :new, json_extract(jobs, :old))
WHERE json_type(jobs, :old) IS NOT NULL
"""
_FORGET = (
    """
    CREATE TEMP TABLE dropped AS SELECT id, conversation FROM items
    WHERE job = (SELECT id FROM jobs WHERE address = :job) AND (:key IS NULL OR key = :key)
    """,
    # A mean of answers that are not all there any more is none.
    "UPDATE jobs SET grade = NULL WHERE address = :job AND EXISTS (SELECT 1 FROM dropped)",
    "DELETE FROM items WHERE id IN (SELECT id FROM dropped)",
    "UPDATE jobs SET removed = 1 WHERE address = :job AND :key IS NULL",
)
_COUNTS = """
SELECT COUNT(*), COALESCE(SUM(c.phase = 'batched' AND NOT EXISTS (
  SELECT 1 FROM items i WHERE i.conversation = c.id)), 0)
FROM dropped d JOIN conversations c ON c.id = d.conversation
"""
_REKEY = """
UPDATE items SET key = :new WHERE key = :old AND job = (SELECT id FROM jobs WHERE address = :job)
"""
# Where code that runs here sees the row, its key keeps equal requests apart.
_SCOPED = """
SELECT c.id, c.contract, c.sample, coalesce(
  (SELECT t.request FROM turns t WHERE t.conversation = c.id AND t.turn = 1 ORDER BY try LIMIT 1),
  c.request), c.phase
FROM items i JOIN conversations c ON c.id = i.conversation
WHERE i.job = (SELECT id FROM jobs WHERE address = :job) AND i.key = :old AND c.scope = :old
  AND NOT EXISTS (SELECT 1 FROM items o WHERE o.conversation = c.id AND o.id <> i.id)
"""
# Another row may have asked just that before: then the plan finds that answer.
_RESCOPE = """
UPDATE OR IGNORE conversations SET scope = :new, fingerprint = :fingerprint WHERE id = :id
"""


def move_job(db: sqlite3.Connection, old: JobAddress, new: JobAddress) -> None:
    """Give a job another address; inside a transaction."""
    db.execute("UPDATE jobs SET address = ? WHERE address = ?", (new, old))
    for table in ("hooks", "deliveries"):
        db.execute(f"UPDATE OR REPLACE {table} SET job = ? WHERE job = ?", (new, old))  # noqa: S608 - constants
    db.execute(_MOVE_BATCHES, {"old": f'$."{old}"', "new": f'$."{new}"'})


def move_item(
    db: sqlite3.Connection,
    job: JobAddress,
    old: RowKey,
    new: RowKey,
    fingerprint: Callable[[int, RecordRef, int], Fingerprint],
) -> None:
    """Give an item another key, and its request if the key is part of it; inside a transaction.

    Args:
        db: The writer's connection.
        job: Of the item.
        old: Its key.
        new: The key it gets.
        fingerprint: From a contract, the body of a first request and a sample to what the request
            is under the new key.
    """
    values = {"job": job, "old": old, "new": new}
    for conversation, contract, sample, request, _ in db.execute(_SCOPED, values).fetchall():
        anew = fingerprint(contract, RecordRef(request), sample)
        db.execute(_RESCOPE, {"id": conversation, "new": new, "fingerprint": anew})
    db.execute(_REKEY, values)


def bound(db: sqlite3.Connection, job: JobAddress, key: RowKey) -> bool:
    """Tell whether an item has a request in a batch that its key is part of."""
    found = db.execute(_SCOPED, {"job": job, "old": key}).fetchall()
    return any(phase == "batched" for *_, phase in found)


def forget(db: sqlite3.Connection, job: JobAddress, key: RowKey | None) -> tuple[int, int]:
    """Forget an item, or a job with all of its items; inside a transaction.

    Returns:
        How many items were forgotten, and how many of them are in a batch that nobody else wants.
    """
    for statement in _FORGET:
        db.execute(statement, {"job": job, "key": key})
    for statement in LET_GO:
        db.execute(statement)
    items, in_flight = db.execute(_COUNTS).fetchone()
    db.execute("DROP TABLE dropped")
    return items, in_flight


def protected(db: sqlite3.Connection, job: JobAddress) -> bool:
    """Tell whether a job is remembered as protected."""
    row = db.execute("SELECT protect FROM jobs WHERE address = ?", (job,)).fetchone()
    return bool(row and row[0])
