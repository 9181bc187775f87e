"""What hooks have not been told, for readers and the writer."""

import sqlite3

from batchspec.ids import JobAddress
from batchspec.state.hooks import HookRecord, Position

# In the order of the index; SQLite is not to begin with the items of the job, hence the `+`.
_FINAL = """
SELECT c.settled, c.id, i.id, i.key FROM conversations c CROSS JOIN items i ON i.conversation = c.id
WHERE c.settled > 0 AND {} AND c.phase = 'final' AND +i.job = (
  SELECT id FROM jobs WHERE address = :job)
ORDER BY c.settled, c.id, i.id LIMIT :limit
"""
AFTER = tuple(
    _FINAL.format(which)
    for which in (
        "c.settled = :settled AND c.id = :conversation AND i.id > :item",
        "c.settled = :settled AND c.id > :conversation",
        "c.settled > :settled",
    )
)
"""What is after a position, in three parts."""
NEWEST = """
SELECT c.settled FROM conversations c CROSS JOIN items i ON i.conversation = c.id
WHERE c.settled > 0 AND c.settled > :settled AND c.phase = 'final' AND +i.job = (
  SELECT id FROM jobs WHERE address = :job)
ORDER BY c.settled DESC LIMIT 1
"""
_RECORDS = """
SELECT job, kind, given_up, error, error_at, (
  SELECT COUNT(*) FROM deliveries d WHERE d.job = h.job AND d.kind = h.kind)
FROM hooks h ORDER BY job, kind
"""


def read_hooks(db: sqlite3.Connection) -> list[HookRecord]:
    """Return how far every hook is."""
    return [
        HookRecord(
            job=JobAddress(job),
            kind=kind,
            waiting=waiting,
            given_up=given_up,
            error=error,
            error_at=error_at,
        )
        for job, kind, given_up, error, error_at, waiting in db.execute(_RECORDS)
    ]


def untold(db: sqlite3.Connection) -> int:
    """Count hooks that are to be told something."""
    total: int = db.execute("SELECT COUNT(*) FROM deliveries").fetchone()[0]
    for job, kind, *position in db.execute(
        "SELECT job, kind, settled, conversation, item FROM hooks WHERE kind <> 'error'"
    ).fetchall():
        values = {**Position(*position)._asdict(), "job": job, "limit": 1}
        looks = AFTER if kind == "item" else [NEWEST]
        total += any(db.execute(sql, values).fetchone() for sql in looks)
    return total
