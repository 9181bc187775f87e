"""Changing addresses and forgetting items by hand: nothing is sent, cancelled or destroyed."""

import sqlite3

from batchspec.ids import JobAddress, RowKey

_MOVE_BATCHES = """
UPDATE batches SET jobs = json_set(json_remove(jobs, :old), :new, json_extract(jobs, :old))
WHERE json_type(jobs, :old) IS NOT NULL
"""
_FORGET = (
    """
    CREATE TEMP TABLE forgotten AS SELECT id, conversation FROM items
    WHERE job = (SELECT id FROM jobs WHERE address = :job) AND (:key IS NULL OR key = :key)
    """,
    "DELETE FROM items WHERE id IN (SELECT id FROM forgotten)",
    "UPDATE jobs SET removed = 1 WHERE address = :job AND :key IS NULL",
    # What an item of another job wants too is served and judged by that job now.
    """
    CREATE TEMP TABLE inherited AS
    SELECT c.id, c.job AS old, (
      SELECT i.job FROM items i WHERE i.conversation = c.id ORDER BY i.id LIMIT 1) AS new
    FROM conversations c WHERE c.id IN (SELECT conversation FROM forgotten)
      AND EXISTS (SELECT 1 FROM items i WHERE i.conversation = c.id)
      AND NOT EXISTS (SELECT 1 FROM items i WHERE i.conversation = c.id AND i.job = c.job)
    """,
    """
    UPDATE conversations SET job = (SELECT new FROM inherited t WHERE t.id = conversations.id)
    WHERE id IN (SELECT id FROM inherited)
    """,
    """
    UPDATE jobs SET judged = x'' WHERE id IN (
      SELECT t.new FROM inherited t JOIN jobs o ON o.id = t.old JOIN jobs n ON n.id = t.new
      WHERE o.judged <> n.policy)
    """,
    # What no item wants any more is not sent; what is in a batch comes back and is kept.
    """
    UPDATE conversations SET phase = 'final',
      outcome = CASE WHEN kept IS NULL THEN 'cancelled' ELSE 'succeeded' END,
      reason = CASE WHEN kept IS NULL THEN 'No row wants it any more.' END,
      reply = COALESCE(kept, reply)
    WHERE phase IN ('pending', 'tools') AND id IN (SELECT conversation FROM forgotten)
      AND NOT EXISTS (SELECT 1 FROM items i WHERE i.conversation = conversations.id)
    """,
)
_COUNTS = """
SELECT COUNT(*), COALESCE(SUM(c.phase = 'batched' AND NOT EXISTS (
  SELECT 1 FROM items i WHERE i.conversation = c.id)), 0)
FROM forgotten f JOIN conversations c ON c.id = f.conversation
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
    items, in_flight = db.execute(_COUNTS).fetchone()
    db.execute("DROP TABLE forgotten")
    db.execute("DROP TABLE inherited")
    return items, in_flight


def protected(db: sqlite3.Connection, job: JobAddress) -> bool:
    """Tell whether a job is remembered as protected."""
    row = db.execute("SELECT protect FROM jobs WHERE address = ?", (job,)).fetchone()
    return bool(row and row[0])
