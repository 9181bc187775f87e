"""Answers as a table, for eyes; files and pipes get the formats of `results.export`."""

from collections.abc import Iterable
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
_WIDTHS = (24, 36, 48)
"""Of key, row and output where the width of a terminal does not say."""


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
    widths = _widths(shown)
    rows = [[Text(word, "dim") for word in words], *(_row(*one, widths) for one in graded)]
    used = [True] * len(words)
    used[1] = any(item.variant is not None for item in shown)
    used[2] = any(item.sample > 1 for item in shown)
    used[-1] = any(grade is not None for _, grade in graded)
    print_table(stdout(), columns([list(compress(row, used)) for row in rows]))
    if next(iterator, None) is not None:
        more = "" if total is None else f" {total - len(shown):,}"
        print_prose(stdout(), [Text(f"… and{more} more; all of them: {command}", "dim")])


def _widths(items: Iterable[ExportItem]) -> tuple[int, ...]:
    """Give keys what they need up to a third, and share the rest among row and output."""
    console = stdout()
    if not console.file.isatty():
        return _WIDTHS
    key = min(max(len(item.key) for item in items), console.width // 3)
    rest = max(console.width - key - 28, 20)
    return key, rest * 2 // 5, rest * 3 // 5


def _row(item: ExportItem, grade: float | None, widths: tuple[int, ...]) -> list[Text]:
    key, row, output = widths
    return [
        Text(clipped(clean(item.key), key), "bold"),
        Text(clipped(clean(item.variant or ""), key)),
        Text(str(item.sample)),
        Text(clipped(_inline(item.row, skip=item.key), row), "dim"),
        Text(clipped(_inline(item.output_json()), output)),
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
