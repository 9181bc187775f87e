"""Answers as text: lines of JSON, one JSON document, CSV. Streamed; nothing holds all items.

A CSV has the columns `key`, `variant` and `sample` where the job has several, `row.<field>` for
each field of the rows, `output` (or `output.<field>` for each field of the outputs that are
objects), then `outcome`, `reason`, `input_tokens`, `output_tokens`, `cost_usd`, `turns` and
`grade`. Columns are those of *all* items, in the order in which they first appear, so the items are
read twice; nested values are JSON. NaN and infinity, which JSON does not have, are null in JSON,
and nothing as the value of a column.
"""

import csv
import os
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from io import TextIOWrapper
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, cast

from pydantic_core import from_json, to_json

from batchspec.errors import BatchspecError, UsageError
from batchspec.messages import Outcome, Usage

TextFormat = Literal["jsonl", "json", "csv"]
Format = TextFormat | Literal["npy", "parquet"]
FORMAT_VERSION = "1"
_BINARY = {"npy", "parquet"}
_SUFFIXES = {"json", "csv", *_BINARY}
_CHUNK = 256 * 1024
VERDICT = ("outcome", "reason", "input_tokens", "output_tokens", "cost_usd", "turns", "grade")


class ExportItem(Protocol):
    """What is read of one item; `output_json()` returns the output as JSON values."""

    @property
    def key(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def variant(self) -> str | None: ...
    @property
    def sample(self) -> int: ...
    @property
    def row(self) -> Mapping[str, Any]: ...
    @property
    def row_json(self) -> bytes: ...
    @property
    def outcome(self) -> Outcome | None: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def usage(self) -> Usage: ...
    @property
    def cost(self) -> Decimal | None: ...
    @property
    def turns(self) -> int: ...
    @property
    def grade(self) -> float | bool | None: ...
    @property
    def previous(self) -> bool: ...

    def output_json(self) -> Any: ...
    def vector(self) -> bytes | None:
        """Return the vector of an item that has one, as 32-bit floats, little end first."""
        ...


Items = Callable[[], Iterable[ExportItem]]
"""Begins to read the items anew at every call."""


@dataclass(slots=True)
class Exported:
    """What was written."""

    items: int = 0
    left_out: set[str] = field(default_factory=set[str])
    """Columns that appeared between the two readings, because the state was being written."""
    without: int = 0
    """Items that are left out of a matrix, because they have no vector."""


def json_line(item: ExportItem) -> bytes:
    """Return one item as a line of JSON, as `json` and `jsonl` have it.

    The row is kept as JSON and is not decoded for being encoded again.
    """
    usage, cost = item.usage, item.cost
    head = to_json(
        {
            "key": item.key,
            "variant": item.variant,
            "sample": item.sample,
            "address": item.address,
        }
    )
    tail = to_json(
        {
            "output": item.output_json(),
            "outcome": item.outcome,
            "reason": item.reason,
            "usage": {
                "input_tokens": usage.input_tokens,
                "cached_tokens": usage.cached_tokens,
                "output_tokens": usage.output_tokens,
                "reasoning_tokens": usage.reasoning_tokens,
            },
            "cost_usd": None if cost is None else float(cost),
            "turns": item.turns,
            "grade": item.grade,
            "previous": item.previous,
        },
        inf_nan_mode="null",
    )
    return b'%b,"row":%b,%b\n' % (head[:-1], _strict(item.row_json), tail[1:])


def _strict(row: bytes) -> bytes:
    """Return a row without NaN and infinity, which Python has as JSON and nobody else."""
    if b"NaN" in row or b"Infinity" in row:
        return to_json(from_json(row), inf_nan_mode="null")
    return row


def export(items: Items, file: BinaryIO, form: TextFormat, *, address: str = "") -> Exported:
    """Write items as text to a file that is open for bytes.

    Args:
        items: Begins to read; it is called twice for `csv`.
        file: Gets UTF-8.
        form: How.
        address: Of the job, for the head of the `json` document.
    """
    match form:
        case "jsonl":
            return _write_pieces(file, (json_line(item) for item in items()))
        case "json":
            found = items()  # raises before anything is written
            head = to_json({"format_version": FORMAT_VERSION, "address": address})[:-1]
            file.write(head + b',"items":[')
            pieces = (json_line(item)[:-1] for item in found)
            exported = _write_pieces(file, _separated(pieces))
            file.write(b"\n]}\n")
            return exported
        case "csv":
            return _write_csv(items, file)


def _separated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    separator = b"\n"
    for piece in pieces:
        yield separator + piece
        separator = b",\n"


def _write_pieces(file: BinaryIO, pieces: Iterable[bytes]) -> Exported:
    exported = Exported()
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        exported.items += 1
        if len(buffer) >= _CHUNK:
            file.write(buffer)
            buffer.clear()
    file.write(buffer)
    return exported


# --- CSV ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Shape:
    """The fields of rows and outputs, in the order in which they appeared."""

    row: dict[str, None] = field(default_factory=dict[str, None])
    output: dict[str, None] = field(default_factory=dict[str, None])
    plain_output: bool = False
    """Some output is no object."""
    several: bool = False
    """There are variants or samples."""

    def columns(self) -> list[str]:
        outputs = [f"output.{name}" for name in self.output]
        if self.plain_output or not outputs:
            outputs.insert(0, "output")
        several = ("variant", "sample") if self.several else ()
        return ["key", *several, *(f"row.{name}" for name in self.row), *outputs, *VERDICT]


def _shape(items: Iterable[ExportItem]) -> _Shape:
    shape = _Shape()
    for item in items:
        shape.several |= item.variant is not None or item.sample > 1
        # `keys() <= keys()` is the common case, and allocates nothing.
        row, output = item.row, item.output_json()
        if not row.keys() <= shape.row.keys():
            shape.row |= dict.fromkeys(row)
        if isinstance(output, dict):
            names = cast("dict[str, Any]", output)
            if not names.keys() <= shape.output.keys():
                shape.output |= dict.fromkeys(names)
        elif output is not None:
            shape.plain_output = True
    return shape


def _write_csv(items: Items, file: BinaryIO) -> Exported:
    shape = _shape(items())
    columns = shape.columns()
    exported = Exported()
    text = TextIOWrapper(file, encoding="utf-8", newline="", write_through=False)
    try:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(_lines(items(), shape, columns, exported))
        text.flush()
    finally:
        text.detach()
    return exported


def _lines(
    items: Iterable[ExportItem], shape: _Shape, columns: list[str], exported: Exported
) -> Iterator[list[object]]:
    rows, outputs = list(shape.row), list(shape.output)
    plain = "output" in columns
    for item in items:
        row, output = item.row, item.output_json()
        fields: Mapping[str, Any] = cast("dict[str, Any]", output) if type(output) is dict else {}
        line: list[object] = [item.key]
        line += [_cell(item.variant), item.sample] if shape.several else []
        line += [_cell(row.get(name)) for name in rows]
        if plain:
            line.append("" if fields else _cell(cast("object", output)))
        line += [_cell(fields.get(name)) for name in outputs]
        line += _verdict(item)
        if not (row.keys() <= shape.row.keys() and fields.keys() <= shape.output.keys()):
            exported.left_out |= {f"row.{n}" for n in row.keys() - shape.row.keys()}
            exported.left_out |= {f"output.{n}" for n in fields.keys() - shape.output.keys()}
        exported.items += 1
        yield line


def _verdict(item: ExportItem) -> tuple[object, ...]:
    usage, cost = item.usage, item.cost
    return (
        item.outcome or "",
        item.reason or "",
        usage.input_tokens,
        usage.output_tokens,
        "" if cost is None else f"{cost:f}",
        item.turns,
        _cell(item.grade),
    )


def _cell(value: object) -> object:
    """Return a value as CSV has it: text as it is, nothing as nothing, the rest as JSON."""
    if type(value) is str or type(value) is int:
        return value
    if value is None or (type(value) is float and not isfinite(value)):
        return ""
    return to_json(value, inf_nan_mode="null").decode()


# --- where to ----------------------------------------------------------------------------------


def format_for(form: str | None, output: Path | None) -> Literal["table"] | Format:
    """Return the format asked for, or else the one a file's name suggests.

    Raises:
        UsageError: A table was to go into a file, or bytes to a terminal.
    """
    suffix = output.suffix.lower().lstrip(".") if output else ""
    chosen = form or (suffix if suffix in _SUFFIXES else "jsonl" if output else "table")
    if chosen in _BINARY and output is None:
        raise UsageError(f"{chosen} is no text: say where it goes with `-o FILE.{chosen}`.")
    if chosen == "table" and output:
        raise UsageError(
            "A table is for the terminal; write a file with `--format jsonl` or `csv`."
        )
    return cast('Literal["table"] | Format', chosen)


@contextmanager
def replacing(path: Path) -> Generator[BinaryIO]:
    """Open a file that takes the place of `path` when all went well, and vanishes otherwise.

    Symbolic links are followed; pipes and devices are written to as they are.

    Raises:
        BatchspecError: The folder cannot be written to.
    """
    path = path.resolve()  # a symbolic link stays one
    if path.exists() and not path.is_file():
        with path.open("wb") as file:  # a pipe or a device is written to, not replaced
            yield file
        return
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        raise BatchspecError(f"{path} cannot be written: {error.strerror}.") from error
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        part.chmod(_mode(path))
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _mode(path: Path) -> int:
    """Return the rights of the file that is replaced, or those any new file gets."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
