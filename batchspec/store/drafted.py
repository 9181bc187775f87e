"""The tables of a draft, and comparing rows with what is recorded."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from batchspec.ids import JobAddress
from batchspec.ports import PlannedRow

SCHEMA = """
PRAGMA page_size = 16384;
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -32768;
CREATE TABLE jobs (
  number INTEGER PRIMARY KEY, address TEXT NOT NULL UNIQUE, state INTEGER,
  fingerprint BLOB NOT NULL, provider TEXT NOT NULL, endpoint TEXT NOT NULL, model TEXT NOT NULL,
  contract TEXT NOT NULL, policy BLOB NOT NULL, partial INTEGER NOT NULL, protect INTEGER NOT NULL,
  scoped INTEGER NOT NULL, sample INTEGER NOT NULL
);
CREATE TABLE rows (
  id INTEGER PRIMARY KEY, job INTEGER NOT NULL, key TEXT NOT NULL, line INTEGER,
  kind TEXT, fingerprint BLOB, body INTEGER, size INTEGER, digest INTEGER,
  data INTEGER,
  UNIQUE (job, key)
);
CREATE TABLE sources (job INTEGER NOT NULL, upstream TEXT NOT NULL, collects INTEGER NOT NULL,
  picks INTEGER NOT NULL, whole INTEGER NOT NULL);
CREATE TABLE kept (job TEXT, key TEXT, PRIMARY KEY (job, key)) WITHOUT ROWID;
CREATE TABLE removed_jobs (address TEXT PRIMARY KEY);
CREATE TABLE anew (fingerprint BLOB PRIMARY KEY) WITHOUT ROWID;
"""
Found = Mapping[str, Sequence[Any]]
"""Of items by key: fingerprint, phase, outcome, …, and seventh whether they are tainted."""


def compare(
    items: Callable[[int | None, Sequence[PlannedRow]], Found],
    state: sqlite3.Connection,
    job: JobAddress,
    rows: Sequence[PlannedRow],
) -> Mapping[str, bool]:
    """Compare rows of a job that is not begun with its items."""
    number = state.execute("SELECT id FROM jobs WHERE address = ?", (job,)).fetchone()
    found = items(None if number is None else number[0], rows)
    pairs = ((row, found[row.key]) for row in rows if row.key in found)
    return {
        row.key: tuple(item[:3]) == (row.fingerprint, "final", "succeeded") and not item[6]
        for row, item in pairs
    }
