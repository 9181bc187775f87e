"""The simulator's memory: one SQLite file and a folder of plain files.

It survives `kill -9` of the process: a commit is made after the bytes it speaks of were handed to
the operating system. It does not promise to survive a power cut.
"""

import math
import os
import re
import sqlite3
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pydantic import TypeAdapter

from batchspec.simulator.clock import SimulatedClock
from batchspec.simulator.endpoints.port import Reply
from batchspec.simulator.jobs.records import BatchRecord, FileRecord

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  purpose TEXT NOT NULL,
  expires_at REAL,
  document TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS files_expiry ON files (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS batches (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  status TEXT NOT NULL,
  document TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS batches_open ON batches (seq)
  WHERE status IN ('validating', 'in_progress', 'finalizing', 'cancelling');
CREATE TABLE IF NOT EXISTS replies (
  batch TEXT NOT NULL,
  line INTEGER NOT NULL,
  document BLOB NOT NULL,
  PRIMARY KEY (batch, line)
);
CREATE TABLE IF NOT EXISTS clock (
  id INTEGER PRIMARY KEY CHECK (id = 0),
  position REAL NOT NULL,
  real REAL NOT NULL
);
"""
_OPEN = """
SELECT document FROM batches
WHERE status IN ('validating', 'in_progress', 'finalizing', 'cancelling') ORDER BY seq
"""
_FILES_DOWN = """
SELECT document FROM files
WHERE (?1 IS NULL OR purpose = ?1) AND (expires_at IS NULL OR expires_at > ?2)
  AND coalesce(document ->> 'listed_from', 0) <= ?2
  AND (?3 IS NULL OR seq < ?3) ORDER BY seq DESC LIMIT ?4
"""
_FILES_UP = """
SELECT document FROM files
WHERE (?1 IS NULL OR purpose = ?1) AND (expires_at IS NULL OR expires_at > ?2)
  AND coalesce(document ->> 'listed_from', 0) <= ?2
  AND (?3 IS NULL OR seq > ?3) ORDER BY seq ASC LIMIT ?4
"""
_BATCHES = """
SELECT document FROM batches
WHERE (?1 IS NULL OR seq < ?1) AND coalesce(document ->> 'listed_from', 0) <= ?2
ORDER BY seq DESC LIMIT ?3
"""

_FILE_NAME = re.compile(r"[A-Za-z0-9_-]+(\.input)?")
_files = TypeAdapter(FileRecord)
_batches = TypeAdapter(BatchRecord)
_replies = TypeAdapter(Reply)


class LineReply(NamedTuple):
    """The reply to one line of a batch."""

    batch_id: str
    line: int
    """Its number in the input file, from 1."""
    reply: Reply


Write = Callable[[sqlite3.Connection], None]
"""Something else to be stored in the transaction of a record."""


class Watcher(Protocol):
    """Wants to know what becomes of batches."""

    def changing(self, old: BatchRecord, new: BatchRecord) -> Write:
        """Return what writes that which belongs to a change, in its transaction."""
        ...

    def changed(self, batch: BatchRecord) -> None:
        """Do what follows from a change that was committed."""
        ...


class Database:
    """Safe to call from any thread; every call is short."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.files = directory / "files"
        self.files.mkdir(mode=0o700, exist_ok=True)
        path = directory / "simulator.db"
        path.touch(mode=0o600)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA busy_timeout = 10000")
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(_SCHEMA)
        self._clock: SimulatedClock | None = None
        self._watchers: list[Watcher] = []
        self.closing = ExitStack()
        """What is done before the files are let go."""

    def follow(self, clock: SimulatedClock) -> None:
        """Let the clock go on from where it was, and remember where it is from now on."""
        for row in self.rows("SELECT position, real FROM clock"):
            clock.resume(*row)
        self._clock = clock
        self.closing.enter_context(clock.observed(self._keep_time))
        self._keep_time()

    def watch(self, watcher: Watcher) -> None:
        """Tell somebody of every change of a batch."""
        self._watchers.append(watcher)

    def close(self) -> None:
        self.closing.close()
        with self._lock:
            # A full disk lets the clock go on from the last record, which is not later.
            with suppress(sqlite3.OperationalError):
                self._note_time()
            self._clock = None
            self._connection.close()

    def path(self, file_id: str) -> Path:
        """Return where the bytes of a file are.

        Raises:
            ValueError: It is no id of ours: what a client sent is looked up first.
        """
        if _FILE_NAME.fullmatch(file_id) is None:
            raise ValueError(f"{file_id!r} is no id of a file.")
        return self.files / file_id

    def uploaded(self, file_id: str) -> Path | None:
        """Return where the bytes of a file are whose id a client sent; none if there is no such."""
        found = self.rows("SELECT id FROM files WHERE id = ?", (file_id,))
        return self.path(found[0][0]) if found else None

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """Change something, as a whole or not at all."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            # Written with everything else, so that no record is ever later than the clock.
            self._note_time()
            self._connection.execute("COMMIT")

    def _keep_time(self) -> None:
        with self._lock:
            self._note_time()

    def _note_time(self) -> None:
        if self._clock is not None:
            self._connection.execute(
                "INSERT OR REPLACE INTO clock (id, position, real) VALUES (0, ?, ?)",
                self._clock.reading(),
            )

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        """Read all rows, each a tuple."""
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def _rows(self, sql: str, values: Sequence[object] = ()) -> list[str]:
        return [row[0] for row in self.rows(sql, values)]

    # --- files

    def add_file(self, record: FileRecord, *also: Write) -> None:
        with self.transaction() as connection:
            _insert_file(connection, record)
            _apply(connection, also)

    def file(self, file_id: str, now: float) -> FileRecord | None:
        sql = "SELECT document FROM files WHERE id = ? AND (expires_at IS NULL OR expires_at > ?)"
        rows = self._rows(sql, (file_id, now))
        return _files.validate_json(rows[0]) if rows else None

    def list_files(
        self, now: float, *, purpose: str | None, after: str | None, limit: int, order: str
    ) -> list[FileRecord] | None:
        """One page; nothing when the cursor is unknown."""
        seq = self._seq("SELECT seq FROM files WHERE id = ?", after)
        if after is not None and seq is None:
            return None
        sql = _FILES_UP if order == "asc" else _FILES_DOWN
        return [_files.validate_json(row) for row in self._rows(sql, (purpose, now, seq, limit))]

    def count_files(self, now: float) -> int:
        sql = "SELECT count(*) FROM files WHERE expires_at IS NULL OR expires_at > ?"
        count: int = self.rows(sql, (now,))[0][0]
        return count

    def delete_file(self, file_id: str) -> None:
        with self.transaction() as connection:
            connection.execute("DELETE FROM files WHERE id = ?", (file_id,))
        self.path(file_id).unlink(missing_ok=True)

    def purge_files(self, now: float) -> None:
        """Delete the files whose time is over."""
        for file_id in self._rows("SELECT id FROM files WHERE expires_at <= ?", (now,)):
            self.delete_file(file_id)

    # --- batches

    def add_batch(self, record: BatchRecord, *also: Write) -> None:
        with self.transaction() as connection:
            _apply(connection, also)
            insert_batch(connection, record)

    def batch(self, batch_id: str) -> BatchRecord | None:
        rows = self._rows("SELECT document FROM batches WHERE id = ?", (batch_id,))
        return _batches.validate_json(rows[0]) if rows else None

    def list_batches(
        self, *, after: str | None, limit: int, now: float = math.inf
    ) -> list[BatchRecord] | None:
        """One page, newest first; nothing when the cursor is unknown."""
        seq = self._seq("SELECT seq FROM batches WHERE id = ?", after)
        if after is not None and seq is None:
            return None
        return [_batches.validate_json(row) for row in self._rows(_BATCHES, (seq, now, limit))]

    def count_batches(self) -> dict[str, int]:
        """How many there are by status."""
        sql = "SELECT status, count(*) FROM batches GROUP BY status ORDER BY status"
        return dict(self.rows(sql))

    def open_batches(self) -> list[BatchRecord]:
        return [_batches.validate_json(row) for row in self._rows(_OPEN)]

    def replace_batch(
        self,
        old: BatchRecord,
        new: BatchRecord,
        files: Sequence[FileRecord] = (),
        also: Sequence[Write] = (),
    ) -> bool:
        """Store the new record, with the files it brings, unless the old one is out of date."""
        before, document = (_batches.dump_json(record).decode() for record in (old, new))
        writes = [watcher.changing(old, new) for watcher in self._watchers]
        with self.transaction() as connection:
            cursor = connection.execute(
                "UPDATE batches SET status = ?, document = ? WHERE id = ? AND document = ?",
                (new.status, document, old.id, before),
            )
            if cursor.rowcount == 1:
                for record in files:
                    _insert_file(connection, record)
                if new.terminal:
                    connection.execute("DELETE FROM replies WHERE batch = ?", (new.id,))
                _apply(connection, (*writes, *also))
        if cursor.rowcount == 1:
            for watcher in self._watchers:
                watcher.changed(new)
        return cursor.rowcount == 1

    # --- replies to lines, kept until the files of their batch are written

    def add_replies(self, group: Sequence[LineReply], now: float) -> None:
        """Keep replies and count them; those to a batch that has ended are dropped."""
        by_batch: dict[str, list[LineReply]] = {}
        for reply in group:
            by_batch.setdefault(reply.batch_id, []).append(reply)
        with self.transaction() as connection:
            for batch_id, replies in by_batch.items():
                _insert_replies(connection, batch_id, replies, now)

    def reply(self, batch_id: str, line: int) -> Reply | None:
        sql = "SELECT document FROM replies WHERE batch = ? AND line = ?"
        rows = self._rows(sql, (batch_id, line))
        return _replies.validate_json(rows[0]) if rows else None

    def replied(self, batch_id: str) -> set[int]:
        """Return the numbers of the lines that have a reply."""
        with self._lock:
            sql = "SELECT line FROM replies WHERE batch = ?"
            return {line for (line,) in self._connection.execute(sql, (batch_id,))}

    def _seq(self, sql: str, identity: str | None) -> int | None:
        rows = self._rows(sql, (identity,))
        return int(rows[0]) if rows else None


def insert_batch(connection: sqlite3.Connection, record: BatchRecord) -> None:
    """Store a new batch, in a transaction of the caller's."""
    connection.execute(
        "INSERT INTO batches (id, status, document) VALUES (?, ?, ?)",
        (record.id, record.status, _batches.dump_json(record).decode()),
    )


def _apply(connection: sqlite3.Connection, changes: Sequence[Write]) -> None:
    for change in changes:
        change(connection)


def _insert_file(connection: sqlite3.Connection, record: FileRecord) -> None:
    document = _files.dump_json(record).decode()
    connection.execute(
        "INSERT INTO files (id, purpose, expires_at, document) VALUES (?, ?, ?, ?)",
        (record.id, record.purpose, record.expires_at, document),
    )


def _insert_replies(
    connection: sqlite3.Connection, batch_id: str, replies: Sequence[LineReply], now: float
) -> None:
    sql = "SELECT document FROM batches WHERE id = ?"
    batch = _batches.validate_json(connection.execute(sql, (batch_id,)).fetchone()[0])
    if batch.terminal:
        return
    progress = replace(batch.progress, replied_at=now)
    for _, line, reply in replies:
        values = (batch_id, line, _replies.dump_json(reply))
        if connection.execute("INSERT OR IGNORE INTO replies VALUES (?, ?, ?)", values).rowcount:
            progress = progress.counting(reply)
    connection.execute(
        "UPDATE batches SET document = ? WHERE id = ?",
        (_batches.dump_json(replace(batch, progress=progress)).decode(), batch_id),
    )


def open_private(path: Path) -> int:
    """A file descriptor for reading and writing a file that only its owner can read."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
