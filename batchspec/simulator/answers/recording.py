"""A file of recorded answers that can be searched and added to, whatever its size."""

import fcntl
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from io import FileIO
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

from pydantic_core import from_json, to_json

from batchspec.simulator.answers.functions import request_hash
from batchspec.simulator.jobs.database import open_private
from batchspec.simulator.wire import Json, is_object

_OURS = re.compile(
    rb'\{"custom_id":(?:null|"([^"\\]*)"),"request_hash":"([0-9a-f]{64})",'
    rb'"response":\{"status_code":2\d\d,'
)
"""How a success begins that was written here: such a line need not be parsed to be found."""
_PLACES = "CREATE TABLE places (name TEXT PRIMARY KEY, at INT, succeeded INT) WITHOUT ROWID"
_NOTE = """
INSERT INTO places VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE
SET at = excluded.at, succeeded = excluded.succeeded WHERE excluded.succeeded >= succeeded
"""


class Recording:
    r"""Lines of `{"custom_id": …, "request_hash": …, "response": {…}, "error": …}`.

    A line has a custom_id, a request_hash (SHA-256 of the body's canonical JSON) or both. Of
    several lines for one request the last success counts, or the last failure if there is none.

    Strategy: an index on disk from what a request is known by to the place of its line; it is made
    anew whenever the file is opened. One process writes to a file at a time. What could not be
    written as a whole is not there, and nothing else is lost by it. Safe to use in any thread.

    Args:
        path: Of the file.
        growing: The file is added to by programs: it may be missing yet, and its last line may have
            been left unfinished by a process that died.

    Raises:
        ValueError: A line is no recorded answer; the message says which.
        OSError: The file cannot be read.
    """

    def __init__(self, path: Path, *, growing: bool = False) -> None:
        self.path = path
        self._lock = Lock()
        self._end = 0
        self._file: FileIO | None = None
        self._index = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._index.execute(_PLACES)
        self._index.execute("CREATE TABLE met (name TEXT PRIMARY KEY) WITHOUT ROWID")
        if growing and not path.exists():
            return
        with path.open("rb") as file, self._index:
            self._index.execute("BEGIN")
            self._index.executemany(_NOTE, self._names_in(file, growing=growing))

    def find(self, custom_id: str | None, body: Json, *, strict: bool = False) -> Json | None:
        """Return the line that is recorded for a request.

        Args:
            custom_id: Of the request's line, if it is one of a batch.
            body: Of the request.
            strict: A line that has a request_hash is for that very request only. Otherwise a
                custom_id that somebody else's request had will do, where nothing fits better.
        """
        digest = request_hash(body)
        names = [f"{digest}:"]
        if custom_id is not None:
            names = [f"{digest}:{custom_id}", f":{custom_id}", *names]
            names += [] if strict else [f"?:{custom_id}"]
        with self._lock:
            for name in names:
                sql = "SELECT at FROM places WHERE name = ?"
                if found := self._index.execute(sql, (name,)).fetchone():
                    return self._line(found[0])
        return None

    def meets(self, custom_id: str | None, body: Json) -> bool:
        """Note that a request came; says whether it is for the first time."""
        name = f"{request_hash(body)}:{custom_id or ''}"
        with self._lock:
            sql = "INSERT OR IGNORE INTO met VALUES (?)"
            return self._index.execute(sql, (name,)).rowcount == 1

    def claim(self) -> None:
        """Make the file if it is missing, and let no other process write to it.

        Raises:
            OSError: It cannot be written, or another process writes to it.
        """
        with self._lock:
            self._claimed()

    def append(
        self, custom_id: str | None, body: Json, response: Json | None, error: Json | None
    ) -> bool:
        """Add a line if it is the one to count from now on; says whether it was added.

        It is not if it says what the request's line says already, or is a failure after a success.

        Raises:
            OSError: It cannot be written, or another process writes to the file.
        """
        digest = request_hash(body)
        line = {
            "custom_id": custom_id,
            "request_hash": digest,
            "response": response,
            "error": error,
        }
        with self._lock:
            succeeded = _succeeded(line)
            sql = "SELECT at, succeeded FROM places WHERE name = ?"
            old = self._index.execute(sql, (f"{digest}:{custom_id or ''}",)).fetchone()
            if old and (old[1] > succeeded or _said(self._line(old[0])) == _said(line)):
                return False
            data = to_json(line) + b"\n"
            self._write(self._claimed(), data)
            names = _names(custom_id, digest)
            try:
                with self._index:
                    self._index.execute("BEGIN")
                    self._index.executemany(_NOTE, [(name, self._end, succeeded) for name in names])
            except sqlite3.Error as cause:
                raise OSError(f"no index of it can be kept ({cause})") from cause
            self._end += len(data)
        return True

    def flush(self) -> None:
        """Hand what was added to the disk.

        Raises:
            OSError: It does not take it.
        """
        with self._lock:
            if self._file is not None:
                os.fsync(self._file.fileno())

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._index.close()

    def _claimed(self) -> FileIO:
        """Return the file, without what was left unfinished behind its last whole line."""
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with ExitStack() as opened:
                file = opened.enter_context(os.fdopen(open_private(self.path), "r+b", buffering=0))
                os.fchmod(file.fileno(), 0o600)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    message = f"another process is recording to {self.path}"
                    raise BlockingIOError(message) from error
                file.truncate(self._end)
                if self._end and os.pread(file.fileno(), 1, self._end - 1) != b"\n":
                    self._write(file, b"\n")
                    self._end += 1
                opened.pop_all()
            self._file = file
        return self._file

    def _write(self, file: FileIO, data: bytes) -> None:
        """Write at the end, all or nothing; it counts once `_end` is behind it."""
        written = 0
        try:
            while written < len(data):
                written += os.pwrite(file.fileno(), data[written:], self._end + written)
        except OSError:
            with suppress(OSError):
                file.truncate(self._end)
            raise

    def _line(self, at: int) -> Json:
        with self.path.open("rb") as file:
            file.seek(at)
            line: Json = from_json(file.readline())
        return line

    def _names_in(self, file: BinaryIO, *, growing: bool) -> Iterator[tuple[str, int, bool]]:
        for number, raw in enumerate(file, start=1):
            if raw.strip():
                try:
                    names, succeeded = _known_by(raw)
                except ValueError as error:
                    if growing and not raw.endswith(b"\n"):
                        return
                    raise ValueError(f"{self.path}:{number}: {error}") from error
                yield from ((name, self._end, succeeded) for name in names)
            self._end += len(raw)


def _known_by(raw: bytes) -> tuple[list[str], bool]:
    """Return the names under which a line is found, and whether it is a success."""
    if (ours := _OURS.match(raw)) and raw.endswith(b"\n"):
        return _names(None if ours[1] is None else ours[1].decode(), ours[2].decode()), True
    try:
        line = from_json(raw)
    except ValueError as error:
        raise ValueError(f"this line is not JSON: {error}") from error
    given = (line.get("custom_id"), line.get("request_hash")) if is_object(line) else ()
    custom_id, digest = (value if isinstance(value, str) else None for value in given or (0, 0))
    if custom_id is None and digest is None:
        raise ValueError("a recorded answer needs a custom_id or a request_hash.")
    return _names(custom_id, digest), _succeeded(line)


def _succeeded(line: Json) -> bool:
    if "response" not in line:
        return True  # the content of an answer
    response = line["response"]
    status = response.get("status_code") if is_object(response) else None
    return isinstance(status, int) and 200 <= status < 300


def _said(line: Json) -> tuple[Any, ...]:
    """Return what an answer says; the id of its HTTP request is no part of that."""
    response = line.get("response")
    told = response if is_object(response) else {}
    return told.get("status_code"), told.get("body"), line.get("error")


def _names(custom_id: str | None, digest: str | None) -> list[str]:
    if digest is None:
        return [f":{custom_id}"]
    if custom_id is None:
        return [f"{digest}:"]
    return [f"{digest}:{custom_id}", f"{digest}:", f"?:{custom_id}"]
