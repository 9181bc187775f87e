"""The key of a row: which field holds it, and what is wrong with it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from batchspec.desired.expand import SourceRow
from batchspec.errors import Diagnostic, Source
from batchspec.spec.rows import KEY_FIELDS
from batchspec.spec.suggest import did_you_mean

KeyOf = Callable[[dict[str, Any], int, str | None], SourceRow | Diagnostic]
"""From a row, its line (or number) and its file to the row with its key, or what is wrong."""


def key_field(named: str | None, row: Mapping[str, Any]) -> str | None:
    """Return the field that holds the key, None where none is named and none is usual."""
    if named is not None:
        return named
    return next((name for name in KEY_FIELDS if name in row), None)


def key_of(named: str | None, first: Mapping[str, Any]) -> KeyOf:
    """Return the function that finds keys; without a name the first row decides on the field."""
    field = key_field(named, first)
    if field is None:
        return lambda row, line, file: _problem(no_key_field(row), line, file)

    def find(row: dict[str, Any], line: int, file: str | None) -> SourceRow | Diagnostic:
        key = row.get(field)
        if type(key) is str and key and "\0" not in key and not key.isspace():
            return SourceRow(key, row, line, file)
        if type(key) is int:
            return SourceRow(str(key), row, line, file)
        return _problem(_why(field, row), line, file)

    return find


def no_key_field(columns: Iterable[str]) -> str:
    """Return the sentence for rows without a usual key field."""
    names = ", ".join(columns) or "none"
    return (
        "No field is called key or id; name the one that identifies a row: key=…"
        f" (fields: {names})."
    )


def _why(field: str, row: Mapping[str, Any]) -> str:
    if field not in row:
        return f"The row has no field {field!r}. {did_you_mean(field, row)}"
    value = row[field]
    if value is None or value == "" or (isinstance(value, str) and value.isspace()):
        return f"{field!r} is empty; every row needs a key of its own."
    if isinstance(value, str):
        return f"{field!r} holds a NUL character, which no key may; got {value!r:.60}."
    return f"{field!r} must be a text or a whole number; got {value!r:.60}."


def _problem(detail: str, line: int, file: str | None) -> Diagnostic:
    where = Source(file, line) if file else None
    number = "" if file else f"Row {line}: "
    return Diagnostic(summary="row has no key", detail=f"{number}{detail}", source=where)
