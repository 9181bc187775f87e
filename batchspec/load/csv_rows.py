"""Reading CSV so that every problem has its line, inside multi-line fields too."""

import csv
from collections.abc import Iterator
from typing import BinaryIO

from batchspec.desired.expand import SourceRow
from batchspec.errors import Diagnostic, Source
from batchspec.load.keys import key_field, key_of, no_key_field
from batchspec.load.text import not_text
from batchspec.spec.rows import Csv
from batchspec.spec.suggest import did_you_mean

MAX_FIELD = 32 * 1024 * 1024
"""Characters; where a quote is not closed, this much is read before it is noticed."""


def read_csv(source: Csv, file: BinaryIO) -> Iterator[SourceRow | Diagnostic]:
    """Yield the rows of an open CSV file."""
    csv.field_size_limit(MAX_FIELD)
    lines = _Lines(source)
    reader = csv.reader(map(lines.decode, file), delimiter=source.delimiter, strict=True)
    try:
        columns = next(reader, list[str]())
    except csv.Error as error:
        yield _broken(source, 1, error)
        return
    problems = lines.take() or list(_header_problems(source, columns))
    yield from problems
    if problems:
        return
    find, path, width, line = (
        key_of(source.key, dict.fromkeys(columns)),
        source.path,
        len(columns),
        2,
    )
    while True:
        line = reader.line_num + 1
        try:
            for fields in reader:
                if lines.bad:
                    yield from lines.take()
                elif len(fields) == width:
                    yield find(dict(zip(columns, fields, strict=True)), line, path)
                elif fields:  # a blank line has none
                    yield _wrong_width(source, line, fields, columns)
                line = reader.line_num + 1
        except csv.Error as error:
            yield _broken(source, line, error)
        else:
            return


class _Lines:
    """Decodes lines; what is no text is replaced and kept as a diagnostic."""

    def __init__(self, source: Csv) -> None:
        self.bad: list[Diagnostic] = []
        self._source = source
        self._encoding = source.encoding
        self._line = 0

    def decode(self, raw: bytes) -> str:
        self._line += 1
        try:
            text = raw.decode(self._encoding)
        except UnicodeDecodeError as error:
            self.bad.append(not_text(self._source.path, self._line, self._encoding, error))
            return raw.decode(self._encoding, "replace")
        return text.removeprefix("\ufeff") if self._line == 1 else text

    def take(self) -> list[Diagnostic]:
        """Return what was bad since the last call."""
        taken, self.bad = self.bad, []
        return taken


def _header_problems(source: Csv, columns: list[str]) -> Iterator[Diagnostic]:
    if not columns:
        yield _told(source, 1, "file has no header", "The first line names the columns.")
        return
    for number, name in enumerate(columns, 1):
        if not name.strip():
            detail = f"Column {number} of {len(columns)} has no name in the header."
            yield _told(source, 1, "column has no name", detail)
        elif name in columns[: number - 1]:
            first = columns.index(name) + 1
            detail = f"Columns {first} and {number} are both called {name!r}; rename one."
            yield _told(source, 1, "column name is not unique", detail)
    field = key_field(source.key, dict.fromkeys(columns))
    if field is None:
        yield _told(source, 1, "rows have no key", no_key_field(columns))
    elif field not in columns:
        detail = f"There is no column {field!r}. {did_you_mean(field, columns)}"
        other = next((d for d in ";\t|," if len(columns) == 1 and d in columns[0]), None)
        hint = (
            f" The columns seem to be divided by {other!r}: delimiter={other!r}." if other else ""
        )
        yield _told(source, 1, "rows have no key", f"{detail}{hint}")


def _wrong_width(source: Csv, line: int, fields: list[str], columns: list[str]) -> Diagnostic:
    return _told(
        source,
        line,
        "row has too many fields" if len(fields) > len(columns) else "row has too few fields",
        f"It has {len(fields)}, the header has {len(columns)}. A field that holds"
        f" {source.delimiter!r} or a line break must be in quotes.",
    )


def _broken(source: Csv, line: int, error: csv.Error) -> Diagnostic:
    said = str(error)
    if "unexpected end" in said or "field limit" in said:
        said = "a quote is opened and not closed"
    return _told(source, line, "line is not CSV", f"In the row that starts here: {said}.")


def _told(source: Csv, line: int, summary: str, detail: str) -> Diagnostic:
    return Diagnostic(summary=summary, detail=detail, source=Source(source.path, line))
