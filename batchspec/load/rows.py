"""Reading rows, streaming: each is a row or a diagnostic with the line it is about."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from glob import iglob
from pathlib import Path
from typing import Any, BinaryIO, cast

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, from_json, to_json

from batchspec.desired.expand import SourceRow
from batchspec.errors import Diagnostic, Source
from batchspec.load.csv_rows import read_csv
from batchspec.load.errors import explain
from batchspec.load.keys import KeyOf, key_of
from batchspec.load.tables import TableInvalid, table_rows
from batchspec.load.text import not_text, unreadable
from batchspec.spec.rows import Csv, Files, FromCallable, Inline, Jsonl, Parquet, PlainSource, Sql
from batchspec.spec.shapes import is_rows

Rows = Iterator[SourceRow | Diagnostic]

_BOM = b"\xef\xbb\xbf"


def read_rows(source: PlainSource, root: Path) -> Rows:
    """Yield the rows of a source that needs no answers.

    Paths are relative to `root`, the project's folder. Keys are not compared with each other.
    """
    match source:
        case Jsonl():
            yield from _open(source.path, source.source, root, lambda f: _jsonl(source, f))
        case Csv():
            yield from _open(source.path, source.source, root, lambda f: read_csv(source, f))
        case Parquet():
            yield from _parquet(source, root)
        case Sql():
            yield from _sql(source, root)
        case Files():
            yield from _files(source, root)
        case Inline():
            yield from _plain(source.data, source)
        case FromCallable():
            yield from _called(source)


def duplicate_key(
    address: str, key: str, first_line: int | None, line: int | None, file: str | None
) -> Diagnostic:
    """Return the diagnostic of a key that two rows have.

    Args:
        address: Of the job.
        key: What both rows have.
        first_line: Where it was first; a row's number where there is no file.
        line: Where it is again.
        file: Where the rows are, None for rows without a file.
    """
    unit = "row" if file is None else "line"
    again = f" and again in {unit} {line}" if line is not None and file is None else ""
    first = f" in {unit} {first_line}" if first_line is not None else " before"
    return Diagnostic(
        summary="key is not unique",
        detail=f"{key!r} is the key of a row{first}{again}. Keys identify answers: remove one of"
        " the rows, or choose a `key=` whose values differ.",
        source=Source(file, line) if file else None,
        address=address,
    )


def _open(path: str, source: Source, root: Path, read: Callable[[BinaryIO], Rows]) -> Rows:
    try:
        with (root / path).open("rb") as file:
            yield from read(file)
    except OSError as error:
        yield unreadable(path, root, source, error)


def _jsonl(source: Jsonl, file: BinaryIO) -> Rows:
    find: KeyOf | None = None
    for line, raw in enumerate(file, 1):
        text = raw.removeprefix(_BOM) if line == 1 else raw
        if not text.strip():
            continue
        try:
            data = from_json(text, allow_inf_nan=False)
        except ValueError as error:
            where = Source(source.path, line)
            yield Diagnostic(summary="line is not JSON", detail=f"{_reason(error)}.", source=where)
            continue
        if not isinstance(data, dict):
            yield _no_object(source.path, line, data)
            continue
        row = cast("dict[str, Any]", data)
        find = find or key_of(source.key, row)
        yield find(row, line, source.path)


def _reason(error: ValueError) -> str:
    said, _, place = str(error).partition(" at line ")
    # The parser counts lines within the text it got, which is one line and its end.
    line, _, column = place.partition(" column ")
    return f"{said[0].upper()}{said[1:]}" + (f" at column {column}" if line == "1" else "")


def _no_object(file: str, line: int, data: object) -> Diagnostic:
    hint = (
        " Is it one JSON document? JSON Lines holds an object per line."
        if isinstance(data, list)
        else ""
    )
    return Diagnostic(
        summary="line is not an object",
        detail=f'A row is an object such as {{"id": 1, "text": "…"}}; got {data!r:.60}.{hint}',
        source=Source(file, line),
    )


def _files(source: Files, root: Path) -> Rows:
    paths = sorted(iglob(source.pattern, root_dir=root, recursive=True))  # noqa: PTH207 - a third the memory
    seen = False
    # Texts, not a `Path` for each, which would take a third of the time.
    folder, key, plain = os.fspath(root), source.key or "path", _is_plain(source.pattern)
    for name in paths:
        path = os.path.join(folder, name)  # noqa: PTH118
        if not os.path.isfile(path):  # noqa: PTH113
            continue
        seen = True
        posix = name if plain else Path(name).as_posix()
        data = {"path": posix, "name": posix.rpartition("/")[2]}
        if not source.text:
            yield SourceRow(data[key], data, None, posix)
            continue
        try:
            with open(path, "rb") as file:  # noqa: PTH123
                text = file.read().decode(source.encoding).removeprefix("\ufeff")
        except OSError as error:
            yield unreadable(name, root, source.source, error)
        except UnicodeDecodeError as error:
            yield not_text(posix, None, source.encoding, error)
        else:
            data["text"] = text
            yield SourceRow(data[key], data, None, posix)
    if not seen:
        yield Diagnostic(
            summary="no file matches",
            detail=f"{source.pattern!r} matches nothing in {root}. Patterns are relative to the"
            " project's folder.",
            source=source.source,
        )


def _is_plain(pattern: str) -> bool:
    """Tell whether the files a pattern finds are called as their keys have it."""
    return os.sep == "/" and str(Path(pattern)) == pattern


def _parquet(source: Parquet, root: Path) -> Rows:
    try:
        yield from _plain(table_rows(root / source.file), source)
    except OSError as error:
        yield unreadable(source.file, root, source.source, error)
    except TableInvalid as error:
        yield Diagnostic(summary=error.summary, detail=error.detail, source=source.source)


def _sql(source: Sql, root: Path) -> Rows:
    try:
        from batchspec.load.sql_rows import query_rows  # noqa: PLC0415 - an extra
    except ImportError:
        yield Diagnostic(
            summary="an extra is missing",
            detail="`rows.sql` reads with SQLAlchemy 2, which is not installed: `pip install"
            " 'batchspec[sql]'`, and the driver of your database; SQLite needs none.",
            source=source.source,
        )
        return
    find: KeyOf | None = None
    try:
        for number, row in enumerate(query_rows(source, root), 1):
            if isinstance(row, str):
                detail = f"Row {number} of the query: {row}"
                yield Diagnostic(summary="row is not JSON", detail=detail, source=source.source)
                continue
            find = find or key_of(source.key, row)
            yield find(row, number, None)
    except TableInvalid as error:
        yield Diagnostic(summary=error.summary, detail=error.detail, source=source.source)


def _called(source: FromCallable) -> Rows:
    try:
        rows = source.function()
        if not is_rows(rows):
            yield Diagnostic(
                summary="rows.iterable got no rows",
                detail=f"The function must give rows one by one; it gave {type(rows).__name__}.",
                source=source.source,
            )
            return
        yield from _plain(rows, source)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - users' code may raise anything
        yield from explain(error, source.source, "reading rows")


def _plain(rows: Iterable[Any], source: Inline | FromCallable | Parquet) -> Rows:
    find: KeyOf | None = None
    for number, row in enumerate(rows, 1):
        data = _json_object(row, number, source.source)
        if isinstance(data, Diagnostic):
            yield data
            continue
        find = find or key_of(source.key, data)
        yield find(data, number, None)


def _json_object(row: Any, number: int, source: Source) -> dict[str, Any] | Diagnostic:
    is_record = isinstance(row, Mapping | BaseModel) or (
        is_dataclass(row) and not isinstance(row, type)
    )
    if not is_record:
        return Diagnostic(
            summary="row is not a mapping",
            detail=f"Row {number} must be a dict, dataclass or Pydantic model; got {row!r:.60}.",
            source=source,
        )
    try:
        plain = dict(cast("Mapping[str, Any]", row)) if isinstance(row, Mapping) else row
        return cast("dict[str, Any]", from_json(to_json(plain, inf_nan_mode="null")))
    except (PydanticSerializationError, ValueError) as error:
        return Diagnostic(
            summary="row is not JSON", detail=f"Row {number}: {error}.", source=source
        )
