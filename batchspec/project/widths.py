"""How long the rows and the answers of a job are, for prompts that are made of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json


class Width(NamedTuple):
    """Bytes of something that several rows have.

    Attributes:
        likely: About how many all of them have together.
        total: How many all of them have together at most.
        longest: How many the longest has at most.
    """

    likely: int = 0
    total: int = 0
    longest: int = 0

    def of(self, number: int, among: int) -> int:
        """Return about how many bytes some of them have."""
        return self.likely * number // max(1, among)

    def at_most(self, number: int) -> int:
        """Return how many bytes some of them have at most."""
        return min(self.total, number * self.longest)


NOTHING = Width()


def each(likely: int, longest: int, number: int) -> Width:
    """Return the width of things that are about, and at most, so long each."""
    return Width(likely * number, longest * number, longest)


@dataclass(slots=True)
class Widths:
    """Of the rows of one job.

    Attributes:
        rows: How many were measured.
        whole: Of the rows.
        fields: Of the values of each field.
    """

    rows: int = 0
    whole: Width = NOTHING
    fields: dict[str, Width] = field(default_factory=dict[str, Width])

    def measure(self, rows: Iterable[bytes]) -> None:
        """Measure rows, which are JSON objects."""
        _, total, longest = self.whole
        sums = {name: [width.total, width.longest] for name, width in self.fields.items()}
        for row in rows:
            self.rows += 1
            total += len(row)
            longest = max(longest, len(row))
            values: Mapping[str, Any] = from_json(row)
            for name, value in values.items():
                size = len(value.encode()) if isinstance(value, str) else len(to_json(value))
                known = sums.setdefault(name, [0, 0])
                known[0] += size
                known[1] = max(known[1], size)
        self.whole = Width(total, total, longest)
        self.fields = {
            name: Width(total, total, longest) for name, (total, longest) in sums.items()
        }

    def field(self, name: str) -> Width:
        """Return what is known of a field; one that no row has is not there."""
        return self.fields.get(name, NOTHING)


def joined(widths: Iterable[Widths]) -> Widths:
    """Return the widths of the rows of several jobs together."""
    found = Widths()
    for one in widths:
        found.rows += one.rows
        found.whole = _together(found.whole, one.whole)
        for name, width in one.fields.items():
            found.fields[name] = _together(found.field(name), width)
    return found


def _together(one: Width, other: Width) -> Width:
    return Width(
        one.likely + other.likely, one.total + other.total, max(one.longest, other.longest)
    )


def beside(*parts: Width) -> Width:
    """Return the width of rows that have several parts each."""
    return Width(
        sum(part.likely for part in parts),
        sum(part.total for part in parts),
        sum(part.longest for part in parts),
    )


def made_of(above: Widths, answer: Width, label: int) -> Widths:
    """Return the widths of rows that `outputs_of` makes of rows and their answers."""
    key = each(label, label, above.rows)
    whole = beside(above.whole, answer, key)
    return Widths(above.rows, whole, {"key": key, "row": above.whole, "output": answer})


def gathered(rows: Widths) -> Widths:
    """Return the widths of the one row that `collect` makes of such rows."""

    def one(width: Width) -> Width:
        return Width(width.likely, width.total, width.total)

    items, outputs = one(rows.whole), one(rows.field("output"))
    return Widths(1, beside(items, outputs), {"items": items, "outputs": outputs})
