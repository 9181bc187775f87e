"""The system's clock; the only place that reads it."""

import time
from collections.abc import Callable

import anyio

_NAP = 60.0
"""Seconds after which who waits looks at the clock again."""


class SystemClock:
    """Implements `ports.Clock`."""

    def now(self) -> float:
        """Return unix seconds."""
        return time.time()

    async def sleep_until(self, when: float) -> None:
        """Return when `now()` is at least `when`."""
        # A machine that slept has not counted that, and one whose clock was set is elsewhere.
        while (left := when - self.now()) > 0:  # noqa: ASYNC110 - no event tells of it
            await anyio.sleep(min(left, _NAP))


def stopwatch() -> Callable[[], float]:
    """Return what tells the seconds since now; users' functions take real time in every world."""
    began = time.perf_counter()
    return lambda: time.perf_counter() - began
