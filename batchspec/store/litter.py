"""What a state has at the providers and on disk that nothing needs any more."""

import sqlite3
from collections.abc import Collection
from typing import NamedTuple

from batchspec.ids import BatchId, FileId
from batchspec.state.housekeeping import BodiesDeleted
from batchspec.store.rules import SEGMENT, body_references
from batchspec.store.segments import segment_path
from batchspec.store.sqlite import StateStore

_INPUTS = """
SELECT b.id, l.provider, b.account, b.bytes, b.input_file_id, NULL FROM batches b
JOIN lanes l ON l.id = b.lane WHERE b.phase IN ('collected', 'rejected', 'lost')
  AND b.input_file_id IS NOT NULL AND b.tidied_at IS NULL AND NOT b.imported
  AND coalesce(b.ended_at, b.intended_at) <= :before AND NOT EXISTS (
    SELECT 1 FROM batches o WHERE o.input_file_id = b.input_file_id
    AND o.phase IN ('intended', 'submitted', 'ended'))
ORDER BY b.number
"""
_RESULTS = """
SELECT b.id, l.provider, b.account, 0, nullif(b.output_file_id, ''), nullif(b.error_file_id, '')
FROM batches b JOIN lanes l ON l.id = b.lane WHERE b.phase = 'collected' AND b.purged_at IS NULL
  AND NOT b.imported AND NOT b.unread
  AND coalesce(nullif(b.output_file_id, ''), nullif(b.error_file_id, '')) IS NOT NULL
  AND coalesce(b.ended_at, b.intended_at) <= :before
ORDER BY b.number
"""


class RemoteLitter(NamedTuple):
    """Files of one batch at its provider that are not needed any more."""

    batch: BatchId
    provider: str
    account: str | None
    bytes: int
    """Of an input file, as it was sent; nobody here knows the size of results."""
    files: tuple[FileId, ...]


class Litter(NamedTuple):
    """Everything that is not needed any more."""

    inputs: list[RemoteLitter]
    results: list[RemoteLitter]
    segments: list[tuple[int, int]]
    """(number, bytes) of files of bodies that no row points at."""


def find_litter(db: sqlite3.Connection, before: float) -> Litter:
    """Return what is not needed any more.

    Files of imported batches are somebody else's. Results are only of batches whose results were
    read: their raw lines are kept here. One that could not be read may be readable another day.

    Args:
        db: The state.
        before: Only files of batches that ended by then, in unix seconds.
    """
    return Litter(_remote(db, _INPUTS, before), _remote(db, _RESULTS, before), _segments(db))


def files_of(db: sqlite3.Connection, batches: Collection[BatchId], before: float) -> Litter:
    """Return what of some batches is at their providers and not needed any more."""
    found = _remote(db, _INPUTS, before), _remote(db, _RESULTS, before)
    inputs, results = ([one for one in each if one.batch in batches] for each in found)
    return Litter(inputs, results, [])


def _remote(db: sqlite3.Connection, sql: str, before: float) -> list[RemoteLitter]:
    rows = db.execute(sql, {"before": before})
    return [
        RemoteLitter(batch, provider, account, size, tuple(file for file in files if file))
        for batch, provider, account, size, *files in rows
    ]


def _segments(db: sqlite3.Connection) -> list[tuple[int, int]]:
    used = f"SELECT ref / {SEGMENT} FROM ({body_references()})"  # noqa: S608 - constants
    return db.execute(
        f"SELECT id, bytes FROM artifacts WHERE records > 0 AND id NOT IN ({used}) ORDER BY id"  # noqa: S608 - constants
    ).fetchall()


def delete_segments(store: StateStore, at: float) -> BodiesDeleted:
    """Delete files of bodies that no row points at; the lease is held.

    The rows go first: a file that is left when the process dies is removed by the next writer.
    """
    with store.transaction() as db:
        idle = _segments(db)
        event = BodiesDeleted(segments=len(idle), bytes=sum(size for _, size in idle), at=at)
        if idle:
            db.executemany("DELETE FROM artifacts WHERE id = ?", [(number,) for number, _ in idle])
            store.journal(event)
    for number, _ in idle:
        segment_path(store.artifacts, number).unlink(missing_ok=True)
    return event
