"""Opening the state file: pragmas, numbered migrations, refusal of newer states."""

import os
import re
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path

from batchspec.errors import StateError

PAGE_SIZE = 16 * 1024
"""Bytes; a fifth less work than with 4 KiB where rows are written by the ten thousand."""
_WRITER_CACHE, _READER_CACHE = 32 * 1024, 8 * 1024
"""KiB of pages a connection keeps; a writer of a million rows needs the index at hand."""
_INDEX = re.compile(r"^CREATE (?:UNIQUE )?INDEX (\w+)", re.MULTILINE)
_NUMBER = re.compile(r"(\d{4})_\w+\.sql\Z")


def migrations() -> list[tuple[int, str]]:
    """Return (number, SQL) of every migration, in order; numbers have no gap."""
    folder = resources.files("batchspec.store") / "sql"
    return sorted(
        (int(match[1]), entry.read_text("utf-8"))
        for entry in folder.iterdir()
        if (match := _NUMBER.match(entry.name))
    )


def index_names() -> set[str]:
    """Return the names of the indexes that a state has."""
    return {name for _, sql in migrations() for name in _INDEX.findall(sql)}


def open_database(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the state file; create and migrate it unless `read_only`.

    Raises:
        StateError: It cannot be opened, is damaged, or was written by a newer version.
    """
    try:
        if not read_only and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    except (sqlite3.Error, OSError) as error:
        raise StateError(explain(error, path)) from error
    try:
        _configure(db, read_only=read_only)
        _migrate(db, path, read_only=read_only)
    except (sqlite3.Error, StateError) as error:
        db.close()
        if isinstance(error, StateError):
            raise
        raise StateError(explain(error, path)) from error
    return db


def _configure(db: sqlite3.Connection, *, read_only: bool) -> None:
    db.execute(f"PRAGMA page_size = {PAGE_SIZE}")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA cache_size = {-_READER_CACHE if read_only else -_WRITER_CACHE}")
    db.execute("PRAGMA temp_store = FILE")
    if read_only:
        db.execute("PRAGMA query_only = ON")


@contextmanager
def immediate(db: sqlite3.Connection) -> Generator[None]:
    """Write atomically on a connection without implicit transactions."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # a full disk has ended the transaction already
            db.execute("ROLLBACK")
        raise


def explain(error: Exception, path: Path) -> str:
    """Return one clear sentence about an error of the state file or its folder."""
    text = str(error)
    if "full" in text or "No space left" in text:
        return (
            f"The disk that holds {path.parent} is full. Nothing recorded is lost: "
            "free some space and run the command again."
        )
    if "not a database" in text or "malformed" in text:
        return (
            f"{path} is damaged or no state file ({text}). Put back a copy of it; "
            "batches that were submitted continue at the provider."
        )
    return f"The state file {path} cannot be used: {text}."


def _migrate(db: sqlite3.Connection, path: Path, *, read_only: bool) -> None:
    steps = migrations()
    newest = steps[-1][0]
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version > newest:
        message = (
            f"{path} was written by a newer batchspec (schema {version}, this one knows {newest}). "
            "Upgrade batchspec; the file was not changed."
        )
        raise StateError(message)
    if read_only and version < newest:
        message = f"{path} has schema {version}, {newest} is needed. Run `batchspec plan` once."
        raise StateError(message)
    for number, sql in steps:
        if number > version:
            db.executescript(f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version = {number};\nCOMMIT;")
