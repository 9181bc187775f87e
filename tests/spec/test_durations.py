"""Durations as people write them."""

from datetime import timedelta

import pytest

from batchspec.spec.durations import parse_duration, seconds_of


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("1.5h", 5400),
        ("1d12h", 129_600),
        (timedelta(minutes=2), 120),
        (3.5, 3.5),
    ],
)
def test_durations_are_read(given: float | str | timedelta, seconds: float) -> None:
    assert seconds_of(given) == seconds


@pytest.mark.parametrize("text", ["", "h", "1 h", "-1h", "1h30", "1w", "h1"])
def test_what_is_none_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration; write for example 90s"):
        parse_duration(text)
