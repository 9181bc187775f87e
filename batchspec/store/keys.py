"""Keys seen so far, on disk: finds doubled ones among any number of rows in bounded memory."""

import sqlite3
from collections.abc import Sequence
from typing import Self

from batchspec.ports import (
    PlannedRow,
)
from batchspec.state.stored import (
    Duplicate,
)


class SeenKeys:
    """A temporary set of keys; SQLite keeps it in a file that vanishes when it is closed."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("CREATE TABLE keys (key TEXT PRIMARY KEY, line INTEGER) WITHOUT ROWID")
        self._db.execute("BEGIN")

    def add(self, rows: Sequence[PlannedRow]) -> list[Duplicate]:
        """Note some rows and return those whose key was seen before."""
        found: list[Duplicate] = []
        for row in rows:
            added = self._db.execute(
                "INSERT OR IGNORE INTO keys VALUES (?, ?)", (row.key, row.line)
            ).rowcount
            if not added:
                first = self._db.execute("SELECT line FROM keys WHERE key = ?", (row.key,))
                found.append(Duplicate(row.key, first.fetchone()[0], row.line))
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._db.close()
