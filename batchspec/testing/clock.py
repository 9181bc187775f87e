"""The clock of tests: it stands still, and jumps to the next moment somebody waits for."""

import re
from datetime import timedelta

import anyio

from batchspec.simulator import SimulatedClock

START = 1_790_000_000.0
"""When tests begin, in unix seconds: an afternoon in September 2026."""
_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)([smhd]))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


class VirtualClock(SimulatedClock):
    """Implements `ports.Clock`, for a project and for its server; a day passes in a blink."""

    def __init__(self, now: float = START) -> None:
        super().__init__(now, speed=0)

    def advance(self, seconds: "float | str | timedelta") -> None:
        """Move on by some seconds, by a text like `24h`, `90m` or `1d12h`, or by a timedelta.

        Raises:
            ValueError: It is no duration, is negative, or leads beyond the year 9999.
        """
        super().advance(seconds_of(seconds))

    async def sleep_until(self, when: float) -> None:
        """Return when the clock has reached a moment."""
        # A moment of real time, so that what runs in threads gets on before the clock jumps.
        await anyio.sleep(0.001)
        await super().sleep_until(when)


def seconds_of(duration: "float | str | timedelta") -> float:
    """Return a duration in seconds.

    Raises:
        ValueError: It is none.
    """
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if not isinstance(duration, str):
        return duration
    if not _DURATION.fullmatch(duration):
        raise ValueError(
            f'{duration!r} is no duration. Write seconds, or a text like "24h", "90m" or "1d12h".'
        )
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(duration))
