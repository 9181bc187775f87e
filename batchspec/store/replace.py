"""Putting another copy of a state in the place of this one, in one transaction."""

import filecmp
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from batchspec.errors import RefusedError, StateError
from batchspec.state.housekeeping import StateReplaced
from batchspec.store.archive import ARTIFACTS, DATABASE
from batchspec.store.rules import BODY_COLUMNS
from batchspec.store.schema import explain, open_database
from batchspec.store.segments import pack_ref, segment_path, sync_folder
from batchspec.store.sqlite import StateStore

_NUMBERS = 1 << 20
"""More segments a pointer cannot tell apart."""
_LAST = "SELECT seq, at, kind, payload FROM journal ORDER BY seq DESC LIMIT 1"


def is_empty(db: sqlite3.Connection) -> bool:
    """Tell whether nothing ever happened to a state."""
    return db.execute("SELECT 1 FROM journal LIMIT 1").fetchone() is None


def check_descent(store: StateStore, copy: Path) -> bool:
    """Refuse a copy that is no later moment of the same history.

    Args:
        store: The state, whose lease is held.
        copy: The folder of the copy.

    Returns:
        Whether the two differ at all.

    Raises:
        RefusedError: It is of another history, older, or both went on since they were one.
    """
    if is_empty(store.db):
        return True
    with closing(open_database(copy / DATABASE)) as db:
        own, other = _identity(store.db), _identity(db)
        last = store.db.execute(_LAST).fetchone()
        same = db.execute("SELECT at, kind, payload FROM journal WHERE seq = ?", last[:1])
        known = same.fetchone() == last[1:]
        newest = db.execute(_LAST).fetchone() == last
    if own[0] != other[0]:
        raise RefusedError(
            f"The copy is of another history (lineage …{other[0][-8:]}, this state is of "
            f"…{own[0][-8:]}). {_FORCE}"
        )
    if other[1] < own[1]:
        raise RefusedError(
            f"The copy is older: its serial is {other[1]}, that of the state is {own[1]}. Batches "
            f"made since then would be forgotten, and their rows paid again. {_FORCE}"
        )
    if not known or (own[1] == other[1] and not newest):
        raise RefusedError(
            "Both the copy and the state were changed since they were one; the copy does not know "
            f"what happened to the state last ({last[2]}). {_FORCE}"
        )
    return own[1] != other[1]


_FORCE = "Nothing was changed; `--force` replaces the state all the same."


def _identity(db: sqlite3.Connection) -> tuple[str, int]:
    meta = dict(db.execute("SELECT key, value FROM meta"))
    return str(meta.get("lineage", "")), int(meta.get("serial", 0))


def replace_state(store: StateStore, copy: Path, event: StateReplaced) -> None:
    """Take over the rows and bodies of a copy; all or nothing.

    Files of bodies are put in place first, under numbers that are free: until the transaction is
    committed no row points at them, and the next writer removes them if it never is.

    Args:
        store: The state, whose lease is held.
        copy: The folder of the copy, which is used up.
        event: What is noted in the journal.
    """
    source = copy / DATABASE
    with closing(open_database(source)) as db:
        _install(store, db, copy / ARTIFACTS)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.db.execute("ATTACH DATABASE ? AS pushed", (str(source),))
    try:
        with store.transaction() as db:
            serial = max(_identity(db)[1], event.serial)
            for table in _tables(db):
                names = ", ".join(c[1] for c in db.execute(f"PRAGMA main.table_info({table})"))
                copied = f"INSERT INTO main.{table} ({names}) SELECT {names} FROM pushed.{table}"  # noqa: S608 - our own names
                db.execute(f"DELETE FROM main.{table}")  # noqa: S608 - our own names
                db.execute(copied)
            # Above both, so that a plan that was saved before is stale.
            db.execute("UPDATE meta SET value = ? WHERE key = 'serial'", (serial,))
            store.journal(event)
    finally:
        store.db.execute("DETACH DATABASE pushed")


def _tables(db: sqlite3.Connection) -> list[str]:
    rows = db.execute(
        "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' "
        "AND name <> 'lease'"
    )
    return [name for (name,) in rows]


def _install(store: StateStore, db: sqlite3.Connection, folder: Path) -> None:
    """Put the files of a copy beside those of the state; a number that is taken is changed."""
    numbers = [number for (number,) in db.execute("SELECT id FROM artifacts ORDER BY id")]
    (highest,) = store.db.execute("SELECT coalesce(MAX(id), 0) FROM artifacts").fetchone()
    free = 1 + max([highest, *numbers])
    moved: dict[int, int] = {}
    try:
        for number in numbers:
            source, target = segment_path(folder, number), segment_path(store.artifacts, number)
            if target.exists():
                if filecmp.cmp(source, target, shallow=False):
                    continue
                moved[number] = free
                target = segment_path(store.artifacts, free)
                free += 1
            source.rename(target)
        sync_folder(store.artifacts)
    except OSError as error:
        raise StateError(explain(error, store.path)) from error
    if free > _NUMBERS:
        raise StateError("The state has more files of bodies than it can number.")
    _renumber(db, moved)


def _renumber(db: sqlite3.Connection, moved: Mapping[int, int]) -> None:
    """Let the rows of a copy point at files under other numbers."""
    if not moved:
        return
    db.execute("BEGIN IMMEDIATE")
    db.execute("CREATE TEMP TABLE moved (old INTEGER PRIMARY KEY, new INTEGER NOT NULL)")
    db.executemany("INSERT INTO moved VALUES (?, ?)", moved.items())
    size = pack_ref(1, 0, 0)
    for table, column in BODY_COLUMNS:
        moves = f"{column} = {column} + {size} * (m.new - m.old)"
        db.execute(f"UPDATE {table} SET {moves} FROM moved m WHERE m.old = {column} / {size}")  # noqa: S608 - constants
    db.execute("UPDATE artifacts SET id = m.new FROM moved m WHERE m.old = artifacts.id")
    db.execute("DROP TABLE moved")
    db.execute("COMMIT")
