"""How numbers, money, times and other people's text are written, everywhere the same."""

import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from rich.cells import cell_len
from rich.text import Text

from batchspec.plan.money import money as dollars_in_words

PRICE_UNKNOWN = "price unknown"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_COMMAND = re.compile(r"`(batchspec (?!init|simulator)[^`]*)`")


def count(number: int) -> str:
    """Return 1204 as `1,204`."""
    return f"{number:,}"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return `1 row` or `1,204 rows`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def tokens(number: int) -> str:
    """Return a number of tokens with three digits at most: `950`, `12.3k`, `2.1M`."""
    for unit, size in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        # 999,950 would round to 1000.0k.
        if number >= size * 0.9995:
            return f"{number / size:.3g}{unit}"
    return str(number)


def money(dollars: Decimal | None, *, at_most: bool = False) -> str:
    """Return US dollars: cents, and below a dollar at least two digits that are not 0.

    Args:
        dollars: None where a price is not known.
        at_most: Round up, because a bound that is too low is no bound.
    """
    return PRICE_UNKNOWN if dollars is None else dollars_in_words(dollars, at_most=at_most)


def number(dollars: Decimal | None) -> float | None:
    """Return US dollars as JSON has them."""
    return None if dollars is None else float(dollars)


def duration(seconds: float) -> str:
    """Return `45s`, `3m 20s`, `2h 5m` or `3d 4h`."""
    whole = max(0, round(seconds))
    for unit, size, small, part in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "m", 60),
        ("m", 60, "s", 1),
    ):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size}{unit}" + (f" {rest}{small}" if rest else "")
    return f"{whole}s"


def timestamp(unix: float) -> str:
    """Return a time as RFC 3339 in UTC, with milliseconds."""
    moment = datetime.fromtimestamp(unix, tz=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clean(text: str) -> str:
    """Return other people's text without what a terminal would obey."""
    return _CONTROL.sub(lambda match: json.dumps(match[0])[1:-1], text)


def ended(text: str) -> str:
    """Return other people's text as a sentence that ends with one full stop."""
    return f"{clean(text).rstrip(' .')}."


def pasted(text: str, flags: str) -> str:
    """Return a message whose commands can be pasted: with the options that this one was given.

    Args:
        text: Commands in it stand between backticks.
        flags: The shared options; empty where none was given.
    """
    return _COMMAND.sub(lambda found: f"`{found[1]}{flags}`", text)


def quoted(text: str, width: int = 40) -> str:
    """Return a key or a value in quotes, on one line, cut to a width."""
    return clean(json.dumps(clipped(text, width), ensure_ascii=False))


def clipped(text: str, width: int) -> str:
    """Return the beginning of a text, with an ellipsis where it goes on."""
    return text if len(text) <= width else text[: width - 1] + "…"


def listed(words: Iterable[str]) -> str:
    """Return `a`, `a and b` or `a, b and c`."""
    *head, last = words
    return f"{', '.join(head)} and {last}" if head else last


def columns(rows: Sequence[Sequence[Text | str]], *, right: Iterable[int] = ()) -> list[Text]:
    """Return rows as lines whose cells are aligned.

    Args:
        rows: Cells; every row has as many as the first.
        right: Numbers of the columns that are aligned to the right.
    """
    texts = [[Text(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    widths = [max(cell_len(cell.plain) for cell in column) for column in zip(*texts, strict=True)]
    to_right = frozenset(right)
    lines: list[Text] = []
    for row in texts:
        line = Text()
        for place, (cell, width) in enumerate(zip(row, widths, strict=True)):
            gap = " " * (width - cell_len(cell.plain))
            parts = (gap, cell) if place in to_right else (cell, gap)
            line = line.append_text(Text.assemble("  " if place else "", *parts))
        line.rstrip()
        lines.append(line)
    return lines
