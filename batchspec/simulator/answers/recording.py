"""A file of recorded answers that can be searched and added to, whatever its size."""

import fcntl
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import IO

from pydantic_core import from_json, to_json

from batchspec.simulator.answers.functions import request_hash
from batchspec.simulator.jobs.database import open_private
from batchspec.simulator.wire import Json, is_object

_OURS = re.compile(rb'\{"custom_id":(?:null|"([^"\\]*)"),"request_hash":"([0-9a-f]{64})",')
"""How a line begins that was written here: such a one need not be parsed to be found."""


class Recording:
    r"""Lines of `{"custom_id": …, "request_hash": …, "response": {…}, "error": …}`.

    A line has a custom_id, a request_hash (SHA-256 of the body's canonical JSON) or both. Of
    several lines for one request the first counts, and no further one is added.

    Strategy: an index on disk from what a request is known by to the place of its line; it is made
    anew whenever the file is opened. One process writes to a file at a time. Safe to use in any
    thread.

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
        self._file: IO[bytes] | None = None
        self._index = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._index.execute("CREATE TABLE places (name TEXT PRIMARY KEY, at INT) WITHOUT ROWID")
        if growing and not path.exists():
            return
        with path.open("rb") as file, self._index:
            self._index.execute("BEGIN")
            self._note(self._names_in(file, growing=growing))

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

    def append(
        self, custom_id: str | None, body: Json, response: Json | None, error: Json | None
    ) -> bool:
        """Add a line, unless the same request has one already; says whether it was added.

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
            name = f"{digest}:{custom_id or ''}"
            sql = "SELECT 1 FROM places WHERE name = ?"
            if self._index.execute(sql, (name,)).fetchone():
                return False
            file = self._file = self._file or self._open()
            data = to_json(line) + b"\n"
            file.write(data)
            self._note((name, self._end) for name in _names(custom_id, digest))
            self._end += len(data)
        return True

    def flush(self, *, durably: bool = False) -> None:
        """Hand what was added to the operating system, or to the disk."""
        with self._lock:
            if self._file is not None:
                self._file.flush()
                if durably:
                    os.fsync(self._file.fileno())

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._index.close()

    def _open(self) -> IO[bytes]:
        """Open the file behind its last whole line."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.fdopen(open_private(self.path), "r+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            message = f"another process is recording to {self.path}"
            raise BlockingIOError(error.errno, message) from error
        file.truncate(self._end)
        file.seek(max(self._end - 1, 0))
        if self._end and file.read(1) != b"\n":
            file.write(b"\n")
            self._end += 1
        return file

    def _line(self, at: int) -> Json:
        if self._file is not None:
            self._file.flush()
        with self.path.open("rb") as file:
            file.seek(at)
            line: Json = from_json(file.readline())
        return line

    def _note(self, places: Iterator[tuple[str, int]]) -> None:
        self._index.executemany("INSERT OR IGNORE INTO places VALUES (?, ?)", places)

    def _names_in(self, file: IO[bytes], *, growing: bool) -> Iterator[tuple[str, int]]:
        for number, raw in enumerate(file, start=1):
            if raw.strip():
                try:
                    names = _known_by(raw)
                except ValueError as error:
                    if growing and not raw.endswith(b"\n"):
                        return
                    raise ValueError(f"{self.path}:{number}: {error}") from error
                yield from ((name, self._end) for name in names)
            self._end += len(raw)


def _known_by(raw: bytes) -> list[str]:
    """Return the names under which a line is found."""
    if (ours := _OURS.match(raw)) and raw.endswith(b"\n"):
        return _names(None if ours[1] is None else ours[1].decode(), ours[2].decode())
    try:
        line = from_json(raw)
    except ValueError as error:
        raise ValueError(f"this line is not JSON: {error}") from error
    given = (line.get("custom_id"), line.get("request_hash")) if is_object(line) else ()
    custom_id, digest = (value if isinstance(value, str) else None for value in given or (0, 0))
    if custom_id is None and digest is None:
        raise ValueError("a recorded answer needs a custom_id or a request_hash.")
    return _names(custom_id, digest)


def _names(custom_id: str | None, digest: str | None) -> list[str]:
    if digest is None:
        return [f":{custom_id}"]
    if custom_id is None:
        return [f"{digest}:"]
    return [f"{digest}:{custom_id}", f"{digest}:", f"?:{custom_id}"]
