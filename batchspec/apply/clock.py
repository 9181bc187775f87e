"""The system's clock; the only place that reads it."""

import time
from collections.abc import Callable

import anyio


class SystemClock:
    """Implements `ports.Clock`."""

    def now(self) -> float:
        """Return unix seconds."""
        return time.time()

    async def sleep_until(self, when: float) -> None:
        """Return when `now()` is at least `when`."""
        await anyio.sleep(max(0.0, when - self.now()))


def stopwatch() -> Callable[[], float]:
    """Return what tells the seconds since now; users' functions take real time in every world."""
    began = time.perf_counter()
    return lambda: time.perf_counter() - began
