"""Changing addresses and forgetting items by hand: nothing is sent, cancelled or destroyed."""

import sqlite3

from batchspec.ids import JobAddress, RowKey
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
    "DELETE FROM items WHERE id IN (SELECT id FROM dropped)",
    "UPDATE jobs SET removed = 1 WHERE address = :job AND :key IS NULL",
)
_COUNTS = """
SELECT COUNT(*), COALESCE(SUM(c.phase = 'batched' AND NOT EXISTS (
  SELECT 1 FROM items i WHERE i.conversation = c.id)), 0)
FROM dropped d JOIN conversations c ON c.id = d.conversation
"""


def move_job(db: sqlite3.Connection, old: JobAddress, new: JobAddress) -> None:
    """Give a job another address; inside a transaction."""
    db.execute("UPDATE jobs SET address = ? WHERE address = ?", (new, old))
    db.execute(_MOVE_BATCHES, {"old": f'$."{old}"', "new": f'$."{new}"'})


def move_item(db: sqlite3.Connection, job: JobAddress, old: RowKey, new: RowKey) -> None:
    """Give an item another key; inside a transaction."""
    db.execute(
        "UPDATE items SET key = ? WHERE key = ? AND job = (SELECT id FROM jobs WHERE address = ?)",
        (new, old, job),
    )


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
