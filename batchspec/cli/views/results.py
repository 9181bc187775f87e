"""Answers as a table, for eyes; files and pipes get the formats of `results.export`."""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from itertools import compress, islice
from pathlib import Path
from typing import TypeGuard, cast

from pydantic_core import to_json
from rich.text import Text

from batchspec.cli.views.streams import out_stream, print_prose, print_table, stderr, stdout
from batchspec.cli.views.words import clean, clipped, columns, counted, money
from batchspec.results.export import (
    Exported,
    ExportItem,
    Format,
    Items,
    TextFormat,
    export,
    replacing,
)
from batchspec.results.npy import export_npy, keys_file
from batchspec.results.parquet import export_parquet

SHOWN = 50
"""Rows of a table; the rest is for a file."""
_FEW = 3
"""Components of a vector that are shown."""
_KEY, _VARIANT, _ROW, _OUTPUT, _OUTCOME = 0, 1, 3, 4, 5
"""Columns of the table."""
_WIDTHS = {_KEY: 24, _VARIANT: 24, _ROW: 36, _OUTPUT: 48}
"""Where the width of a terminal does not say."""


def show_table(items: Iterable[ExportItem], *, total: int | None, command: str) -> None:
    """Print the first answers as a table.

    Args:
        items: Are read as far as they are shown.
        total: How many there are, when that is known without reading them all.
        command: What prints all of them.
    """
    iterator = iter(items)
    # Grades are asked for on the way: what is wrong with them is told once all items are read.
    graded = [(item, item.grade) for item in islice(iterator, SHOWN)]
    shown = [item for item, _ in graded]
    if not shown:
        print_prose(stdout(), [Text("No items.")])
        return
    words = ("key", "variant", "sample", "row", "output", "outcome", "cost", "grade")
    rows = [[Text(word, "dim") for word in words], *(_row(*one) for one in graded)]
    used = [True] * len(words)
    used[_VARIANT] = any(item.variant is not None for item in shown)
    used[2] = any(item.sample > 1 for item in shown)
    used[-1] = any(grade is not None for _, grade in graded)
    for place, most in _limits(rows, used).items():
        for row in rows:
            row[place].truncate(most, overflow="ellipsis")
    print_table(stdout(), columns([list(compress(row, used)) for row in rows]))
    if next(iterator, None) is not None:
        more = "" if total is None else f" {total - len(shown):,}"
        print_prose(stdout(), [Text(f"… and{more} more; all of them: {command}", "dim")])


def _limits(rows: Sequence[Sequence[Text]], used: Sequence[bool]) -> dict[int, int]:
    """Return how wide columns may be, so that cost and grade have their place on every line."""
    console = stdout()
    if not console.file.isatty():
        return _WIDTHS
    needs = [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]
    limits = {
        _KEY: min(needs[_KEY], console.width // 3),
        _VARIANT: min(needs[_VARIANT], console.width // 4),
    }
    shared = (_ROW, _OUTPUT, _OUTCOME)
    others = [p for p in range(len(needs)) if used[p] and p not in shared]
    room = console.width - sum(limits.get(p, needs[p]) + 2 for p in others) - 2 * len(shared) + 2
    limits[_OUTCOME] = min(needs[_OUTCOME], max(room // 3, 9))
    room = max(room - limits[_OUTCOME], 16)
    limits[_ROW] = min(needs[_ROW], max(room * 2 // 5, room - needs[_OUTPUT]))
    limits[_OUTPUT] = room - limits[_ROW]
    return limits


def _row(item: ExportItem, grade: float | None) -> list[Text]:
    return [
        Text(clean(item.key), "bold"),
        Text(clean(item.variant or "")),
        Text(str(item.sample)),
        Text(_inline(item.row, skip=item.key), "dim"),
        Text(_inline(item.output_json())),
        _outcome(item),
        Text("" if item.cost is None else money(item.cost)),
        Text("" if grade is None else f"{grade:.3g}"),
    ]


def _inline(value: object, *, skip: str | None = None) -> str:
    """Return a value on one line; an object as `name=value` pairs, without the key again."""
    if value is None:
        return ""
    if isinstance(value, str):
        return clean(" ".join(value.split()))
    if _is_vector(value):
        return _abbreviated(value)
    if not isinstance(value, dict):
        return clean(to_json(value).decode())
    pairs = cast("dict[str, object]", value).items()
    shown = ((name, part) for name, part in pairs if part != skip or skip is None)
    return " ".join(f"{clean(name)}={_part(part)}" for name, part in shown)


def _part(value: object) -> str:
    """Return a value of an object, which is never left out."""
    return "null" if value is None else _inline(value) or '""'


def _is_vector(value: object) -> TypeGuard[list[float]]:
    if not isinstance(value, list):
        return False
    numbers = cast("list[object]", value)
    return len(numbers) > _FEW and all(isinstance(number, float) for number in numbers)


def _abbreviated(vector: list[float]) -> str:
    shown = ", ".join(f"{number:.4f}" for number in vector[:_FEW])
    return f"[{shown}, … {len(vector):,} numbers]"


def _outcome(item: ExportItem) -> Text:
    if item.outcome is None:
        return Text("not final", "cyan")
    if item.outcome == "succeeded":
        return Text("succeeded (old)" if item.previous else "succeeded", "green")
    reason = f": {clipped(clean(item.reason), 60)}" if item.reason else ""
    return Text(f"{item.outcome}{reason}", "red")


def print_items(items: Items, form: TextFormat, *, address: str) -> None:
    """Write all answers to stdout."""
    stream = out_stream()
    stream.flush()
    _warn(export(items, stream.buffer, form, address=address))
    stream.buffer.flush()


def write_items(items: Items, form: Format, path: Path, *, address: str) -> None:
    """Write all answers to a file, which is there only when it is complete."""
    with ExitStack() as stack:
        file = stack.enter_context(replacing(path))
        match form:
            case "npy":
                exported = export_npy(
                    items(), file, stack.enter_context(replacing(keys_file(path)))
                )
            case "parquet":
                exported = export_parquet(items, file)
            case _:
                exported = export(items, file, form, address=address)
    _warn(exported)
    where = f"{path}, their keys to {keys_file(path)}" if form == "npy" else str(path)
    left = f"; {counted(exported.without, 'item')} without a vector" if exported.without else ""
    print_prose(stderr(), [Text(f"{counted(exported.items, 'item')} written to {where}{left}.")])


def _warn(exported: Exported) -> None:
    if exported.left_out:
        names = ", ".join(sorted(clean(name) for name in exported.left_out))
        told = f"Warning: answers came in meanwhile; these columns are left out: {names}. "
        print_prose(stderr(), [Text(f"{told}Run the command again to have them.", "yellow")])
