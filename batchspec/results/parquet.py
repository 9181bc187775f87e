"""Answers as Parquet, written with polars in row groups, so that nothing holds all items.

The columns are those of a CSV, typed; see `results.export`. A column of whole numbers, numbers,
booleans or texts has that type; nested values, and values of several kinds, are JSON text, which
has null for NaN and infinity; a column of numbers holds them as they are. Vectors are arrays of
32-bit floats. Columns and their types are those of *all* items, so the items are read twice.
"""

import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, BinaryIO, Literal, cast

from pydantic_core import to_json

from batchspec.errors import UsageError
from batchspec.results.export import VERDICT, Exported, ExportItem, Items

Kind = Literal["null", "bool", "int", "float", "text", "mixed", "vector"]
_CHUNK = 1000
"""Items that are held at once; a few such chunks are on their way."""
_GROUP = 16_000_000
"""Bytes of vectors in a row group, about."""
_ROWS = 50_000
"""Rows in a row group without vectors."""
_FLOAT = 4
"""Bytes of one component."""
_LARGEST = 2**63
_KINDS: Mapping[type, Kind] = {
    type(None): "null",
    bool: "bool",
    int: "int",
    float: "float",
    str: "text",
    bytes: "vector",
}
_FIXED: Mapping[str, Kind] = {
    **dict.fromkeys(("outcome", "reason"), "text"),
    **dict.fromkeys(("input_tokens", "output_tokens", "turns"), "int"),
    **dict.fromkeys(("cost_usd", "grade"), "float"),
}
"""Kinds of the columns every item has."""
_WHICH: Mapping[str, Kind] = {"variant": "text", "sample": "int"}
"""Kinds of the columns that are there where a job has variants or samples."""


def export_parquet(items: Items, file: BinaryIO) -> Exported:
    """Write items to a file that is open for bytes.

    Args:
        items: Begins to read; it is called twice, for the columns and for their values.
        file: Gets the Parquet.

    Raises:
        UsageError: polars or numpy is not installed.
    """
    polars = _installed()
    columns = _columns(items())
    schema = {name: column.dtype(polars) for name, column in columns.items()}
    exported = Exported()
    raised: list[Exception] = []

    def frames() -> Iterator[Any]:
        try:
            remaining = iter(items())
            while chunk := list(islice(remaining, _CHUNK)):
                exported.items += len(chunk)
                yield polars.DataFrame(_series(polars, chunk, columns, exported), schema=schema)
        except Exception as error:
            raised.append(error)
            raise

    from polars.io.plugins import register_io_source  # noqa: PLC0415 - see `_installed`

    widest = max((width for column in columns.values() for width in column.widths), default=None)

    # Its threads ask for a frame when there is room for one; this thread waits, so that the state
    # is read by one at a time.
    def source(*_: object) -> Iterator[Any]:
        return frames()

    lazy = register_io_source(source, schema=schema)
    try:
        lazy.sink_parquet(
            file,
            row_group_size=_ROWS if widest is None else max(1, _GROUP // widest),
            maintain_order=True,
            engine="streaming",
        )
    except Exception:
        # Some versions of polars raise an error of their own for it.
        if raised:
            raise raised[0] from None
        raise
    return exported


def _installed() -> Any:
    try:
        importlib.import_module("numpy")
        return importlib.import_module("polars")
    except ImportError as error:
        raise UsageError(
            f"Parquet is written with polars and numpy, and {error.name} is not installed. Install"
            " them with `pip install 'batchspec[data]'`, or use `--format jsonl`, `csv` or `npy`."
        ) from error


@dataclass(slots=True)
class _Column:
    """Of which kinds the values of a column are, and what is written for one."""

    kind: Kind = "null"
    widths: set[int] = field(default_factory=set[int])
    """Bytes of the vectors."""

    def see(self, value: object) -> None:
        kind = _kind(value)
        if isinstance(value, bytes):
            self.widths.add(len(value))
        elif kind == "int" and not -_LARGEST <= cast("int", value) < _LARGEST:
            kind = "mixed"
        if kind in {"null", self.kind}:
            return
        both = {kind, self.kind}
        self.kind = kind if self.kind == "null" else "float" if both == _NUMBERS else "mixed"

    def dtype(self, polars: Any) -> Any:
        """Return the type of the column."""
        match self.kind:
            case "bool":
                return polars.Boolean
            case "int":
                return polars.Int64
            case "float":
                return polars.Float64
            case "vector" if len(self.widths) == 1:
                return polars.Array(polars.Float32, next(iter(self.widths)) // _FLOAT)
            case "vector":
                return polars.List(polars.Float32)
            case _:
                return polars.String

    def cell(self, value: Any) -> Any:
        """Return a value as the column holds it; None: it does not fit."""
        if isinstance(value, bytes):
            return value if len(value) in self.widths else None
        if value is None or _kind(value) == self.kind != "mixed":
            return value
        if self.kind == "float" and type(value) is int:
            return float(value)
        if self.kind in _TYPED:
            return None
        return value if isinstance(value, str) else to_json(value, inf_nan_mode="null").decode()


def _kind(value: object) -> Kind:
    return _KINDS.get(type(value), "mixed")


_NUMBERS = {"int", "float"}
_TYPED = {"bool", "int", "float", "vector"}


def _columns(items: Iterable[ExportItem]) -> dict[str, _Column]:
    """Return all columns, those of rows and outputs in the order in which they appear."""
    rows: dict[str, _Column] = {}
    outputs: dict[str, _Column] = {}
    several = False
    for item in items:
        several |= item.variant is not None or item.sample > 1
        for name, value in item.row.items():
            rows.setdefault(f"row.{name}", _Column()).see(value)
        for name, value in _outputs(item).items():
            outputs.setdefault(name, _Column()).see(value)
    if "output" in outputs or not outputs:
        outputs = {"output": outputs.pop("output", _Column())} | outputs
    fixed = {name: _Column(_FIXED[name]) for name in VERDICT}
    which = {name: _Column(kind) for name, kind in _WHICH.items()} if several else {}
    return {"key": _Column("text"), **which, **rows, **outputs, **fixed}


def _outputs(item: ExportItem) -> dict[str, Any]:
    vector = item.vector()
    if vector is not None:
        return {"output": vector}
    output = item.output_json()
    if output is None:
        return {}
    if isinstance(output, dict) and output:
        return {f"output.{name}": v for name, v in cast("dict[str, Any]", output).items()}
    return {"output": output}


def _values(item: ExportItem) -> dict[str, Any]:
    usage, cost, grade = item.usage, item.cost, item.grade
    return {
        "key": item.key,
        "variant": item.variant,
        "sample": item.sample,
        **{f"row.{name}": value for name, value in item.row.items()},
        **_outputs(item),
        "outcome": item.outcome,
        "reason": item.reason,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost_usd": None if cost is None else float(cost),
        "turns": item.turns,
        "grade": None if grade is None else float(grade),
    }


def _series(
    polars: Any, items: Sequence[ExportItem], columns: Mapping[str, _Column], exported: Exported
) -> dict[str, Any]:
    rows = [_values(item) for item in items]
    for row in rows:
        exported.left_out |= row.keys() - columns.keys() - _WHICH.keys()
    found: dict[str, Any] = {}
    for name, column in columns.items():
        values = [row.get(name) for row in rows]
        cells = [column.cell(value) for value in values]
        # What came between the two readings may be of another kind.
        if cells.count(None) != values.count(None):
            exported.left_out.add(name)
        found[name] = _vectors(polars, cells, column) if column.kind == "vector" else cells
    return found


def _vectors(polars: Any, values: Sequence[Any], column: _Column) -> Any:
    import numpy as np  # noqa: PLC0415 - see `_installed`

    if len(column.widths) != 1:
        return [None if v is None else np.frombuffer(v, "<f4").tolist() for v in values]
    width = next(iter(column.widths))
    packed = b"".join(v or bytes(width) for v in values)
    matrix = np.frombuffer(packed, "<f4").astype(np.float32, copy=False).reshape(len(values), -1)
    series = polars.Series(matrix, dtype=column.dtype(polars))
    if None not in values:
        return series
    frame = polars.DataFrame({"v": series, "there": [v is not None for v in values]})
    return frame.select(polars.when("there").then("v"))["v"]
