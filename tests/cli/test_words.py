"""How numbers, money, times and other people's text are written."""

from decimal import Decimal

import pytest
from rich.text import Text

from batchspec.cli.views.words import (
    clean,
    columns,
    counted,
    duration,
    ended,
    listed,
    money,
    number,
    pasted,
    quoted,
    timestamp,
    tokens,
)


@pytest.mark.parametrize(
    ("dollars", "told"),
    [
        (None, "price unknown"),
        ("0", "$0.00"),
        ("0.0000042", "$0.0000042"),
        ("0.00000042149", "$0.00000042"),
        ("0.0042", "$0.0042"),
        ("0.014", "$0.014"),
        ("0.0949", "$0.095"),
        ("0.1234", "$0.12"),
        ("1.875", "$1.88"),
        ("2.4", "$2.40"),
        ("1234567.891", "$1,234,567.89"),
    ],
)
def test_money_is_never_zero_unless_it_is(dollars: str | None, told: str) -> None:
    """Small sums keep two digits that say something."""
    assert money(None if dollars is None else Decimal(dollars)) == told


@pytest.mark.parametrize(
    ("dollars", "told"), [("1.001", "$1.01"), ("0.0421", "$0.043"), ("3.74", "$3.74")]
)
def test_a_bound_is_rounded_up(dollars: str, told: str) -> None:
    """Rounded down it would be no bound."""
    assert money(Decimal(dollars), at_most=True) == told


def test_json_has_numbers_for_money() -> None:
    """And null for what is not known."""
    assert number(Decimal("0.5")) == 0.5
    assert number(None) is None


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1k"),
        (12_345, "12.3k"),
        (999_600, "1M"),
        (2_100_000, "2.1M"),
        (7_000_000_000, "7B"),
    ],
)
def test_tokens_have_three_digits(count: int, told: str) -> None:
    """An estimate with seven digits pretends."""
    assert tokens(count) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(-3, "0s"), (45, "45s"), (200, "3m 20s"), (7500, "2h 5m"), (180, "3m"), (273_600, "3d 4h")],
)
def test_durations_have_two_units_at_most(seconds: float, told: str) -> None:
    """Nobody needs the seconds of three days."""
    assert duration(seconds) == told


def test_times_are_utc() -> None:
    """As RFC 3339 wants them."""
    assert timestamp(1_700_000_000.5) == "2023-11-14T22:13:20.500Z"


def test_other_peoples_text_cannot_move_the_cursor() -> None:
    """Escape sequences, newlines and direction marks are shown, not obeyed."""
    assert clean("a\x1b[2Jb\n\u202ec\x9b") == "a\\u001b[2Jb\\n\\u202ec\\u009b"
    assert quoted('say "hi"\n' + "x" * 50, 12) == '"say \\"hi\\"\\nxx…"'


def test_lists_and_numbers_read_as_english() -> None:
    """One row, two rows."""
    assert [counted(1, "row"), counted(1204, "row"), counted(2, "batch", "batches")] == [
        "1 row",
        "1,204 rows",
        "2 batches",
    ]
    assert [listed(["a"]), listed(["a", "b"]), listed("abc")] == ["a", "a and b", "a, b and c"]


def test_columns_are_aligned_by_what_is_seen() -> None:
    """Wide characters take two cells; no line ends in spaces."""
    lines = columns([["名", "1", "x"], [Text("ab", "red"), "200", ""]], right=(1,))
    assert [line.plain for line in lines] == ["名    1  x", "ab  200"]


def test_commands_in_a_message_can_be_pasted() -> None:
    """They have the options of the command that says so; `init` has a folder of its own."""
    told = "Run `batchspec unlock x`, or `batchspec init --project y`; see `--json`."
    assert pasted(told, " --env two") == (
        "Run `batchspec unlock x --env two`, or `batchspec init --project y`; see `--json`."
    )
    assert pasted(told, "") == told


@pytest.mark.parametrize("text", ["It failed", "It failed.", "It failed. "])
def test_a_sentence_ends_once(text: str) -> None:
    assert ended(text) == "It failed."
