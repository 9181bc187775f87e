"""Durations as tests write them."""

from datetime import timedelta

import pytest

from batchspec.testing import VirtualClock
from batchspec.testing.clock import START, seconds_of


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        ("24h", 86_400),
        ("1d12h", 129_600),
        ("90m", 5_400),
        ("1.5s", 1.5),
        (7, 7),
        (timedelta(minutes=2), 120),
    ],
)
def test_a_duration_is_seconds(duration: "str | float | timedelta", seconds: float) -> None:
    assert seconds_of(duration) == seconds


@pytest.mark.parametrize("nonsense", ["", "h", "24 h", "-1h", "1w"])
def test_nonsense_is_refused(nonsense: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        seconds_of(nonsense)


def test_a_clock_stands_still_until_it_is_moved() -> None:
    clock = VirtualClock()
    clock.advance("1h")
    assert clock.now() == START + 3_600
    with pytest.raises(ValueError, match="advances by 0 seconds or more"):
        clock.advance(-1)
