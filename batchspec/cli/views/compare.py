"""Variants of a job side by side."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from batchspec.cli.views.streams import line_width, print_json, print_prose, print_table, stdout
from batchspec.cli.views.words import (
    clean,
    clipped,
    columns,
    count,
    duration,
    money,
    number,
    tokens,
)

if TYPE_CHECKING:
    from batchspec.project.comparing import Variants
    from batchspec.results.comparing import Compared
    from batchspec.results.statistics import Estimate

_NAME = 32
_LARGE = 99.5
"""Where two digits do not write a number out any more."""
_AGAIN = "vs first"
"""Heads a column that belongs to the one before it."""


def show_comparison(found: "Variants") -> None:
    """Print two tables for people: what came of each variant, and what it took.

    Where a line is too short for all columns, those that are left over have tables of their own.
    """
    console = stdout()
    width = line_width(console)
    tables = [
        columns(part, right=range(1, 9))
        for table in (_quality(found), _effort(found))
        for part in _parts(_used(table), width)
    ]
    for table in tables:
        print_table(console, table)
        print_prose(console, [Text()] if table is not tables[-1] else [])
    notes = _notes(found)
    if notes:
        print_prose(console, [Text(), *(Text(note, "dim") for note in notes)])


def _parts(rows: list[list[Text]], width: int | None) -> Iterator[list[list[Text]]]:
    """Yield tables that are no wider than a line, as far as that can be, each with the names."""
    kept = [0]
    group: list[int] = []
    for place in range(1, len(rows[0])):
        group.append(place)
        if place + 1 < len(rows[0]) and rows[0][place + 1].plain == _AGAIN:
            continue
        wide = max(line.cell_len for line in columns(_only(rows, [*kept, *group])))
        if width is not None and wide > width and len(kept) > 1:
            yield _only(rows, kept)
            kept = [0]
        kept += group
        group = []
    yield _only(rows, kept)


def _only(rows: list[list[Text]], places: Sequence[int]) -> list[list[Text]]:
    return [[row[place] for place in places] for row in rows]


def _quality(found: "Variants") -> list[list[Text]]:
    words = ("items", "success", _AGAIN, "other", "agreement", "samples agree", "grade", _AGAIN)
    head = [Text(word, "dim") for word in (found.by, *words)]
    return [
        head,
        *(
            [
                _name(one),
                Text(count(one.items)),
                Text(_share(one.success), "green" if one.succeeded else ""),
                Text(_change(one.success_difference)),
                Text(_other(one), "red" if _other(one) else ""),
                Text("" if one.agreement is None else f"{one.agreement:.0%}"),
                Text("" if one.consistency is None else f"{one.consistency:.0%}"),
                Text(_mean(one.grade), "bold"),
                Text(_change(one.grade_difference)),
            ]
            for one in found.compared
        ),
    ]


def _effort(found: "Variants") -> list[list[Text]]:
    words = ("cost", "per item", "per success", "tokens in", "out", "turns", "latency")
    head = [Text(word, "dim") for word in (found.by, *words)]
    return [
        head,
        *(
            [
                _name(one),
                Text(money(one.cost)),
                Text(_money(one, one.items)),
                Text(_money(one, one.succeeded)),
                Text(tokens(one.usage.input_tokens)),
                Text(tokens(one.usage.output_tokens)),
                Text(count(one.turns)),
                Text("" if one.latency is None else duration(one.latency)),
            ]
            for one in found.compared
        ),
    ]


def _used(rows: list[list[Text]]) -> list[list[Text]]:
    """Leave out columns that say nothing of any variant."""
    kept = [i for i in range(len(rows[0])) if any(row[i].plain for row in rows[1:])]
    return _only(rows, kept)


def _name(one: "Compared") -> Text:
    return Text(clipped(clean(one.name), _NAME), "bold")


def _money(one: "Compared", items: int) -> str:
    each = one.cost_per(items)
    return "" if each is None else money(each)


def _other(one: "Compared") -> str:
    told = [f"{n:,} {word}" for word, n in one.outcomes.items() if word != "succeeded"]
    return ", ".join([*told, *([f"{one.waiting:,} not final"] if one.waiting else [])])


def _told(estimate: "Estimate | None", figure: Callable[[float], str]) -> str:
    """Return a mean with its interval, as far as they are known."""
    if estimate is None:
        return ""
    if estimate.low is None or estimate.high is None:
        return figure(estimate.mean)
    return f"{figure(estimate.mean)} [{figure(estimate.low)}, {figure(estimate.high)}]"


def _share(estimate: "Estimate | None") -> str:
    return _told(estimate, "{:.0%}".format)


def _mean(estimate: "Estimate | None") -> str:
    return _told(estimate, _plain)


def _plain(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 10 * _LARGE else f"{value:,.0f}"


def _change(estimate: "Estimate | None") -> str:
    return _told(estimate, _signed)


def _signed(value: float) -> str:
    """Return a difference; what a sum of rounded numbers leaves of nothing is nothing."""
    value = round(value, 9) + 0.0
    return f"{value:+.2g}" if abs(value) < _LARGE else f"{value:+,.0f}"


def _notes(found: "Variants") -> list[str]:
    notes: list[str] = []
    if any(one.waiting for one in found.compared):
        notes.append("Not everything is final yet: rows that wait are in no share and no mean.")
    if len(found.compared) > 1:
        first = clean(found.compared[0].name)
        notes.append(f"Differences and agreement are to {first}, row by row. Intervals: 95 %.")
    return notes


def show_comparison_json(found: "Variants") -> None:
    """Print one JSON document."""
    print_json(
        {
            "address": found.address,
            "by": found.by,
            "baseline": found.compared[0].name if found.compared else None,
            "compared": [_document(one) for one in found.compared],
        }
    )


def _document(one: "Compared") -> dict[str, Any]:
    return {
        "name": one.name,
        "models": list(one.models),
        "rows": one.rows,
        "items": one.items,
        "waiting": one.waiting,
        "outcomes": dict(one.outcomes),
        "success": _estimate(one.success),
        "success_difference": _estimate(one.success_difference),
        "agreement": one.agreement,
        "sample_agreement": one.consistency,
        "grade": _estimate(one.grade),
        "grade_difference": _estimate(one.grade_difference),
        "cost_usd": number(one.cost),
        "cost_per_item_usd": number(one.cost_per(one.items)),
        "cost_per_success_usd": number(one.cost_per(one.succeeded)),
        "usage": one.usage._asdict(),
        "turns": one.turns,
        "latency_seconds": one.latency,
    }


def _estimate(estimate: "Estimate | None") -> dict[str, Any] | None:
    if estimate is None:
        return None
    return {
        "mean": estimate.mean,
        "low": estimate.low,
        "high": estimate.high,
        "rows": estimate.rows,
    }
