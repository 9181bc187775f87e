"""Answers a person wants no more: marks on conversations, set and taken away."""

import json
import sqlite3
from collections.abc import Iterable
from itertools import islice

from batchspec.ids import JobAddress, RowKey

_CHUNK = 1000
_ITEMS = "SELECT i.conversation FROM items i JOIN jobs j ON j.id = i.job WHERE j.address = ?"
_KEYED = f"{_ITEMS} AND i.key IN (SELECT value FROM json_each(?))"  # noqa: S608 - constants
_SET = {
    True: "UPDATE conversations SET tainted = tries + 1 WHERE phase = 'final' AND id IN ({})",
    False: "UPDATE conversations SET tainted = 0 WHERE tainted > 0 AND id IN ({})",
}
_COUNT = """
SELECT COUNT(*) FROM items i JOIN jobs j ON j.id = i.job JOIN conversations c
ON c.id = i.conversation WHERE j.address = ? AND c.tainted > 0
"""


def taint(
    db: sqlite3.Connection, job: JobAddress, keys: Iterable[RowKey] | None, *, on: bool
) -> int:
    """Taint the answers of some items, or of a whole job, or take that back; in a transaction.

    What is under way has no answer that could be tainted, and is passed over.

    Returns:
        How many items of the job changed; items that share one answer change together.
    """
    before = _tainted(db, job)
    if keys is None:
        db.execute(_SET[on].format(_ITEMS), (job,))
    else:
        every = iter(keys)
        while chunk := list(islice(every, _CHUNK)):
            db.execute(_SET[on].format(_KEYED), (job, json.dumps(chunk)))
    return abs(_tainted(db, job) - before)


def _tainted(db: sqlite3.Connection, job: JobAddress) -> int:
    n: int = db.execute(_COUNT, (job,)).fetchone()[0]
    return n


def unknown_keys(db: sqlite3.Connection, job: JobAddress, keys: Iterable[RowKey]) -> list[RowKey]:
    """Return the first few keys of which a job has no item."""
    found: list[RowKey] = []
    every = iter(keys)
    while (chunk := list(islice(every, _CHUNK))) and len(found) < 5:
        known = {
            key
            for (key,) in db.execute(
                "SELECT i.key FROM items i JOIN jobs j ON j.id = i.job WHERE j.address = ? "
                "AND i.key IN (SELECT value FROM json_each(?))",
                (job, json.dumps(chunk)),
            )
        }
        found += [key for key in chunk if key not in known]
    return found[:5]


def some_keys(db: sqlite3.Connection, job: JobAddress, limit: int) -> list[RowKey]:
    """Return keys of a job's items, to guess from what a person meant."""
    rows = db.execute(
        "SELECT i.key FROM items i JOIN jobs j ON j.id = i.job WHERE j.address = ? LIMIT ?",
        (job, limit),
    )
    return [RowKey(key) for (key,) in rows]
