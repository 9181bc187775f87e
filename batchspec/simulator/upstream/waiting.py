"""When to ask an upstream again: what its headers say, backoff, and a pause of everything."""

from collections.abc import Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from math import isfinite
from random import Random

import anyio

from batchspec.simulator.upstream.port import Stopped
from batchspec.simulator.wire import Clock

LONGEST = 3_600.0
"""Seconds after which another try does no harm, whatever a header says."""
FIRST = 0.5
CAP = 60.0

Sleep = Callable[[float], Awaitable[None]]


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds a server asks to wait; none where it says nothing that makes sense.

    Args:
        headers: `retry-after-ms` in milliseconds wins over `retry-after`, which is in seconds or
            an HTTP date.
        now: Unix seconds, for dates.
    """
    try:
        if "retry-after-ms" in headers:
            wait = float(headers["retry-after-ms"]) / 1000
        else:
            wait = _seconds(headers["retry-after"], now)
    except (KeyError, ValueError, OverflowError):
        return None
    return min(max(wait, 0.0), LONGEST) if isfinite(wait) else None


def _seconds(text: str, now: float) -> float:
    try:
        return float(text)
    except ValueError:
        return parsedate_to_datetime(text).timestamp() - now


def backoff(failures: int, random: Random) -> float:
    """Return the seconds to wait after so many failures: doubling, less up to half by chance."""
    return min(CAP, FIRST * 2.0 ** min(failures - 1, 30)) * random.uniform(0.5, 1.0)


class Waiting:
    """The waits of all who ask one upstream; they end at once when everything stops.

    Args:
        clock: Says the time in unix seconds.
        sleep: Waits so many seconds of that clock.
    """

    def __init__(self, clock: Clock, sleep: Sleep) -> None:
        self._clock = clock
        self._sleep = sleep
        self._until = 0.0
        self._stopped = anyio.Event()

    @property
    def held(self) -> bool:
        """Whether nobody may ask now."""
        return self._until > self._clock()

    def hold(self, seconds: float) -> None:
        """Let nobody ask for so many seconds; a longer pause that is running stays."""
        self._until = max(self._until, self._clock() + seconds)

    def stop(self) -> None:
        self._stopped.set()

    async def turn(self) -> None:
        """Wait as long as there is a pause.

        Raises:
            Stopped: Nobody may ask any more.
        """
        while True:
            if self._stopped.is_set():
                raise Stopped
            if not self.held:
                return
            await self.pause(self._until - self._clock())

    async def pause(self, seconds: float) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self._cut, group.cancel_scope)
            await self._sleep(seconds)
            group.cancel_scope.cancel()

    async def _cut(self, scope: anyio.CancelScope) -> None:
        await self._stopped.wait()
        scope.cancel()
