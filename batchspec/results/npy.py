"""Vectors as one matrix in NumPy's own format, written as they come; NumPy is not needed for it.

Row n of the matrix is line n of the file of keys. The head of an npy file has a fixed length here,
so that it can be written last, when it is known how many vectors there are.
Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from pydantic_core import to_json

from batchspec.errors import BatchspecError, UsageError
from batchspec.results.export import Exported, ExportItem

_MAGIC = b"\x93NUMPY\x01\x00"
_HEAD = 128
"""Bytes; a multiple of 64, as readers that map a file into memory like it."""
_BYTES = 4
_CHUNK = 1 << 20


def keys_file(path: Path) -> Path:
    """Return where the keys of a matrix are written."""
    return path.with_name(f"{path.name}.keys.jsonl")


def export_npy(items: Iterable[ExportItem], file: BinaryIO, keys: BinaryIO) -> Exported:
    """Write the vectors of items, `(vectors, dimensions)` of float32, and their keys.

    Args:
        items: Those without a vector are left out, and counted.
        file: Open for bytes; it must be one that can be written to at any place.
        keys: Gets `{"row": 0, "key": "…"}` a line.

    Raises:
        UsageError: No item has a vector, or the file is a pipe.
        BatchspecError: Vectors differ in length.
    """
    if not file.seekable():
        raise UsageError("The head of an npy file is written last: give a file, not a pipe.")
    file.write(bytes(_HEAD))
    width, exported = 0, Exported()
    vectors, names = BytesIO(), BytesIO()
    for item in items:
        vector = item.vector()
        if vector is None:
            exported.without += 1
            continue
        width = width or len(vector)
        if len(vector) != width:
            raise BatchspecError(
                f"The vector of {item.address} has {len(vector) // _BYTES} components, and those"
                f" before it have {width // _BYTES}; a matrix needs vectors of one length. Write"
                " Parquet or JSON Lines, or apply again so that all come from one model."
            )
        vectors.write(vector)
        names.write(to_json({"row": exported.items, "key": item.key}) + b"\n")
        exported.items += 1
        if vectors.tell() >= _CHUNK:
            _flush(vectors, file)
            _flush(names, keys)
    if not exported.items:
        raise UsageError("There is no vector to write; npy is for answers of an `EmbeddingJob`.")
    _flush(vectors, file)
    _flush(names, keys)
    file.seek(0)
    file.write(_head(exported.items, width // _BYTES))
    return exported


def _flush(buffer: BytesIO, file: BinaryIO) -> None:
    file.write(buffer.getvalue())
    buffer.seek(0)
    buffer.truncate()


def _head(rows: int, columns: int) -> bytes:
    shape = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}"
    rest = _HEAD - len(_MAGIC) - 2
    return _MAGIC + rest.to_bytes(2, "little") + shape.ljust(rest - 1).encode() + b"\n"
