"""The rows of a plan, between its body on disk and a saved file, in bounded memory."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from batchspec.ids import Fingerprint, JobAddress, RowKey
from batchspec.plan.planfile import Entry
from batchspec.ports import PlannedRow
from batchspec.state.kinds import Kind

SCHEMA = """
CREATE TABLE agreed (
  job TEXT NOT NULL, key TEXT NOT NULL, kind TEXT NOT NULL, fingerprint BLOB,
  anew INTEGER NOT NULL,
  PRIMARY KEY (job, key)
) WITHOUT ROWID;
CREATE TABLE forgets (
  job INTEGER NOT NULL, key TEXT NOT NULL, PRIMARY KEY (job, key)
) WITHOUT ROWID;
"""
_CHUNK = 1000
_LOOK = (
    "SELECT a.key, a.kind, a.fingerprint, a.anew FROM json_each(?) k "
    "CROSS JOIN agreed a ON a.job = ? AND a.key = k.value"
)
_UNSEEN = "NOT EXISTS (SELECT 1 FROM rows r WHERE r.job = ? AND r.key = a.key)"


class Allowed(NamedTuple):
    """What a saved plan says of a row, and whether its conversation begins again."""

    kind: Kind
    anew: bool


def load(db: sqlite3.Connection, entries: Iterable[Entry]) -> None:
    """Note what a saved plan allows; of doubled rows the first counts."""
    every = iter(entries)
    while chunk := list(islice(every, _CHUNK)):
        db.executemany(
            "INSERT OR IGNORE INTO agreed VALUES (?, ?, ?, ?, ?)",
            [(e.job, e.key, e.kind.value, e.fingerprint, e.anew) for e in chunk],
        )


def look(
    db: sqlite3.Connection, job: JobAddress, rows: Sequence[PlannedRow]
) -> Sequence[Allowed | None]:
    """Return what a saved plan says of some rows; None: nothing, or of another request."""
    keys = json.dumps([row.key for row in rows])
    found = {key: said for key, *said in db.execute(_LOOK, (keys, job))}
    said = (found.get(row.key) for row in rows)
    return [
        Allowed(Kind(one[0]), bool(one[2]))
        if one is not None and one[1] == row.fingerprint
        else None
        for row, one in zip(rows, said, strict=True)
    ]


def forget(db: sqlite3.Connection, number: int, job: JobAddress) -> int:
    """Note the items to be forgotten, as far as their rows are not back; returns their number."""
    return db.execute(
        f"INSERT INTO forgets SELECT ?, a.key FROM agreed a WHERE a.job = ? AND a.kind = '.' "  # noqa: S608 - constants
        f"AND {_UNSEEN}",
        (number, job, number),
    ).rowcount


def vanished(db: sqlite3.Connection, number: int, job: JobAddress) -> int:
    """Return of how many rows that a saved plan has there is none any more."""
    n: int = db.execute(
        f"SELECT COUNT(*) FROM agreed a WHERE a.job = ? AND a.kind <> '.' AND {_UNSEEN}",  # noqa: S608 - constants
        (job, number),
    ).fetchone()[0]
    return n


def changed(db: sqlite3.Connection, number: int, job: JobAddress) -> Iterator[Entry]:
    """Yield the rows of a job that change."""
    after = 0
    while True:
        rows = db.execute(
            "SELECT id, key, kind, fingerprint, "
            "fingerprint IN (SELECT fingerprint FROM anew WHERE wished) "
            "FROM rows NOT INDEXED WHERE job = ? AND kind IS NOT NULL "
            "AND id > ? ORDER BY id LIMIT ?",
            (number, after, _CHUNK),
        ).fetchall()
        for _, key, kind, fingerprint, anew in rows:
            yield Entry(job, Kind(kind), RowKey(key), Fingerprint(fingerprint), bool(anew))
        if len(rows) < _CHUNK:
            return
        after = rows[-1][0]


def removed(
    draft: sqlite3.Connection, state: sqlite3.Connection, number: int | None, job: JobAddress
) -> Iterator[Entry]:
    """Yield the items of a job that have no row any more; without a number none has one."""
    after = 0
    while True:
        rows = state.execute(
            "SELECT i.id, i.key FROM items i JOIN jobs j ON j.id = i.job WHERE j.address = ? "
            "AND i.id > ? ORDER BY i.id LIMIT ?",
            (job, after, _CHUNK),
        ).fetchall()
        keys = json.dumps([key for _, key in rows])
        seen = {
            key
            for (key,) in draft.execute(
                "SELECT r.key FROM json_each(?) k "
                "CROSS JOIN rows r ON r.job = ? AND r.key = k.value",
                (keys, number),
            )
        }
        yield from (Entry(job, Kind.FORGET, RowKey(k), None) for _, k in rows if k not in seen)
        if len(rows) < _CHUNK:
            return
        after = rows[-1][0]
