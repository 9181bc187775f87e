"""Finding the job that a line of a batch belongs to."""

import sqlite3
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Self

from batchspec.ids import parse_custom_id
from batchspec.store.schema import open_database

_JOB = """
SELECT j.address FROM conversations c JOIN jobs j ON j.id = c.job
WHERE c.fingerprint BETWEEN ? AND ? LIMIT 1
"""
_LAST = b"\xff" * 24
"""Follows eight bytes of a fingerprint in the last one that begins with them."""


class JobLookup:
    """Says which job a custom_id is of; safe to call from any thread.

    Args:
        directory: The state folder of one environment; opened when the first line asks.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "batchspec.db"
        self._lock = Lock()
        self._db: sqlite3.Connection | None = None
        # The turns of a conversation, and lines that are answered again, ask for the same.
        self._find = lru_cache(maxsize=10_000)(self._read)

    def __call__(self, custom_id: str) -> str | None:
        """Return the job's address, or None for lines that are not of this state."""
        parsed = parse_custom_id(custom_id)
        return None if parsed is None else self._find(parsed[0])

    def _read(self, start: bytes) -> str | None:
        with self._lock:
            if self._db is None:
                self._db = open_database(self._path, read_only=True)
            row = self._db.execute(_JOB, (start, start + _LAST)).fetchone()
        return None if row is None else str(row[0])

    def close(self) -> None:
        """Close the file; it is opened again when somebody asks."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
