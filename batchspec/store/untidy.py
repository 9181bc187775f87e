"""Input files that are still at the provider though their batches are done with."""

import sqlite3

from batchspec.state.records import TIDY_TRIES, BatchRecord
from batchspec.store.hooklooks import untold
from batchspec.store.rows import BATCH_COLUMNS, batch_record

_UNTIDY = f"""
FROM batches INDEXED BY batches_untidy
WHERE phase IN ('collected', 'rejected', 'lost') AND tidied_at IS NULL
  AND (input_file_id IS NOT NULL OR uploads > 0) AND NOT imported AND failures < {TIDY_TRIES}
"""


def untidy(db: sqlite3.Connection, limit: int) -> list[BatchRecord]:
    """Return batches whose input file is still to be deleted, at most `limit`."""
    sql = f"SELECT {BATCH_COLUMNS} {_UNTIDY} ORDER BY next_at, number LIMIT ?"
    return [batch_record(row) for row in db.execute(sql, (limit,))]


def chores(db: sqlite3.Connection) -> int:
    """Count what is to be brought to an end, whatever the rows are.

    These are open batches, files that are to be deleted, and hooks that are to be told something.
    """
    open_ = "SELECT COUNT(*) FROM batches WHERE phase IN ('intended', 'submitted', 'ended')"
    sql = f"SELECT ({open_}) + (SELECT COUNT(*) {_UNTIDY})"
    n: int = db.execute(sql).fetchone()[0]
    return n + untold(db)
