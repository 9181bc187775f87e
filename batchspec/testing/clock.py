"""The clock of tests: it stands still, and jumps to the next moment somebody waits for."""

from datetime import timedelta

import anyio

from batchspec.simulator import SimulatedClock
from batchspec.spec.durations import seconds_of

START = 1_790_000_000.0
"""When tests begin, in unix seconds: an afternoon in September 2026."""


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
