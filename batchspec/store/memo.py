"""Answers of pure tools, kept for equal calls; bounded, and not needed: each can be made again."""

import sqlite3
from collections.abc import Sequence

from batchspec.state.stored import CallDone
from batchspec.store.rows import PRESENT

MOST_BYTES = 256 * 1024 * 1024
"""Of all answers together; what was not used for the longest time goes first."""
_REMEMBER = f"""
INSERT INTO memo (key, tool, result, size, used_at) SELECT ?, name, ?, ?, ? FROM tool_calls
WHERE {PRESENT} AND conversation = ? AND turn = ? AND position = ?
ON CONFLICT (key) DO UPDATE SET used_at = excluded.used_at
"""  # noqa: S608 - constants
_TOO_MUCH = """
DELETE FROM memo WHERE key IN (SELECT key FROM (
  SELECT key, SUM(size) OVER (ORDER BY used_at DESC, key) AS so_far FROM memo) WHERE so_far > ?)
"""


def remembered(db: sqlite3.Connection, key: bytes) -> str | None:
    """Return the answer of an equal call, if it is kept."""
    row = db.execute("SELECT result FROM memo WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def remember(db: sqlite3.Connection, done: Sequence[CallDone], at: float) -> None:
    """Keep the answers that equal calls may have, and note which were used; in a transaction."""
    db.executemany(
        _REMEMBER,
        [(d.memo, d.result, len(d.result.encode()), at, *d[:3]) for d in done if d.memo],
    )


def forgettable(db: sqlite3.Connection, before: float) -> tuple[int, int]:
    """Return how many answers were not used since a time, and their bytes."""
    found = "SELECT COUNT(*), coalesce(SUM(size), 0) FROM memo WHERE used_at < ?"
    number, size = db.execute(found, (before,)).fetchone()
    return number, size


def forget(db: sqlite3.Connection, *, before: float, most: int = MOST_BYTES) -> tuple[int, int]:
    """Drop the answers not used since a time, and what is too much; in a transaction.

    Returns:
        How many, and their bytes.
    """
    count = "SELECT COUNT(*), coalesce(SUM(size), 0) FROM memo"
    number, size = db.execute(count).fetchone()
    db.execute("DELETE FROM memo WHERE used_at < ?", (before,))
    left = db.execute(count).fetchone()
    if left[1] > most:
        db.execute(_TOO_MUCH, (most,))
        left = db.execute(count).fetchone()
    return number - left[0], size - left[1]
