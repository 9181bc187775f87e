"""A state as one file: a compressed tar of the database and the bodies its rows point at.

The first member says what follows, so that a reader knows names and sizes before it unpacks.
"""

import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, BinaryIO

import zstandard
from pydantic import TypeAdapter, ValidationError

from batchspec.errors import StateError
from batchspec.store.reader import StateReader
from batchspec.store.schema import explain
from batchspec.store.segments import segment_path

MANIFEST, DATABASE, ARTIFACTS = "manifest.json", "batchspec.db", "artifacts"
FORMAT = 1
_MOST_MANIFEST = 256 * 1024 * 1024
_COPY = 1 << 20


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive holds.

    Attributes:
        format: Of the archive.
        environment: Whose state it is; a copy belongs to that one alone.
        lineage: Which history the state is of.
        serial: Which moment of it.
        database: Bytes of the database.
        segments: Bytes of each file of bodies, by its number.
    """

    format: int
    environment: str
    lineage: str
    serial: int
    database: int
    segments: dict[int, int]

    @property
    def bytes(self) -> int:
        """Return what it takes on the disk when it is unpacked."""
        return self.database + sum(self.segments.values())

    def sizes(self) -> dict[str, int]:
        """Return the size of every member after the first, by name."""
        return {DATABASE: self.database} | {
            f"{ARTIFACTS}/{segment_path(Path(), number).name}": size
            for number, size in self.segments.items()
        }


_MANIFEST = TypeAdapter(Manifest)


def write_archive(directory: Path, out: BinaryIO, at: float, environment: str) -> Manifest:
    """Write the state of one environment, as it is at one moment, to a stream.

    Args:
        directory: Of the environment.
        out: Where to.
        at: Unix seconds, the time of the files in it.
        environment: Its name.

    Raises:
        StateError: There is no state, or not all of it can be read.
    """
    with StateReader(directory) as reader, scratch_folder(directory, "pull") as folder:
        path = folder / DATABASE
        manifest = _copied(reader, path, environment)
        compressor = zstandard.ZstdCompressor(level=3, write_checksum=True)
        try:
            with (
                compressor.stream_writer(out, closefd=False) as packed,
                tarfile.open(fileobj=packed, mode="w|") as tar,
            ):
                content = json.dumps(asdict(manifest)).encode()
                tar.addfile(_member(MANIFEST, len(content), at), BytesIO(content))
                for name, size in manifest.sizes().items():
                    source = path if name == DATABASE else directory / name
                    with source.open("rb") as file:
                        tar.addfile(_member(name, size, at), file)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise StateError(explain(error, reader.path)) from error
    return manifest


@contextmanager
def private_file(path: Path) -> Generator[BinaryIO]:
    """Write a file for its owner alone; it is there when it is whole, and not before."""
    if path.exists() and not path.is_file():  # a pipe or a device is written to, not replaced
        with path.open("wb") as out:
            yield out
        return
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def scratch_folder(directory: Path, what: str) -> Generator[Path]:
    """Make a folder that goes with the process, or is removed by the next one that writes."""
    tmp = directory / "tmp"
    tmp.mkdir(exist_ok=True, mode=0o700)
    folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-{what}-", dir=tmp))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copied(reader: StateReader, path: Path, environment: str) -> Manifest:
    """Copy the database at one moment, without who is at work on it."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
    with closing(sqlite3.connect(path, isolation_level=None)) as copy:
        reader.db.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
        copy.execute("UPDATE lease SET holder = NULL")
        copy.execute("DELETE FROM artifacts WHERE records = 0")
        meta = dict(copy.execute("SELECT key, value FROM meta"))
        segments = dict(copy.execute("SELECT id, bytes FROM artifacts"))
    lineage, serial = str(meta.get("lineage", "")), int(meta.get("serial", 0))
    return Manifest(FORMAT, environment, lineage, serial, path.stat().st_size, segments)


def _member(name: str, size: int, at: float) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o600, int(at)
    return member


def unpack_archive(source: BinaryIO, folder: Path, name: str) -> Manifest:
    """Unpack an archive into an empty folder, and only what an archive may hold.

    Args:
        source: The archive.
        folder: Where to.
        name: Of the archive, for messages.

    Raises:
        StateError: It is none, it is torn, it holds something else, or there is no room for it.
    """
    with _opened(source, name) as tar:
        return _unpacked(tar, folder, name)


def read_manifest(source: BinaryIO, name: str) -> Manifest:
    """Return what an archive says of itself; nothing is unpacked.

    Args:
        source: The archive.
        name: Of the archive, for messages.

    Raises:
        StateError: It is none.
    """
    with _opened(source, name) as tar:
        return _read_manifest(tar, iter(tar), name)


@contextmanager
def _opened(source: BinaryIO, name: str) -> Generator[tarfile.TarFile]:
    try:
        with (
            zstandard.ZstdDecompressor().stream_reader(source, closefd=False) as packed,
            tarfile.open(fileobj=packed, mode="r|") as tar,
        ):
            yield tar
    except (tarfile.TarError, zstandard.ZstdError, EOFError) as error:
        message = f"{name} is no archive of a state, or was cut off: {error}. Nothing was changed."
        raise StateError(message) from error


def _unpacked(tar: tarfile.TarFile, folder: Path, name: str) -> Manifest:
    members = iter(tar)
    manifest = _read_manifest(tar, members, name)
    if manifest.bytes > shutil.disk_usage(folder).free:
        raise StateError(
            f"{name} takes {manifest.bytes:,} bytes, and the disk of {folder} has no room for it. "
            "Nothing was changed."
        )
    (folder / ARTIFACTS).mkdir(mode=0o700)
    wanted = manifest.sizes()
    for member in members:
        # Only names that the manifest can make are ever joined to a path.
        if wanted.pop(member.name, None) != member.size or not member.isreg():
            raise _foreign(name, member.name)
        content = tar.extractfile(member)
        if content is None:
            raise _foreign(name, member.name)
        _write(folder / member.name, content)
    if wanted:
        raise StateError(f"{name} lacks {min(wanted)}. Nothing was changed.")
    return manifest


def _read_manifest(tar: tarfile.TarFile, members: Iterator[tarfile.TarInfo], name: str) -> Manifest:
    first = next(members, None)
    if first is None or first.name != MANIFEST or not first.isreg() or first.size > _MOST_MANIFEST:
        raise _foreign(name, first.name if first else "nothing")
    content = tar.extractfile(first)
    try:
        manifest = _MANIFEST.validate_json(content.read() if content else b"")
    except ValidationError as error:
        raise _foreign(name, MANIFEST) from error
    if manifest.format != FORMAT:
        raise StateError(
            f"{name} was written by another version of batchspec (format {manifest.format}, this "
            f"one knows {FORMAT}). Nothing was changed."
        )
    numbers = [*manifest.segments, *manifest.segments.values(), manifest.database]
    if not all(0 <= number < 1 << 40 for number in numbers):
        raise _foreign(name, MANIFEST)
    return manifest


def _write(path: Path, content: IO[bytes]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        shutil.copyfileobj(content, file, _COPY)
        file.flush()
        os.fsync(file.fileno())


def _foreign(name: str, member: str) -> StateError:
    return StateError(
        f"{name} holds {member!r}, which no archive of a state has there. Nothing was changed."
    )
