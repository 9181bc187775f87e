"""Bodies on disk: segments of JSON lines, compressed in frames that can be read one by one.

A segment is a `.jsonl.zst` file that `zstdcat` can read. Records are appended to frames of about
128 KiB; a `RecordRef` packs the segment's number, the frame's offset in the file and the record's
place in the frame into one integer, so that a row needs one column to point at its body.
"""

import os
from collections import OrderedDict
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Self

import zstandard

from batchspec.errors import StateError
from batchspec.ids import RecordRef
from batchspec.store.schema import explain

FRAME_BYTES = 128 * 1024
FRAME_RECORDS = 2048
_INDEX_BITS = 11
_OFFSET_BITS = 32
MAX_SEGMENT_BYTES = 1 << _OFFSET_BITS
_READ = 64 * 1024


def pack_ref(segment: int, offset: int, index: int) -> RecordRef:
    """Pack a place: segment < 2**20, offset < 2**32, index < 2**11."""
    return RecordRef(segment << _OFFSET_BITS + _INDEX_BITS | offset << _INDEX_BITS | index)


def unpack_ref(ref: RecordRef) -> tuple[int, int, int]:
    """Return (segment, offset of the frame, index in the frame)."""
    index = ref & (1 << _INDEX_BITS) - 1
    offset = ref >> _INDEX_BITS & MAX_SEGMENT_BYTES - 1
    return ref >> _OFFSET_BITS + _INDEX_BITS, offset, index


class SegmentWriter:
    """Appends records to one new segment. Not durable before `close`."""

    def __init__(self, path: Path, segment: int) -> None:
        self.path = path
        self.segment = segment
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file: IO[bytes] = os.fdopen(descriptor, "wb")
        self._compressor = zstandard.ZstdCompressor(level=3)
        self._frame: list[bytes] = []
        self._frame_bytes = 0
        self._offset = 0
        self.records = 0
        self.closed = False

    def append(self, record: bytes) -> RecordRef:
        """Add a record, which must not contain a newline, and return where it will be."""
        if self._frame_bytes >= FRAME_BYTES or len(self._frame) >= FRAME_RECORDS:
            self._flush()
        frame = self._frame
        ref = pack_ref(self.segment, self._offset, len(frame))
        frame.append(record)
        self._frame_bytes += len(record) + 1
        self.records += 1
        return ref

    def extend(self, records: Sequence[bytes]) -> None:
        """Add records of about one frame at once; where they are is told by `scan`."""
        self._flush()
        for at in range(0, len(records), FRAME_RECORDS):
            self._frame = list(records[at : at + FRAME_RECORDS])
            self.records += len(self._frame)
            self._flush()

    @property
    def full(self) -> bool:
        """Tell whether a further frame might not be addressable."""
        return self._offset + 8 * FRAME_BYTES > MAX_SEGMENT_BYTES

    def _flush(self) -> None:
        if not self._frame:
            return
        data = self._compressor.compress(b"\n".join(self._frame) + b"\n")
        with _explained(self.path):
            self._file.write(data)
        self._offset += len(data)
        self._frame = []
        self._frame_bytes = 0

    def close(self) -> int:
        """Write what is left, make it durable, and return the size of the file in bytes."""
        if not self.closed:
            self._flush()
            with _explained(self.path):
                self._file.flush()
                os.fsync(self._file.fileno())
            self._file.close()
            self.closed = True
        return self._offset

    def abandon(self) -> None:
        """Remove the segment; nothing points at it."""
        self.closed = True
        with suppress(OSError):  # what is buffered may find no space
            self._file.close()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.close()
        elif not self.closed:
            self.abandon()


class SegmentReader:
    """Reads records by reference; keeps the frames last used, up to `cache_bytes`."""

    def __init__(self, directory: Path, *, cache_bytes: int = 16 * 1024 * 1024) -> None:
        self._directory = directory
        self._limit = cache_bytes
        self._held = 0
        self._frames: OrderedDict[tuple[int, int], tuple[list[bytes], int]] = OrderedDict()
        self._files: OrderedDict[int, IO[bytes]] = OrderedDict()
        self._last: tuple[int, list[bytes]] = (-1, [])

    def get(self, ref: RecordRef) -> bytes:
        """Return one record.

        Raises:
            StateError: The segment is gone or cannot be read.
        """
        frame = ref >> _INDEX_BITS
        last, lines = self._last
        if frame != last:
            segment, offset, _ = unpack_ref(ref)
            lines = self._load(segment, offset)
            self._last = (frame, lines)
        return lines[ref & (1 << _INDEX_BITS) - 1]

    def _load(self, segment: int, offset: int) -> list[bytes]:
        held = self._frames.get((segment, offset))
        if held is not None:
            self._frames.move_to_end((segment, offset))
            return held[0]
        with _explained(segment_path(self._directory, segment)):
            data = _read_frame(self._file(segment), offset)
        lines = data.split(b"\n")
        size = len(data) + 48 * len(lines)
        self._frames[segment, offset] = (lines, size)
        self._held += size
        while self._held > self._limit and len(self._frames) > 1:
            _, (_, freed) = self._frames.popitem(last=False)
            self._held -= freed
        return lines

    def _file(self, segment: int) -> IO[bytes]:
        file = self._files.get(segment)
        if file is None:
            file = segment_path(self._directory, segment).open("rb")
            self._files[segment] = file
            while len(self._files) > 16:
                self._files.popitem(last=False)[1].close()
        self._files.move_to_end(segment)
        return file

    def scan(self, segment: int) -> Iterator[tuple[RecordRef, bytes]]:
        """Yield every record of a segment in order."""
        with segment_path(self._directory, segment).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            offset = 0
            while offset < size:
                decompressor = zstandard.ZstdDecompressor().decompressobj()
                lines = _decompress(file, offset, decompressor).split(b"\n")
                lines.pop()
                base = pack_ref(segment, offset, 0)
                for index, line in enumerate(lines):
                    yield RecordRef(base + index), line
                offset = file.tell() - len(decompressor.unused_data)

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
        self._files.clear()
        self._frames.clear()
        self._held = 0
        self._last = (-1, [])


def _read_frame(file: IO[bytes], offset: int) -> bytes:
    return _decompress(file, offset, zstandard.ZstdDecompressor().decompressobj())


def _decompress(
    file: IO[bytes], offset: int, decompressor: "zstandard.ZstdDecompressionObj"
) -> bytes:
    file.seek(offset)
    parts: list[bytes] = []
    while not decompressor.eof:
        data = file.read(_READ)
        if not data:
            message = f"segment {file.name} ends inside a frame"
            raise OSError(message)
        parts.append(decompressor.decompress(data))
    return b"".join(parts)


@contextmanager
def _explained(path: Path) -> Generator[None]:
    try:
        yield
    except zstandard.ZstdError as error:
        raise StateError(f"{path} is damaged ({error}). Put back a copy of it.") from error
    except OSError as error:
        raise StateError(explain(error, path)) from error


def sync_folder(folder: Path) -> None:
    """Make new names in a folder survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def segment_path(directory: Path, segment: int) -> Path:
    """Return the file of a segment."""
    return directory / f"{segment:08d}.jsonl.zst"
