"""Saved plans on disk: compressed lines, written whole or not at all, read with suspicion."""

import hashlib
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

import zstandard

from batchspec.errors import PlanFileError, StateError, UsageError
from batchspec.plan.changes import Plan
from batchspec.plan.planfile import (
    MARK,
    Entry,
    Header,
    ending_line,
    entry_line,
    header_line,
    parse_entry,
    parse_header,
)

_READ = 64 * 1024
_MAX_LINE = 64 * 1024 * 1024
"""Bytes; a file that asks for more memory is none of ours."""
_MAX_WINDOW = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A plan that was saved to a file: whoever hands it to `apply` agrees to it.

    Attributes:
        path: The file.
        header: What it says but for the rows, which are read when they are needed.
        rows: How many rows it has.
        sha256: Of its lines, so that what was looked at is what is applied.
    """

    path: Path
    header: Header
    rows: int
    sha256: str

    @property
    def plan(self) -> Plan:
        """Return the plan as it was shown when it was made, but for excerpts of prompts."""
        return self.header.plan


# --- writing


def write_plan(path: Path, header: Header, entries: Iterable[Entry]) -> None:
    """Write a saved plan, readable by its owner alone; an older one gives way at the end.

    Raises:
        UsageError: There is something else at the path, or no folder for it.
        StateError: The disk is full.
    """
    if path.exists() and not _is_empty(path) and not _is_plan(path):
        raise UsageError(f"{str(path)!r} exists and is no saved plan; it was not overwritten.")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        _write(part, header, entries)
        part.replace(path)
        _sync(path.parent)
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise UsageError(f"The plan cannot be saved at {str(path)!r}: {error.strerror}.") from error
    except OSError as error:
        raise StateError(f"The plan cannot be saved at {str(path)!r}: {error}.") from error
    finally:
        with suppress(OSError):
            part.unlink()


def _write(part: Path, header: Header, entries: Iterable[Entry]) -> None:
    hashed, rows = hashlib.sha256(), 0
    with suppress(FileNotFoundError):
        part.unlink()  # of a process that had this id and was killed
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        compressor = zstandard.ZstdCompressor(level=3)
        with compressor.stream_writer(file, closefd=False) as out:

            def write(line: bytes) -> None:
                hashed.update(line + b"\n")
                out.write(line + b"\n")

            write(header_line(header))
            for entry in entries:
                write(entry_line(entry))
                rows += 1
            out.write(ending_line(rows, hashed.hexdigest()) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_empty(path: Path) -> bool:
    """Tell whether nothing is lost with a file, as one that `mktemp` made."""
    return path.is_file() and path.stat().st_size == 0


def _is_plan(path: Path) -> bool:
    try:
        with _opened(path):
            return True
    except (PlanFileError, UsageError):
        return False


# --- reading


def read_plan(path: Path) -> SavedPlan:
    """Read a saved plan to its end and check it; its rows are not kept.

    Raises:
        UsageError: There is no such file.
        PlanFileError: It is no saved plan, cut off, changed, or of another version.
    """
    with _opened(path) as reading:
        header = parse_header(reading.first)
        known = {job.address for job in header.jobs}
        for entry in reading.entries():
            if entry.job not in known:
                raise PlanFileError("A row of it is of no job of the plan.")
        return SavedPlan(path, header, reading.rows, reading.sha256)


def read_rows(saved: SavedPlan) -> Iterator[Entry]:
    """Yield the rows of a saved plan.

    Raises:
        PlanFileError: The file is not what it was when it was read first.
    """
    with _opened(saved.path) as reading:
        yield from reading.entries()
        if reading.sha256 != saved.sha256:
            raise PlanFileError("It was replaced while it was read.")


class _Reading:
    """One pass over the lines, with the sum that the last one has to agree with."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self.first = next(lines, b"")
        if not self.first:
            raise PlanFileError("It is damaged or cut off, or no saved plan.")
        if not self.first.startswith(MARK):
            raise PlanFileError("It was not made by `batchspec plan -o FILE`.")
        self._hashed = hashlib.sha256(self.first + b"\n")
        self.rows = 0
        self.sha256 = ""

    def entries(self) -> Iterator[Entry]:
        for line in self._lines:
            found = parse_entry(line)
            if not isinstance(found, Entry):
                self._end(found)
                return
            self._hashed.update(line + b"\n")
            self.rows += 1
            yield found
        raise PlanFileError("It is cut off.")

    def _end(self, said: tuple[int, str]) -> None:
        self.sha256 = self._hashed.hexdigest()
        if said != (self.rows, self.sha256) or next(self._lines, None) is not None:
            raise PlanFileError("It was changed since it was made.")


@contextmanager
def _opened(path: Path) -> Generator[_Reading]:
    """Open a saved plan; what is wrong with it is told with its name."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise UsageError(f"There is no saved plan at {str(path)!r}: {error.strerror}.") from error
    with file:
        try:
            yield _Reading(_lines(file))
        except (PlanFileError, OSError) as error:
            raise PlanFileError(
                f"The saved plan {str(path)!r} cannot be used. {error} Make a new one."
            ) from None


def _lines(file: BufferedReader) -> Iterator[bytes]:
    """Yield lines without their ends, in bounded memory."""
    if not file.peek(1):
        raise PlanFileError("It is empty.")
    reader = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).stream_reader(
        file, read_size=_READ, read_across_frames=True
    )
    parts: list[bytes] = []
    held = 0
    while True:
        try:
            data = reader.read(_READ)
        except zstandard.ZstdError:
            raise PlanFileError("It is damaged, or no saved plan.") from None
        if not data:
            break
        *whole, rest = data.split(b"\n")
        for line in whole:
            yield b"".join((*parts, line))
            parts, held = [], 0
        parts.append(rest)
        held += len(rest)
        if held > _MAX_LINE:
            raise PlanFileError("A line of it is too long.")
    if held:
        raise PlanFileError("It is cut off.")
