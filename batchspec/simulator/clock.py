"""The clock of a simulator: it can be set, moved on and sped up, and whoever waits is told."""

import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from threading import Condition, Lock, get_ident
from typing import Protocol

import anyio
from anyio import RunFinishedError, from_thread
from anyio.lowlevel import checkpoint, current_token

from batchspec.simulator.durations import iso
from batchspec.simulator.wire import Clock

LATEST = 253_402_300_799.0
"""The last second of the year 9999, which is as far as a date can be written."""
_NAP = 60.0
"""Real seconds after which who waits looks again: a machine that slept has not counted them."""
_GLANCE = 0.05
"""Seconds between two looks at a clock that tells nobody when it moves."""


class Timekeeper(Protocol):
    """The time, and every way to wait in a simulator."""

    def __call__(self) -> float:
        """Return unix seconds."""
        ...

    def wait_until(self, condition: Condition, moment: float) -> None:
        """Wait, holding the condition's lock, until it is notified or the moment has come.

        May return earlier, so that callers look again at what they wait for.
        """
        ...

    async def sleep(self, seconds: float) -> None:
        """Let that many seconds of this clock pass."""
        ...


class SimulatedClock:
    """A clock that runs at a speed of its own, and never backwards; safe to use in any thread.

    It can stand in for a project's clock as well (`now`, `sleep_until`).
    """

    def __init__(
        self,
        now: float | None = None,
        *,
        speed: float = 1.0,
        real: Callable[[], float] = time.time,
    ) -> None:
        """Make a clock.

        Args:
            now: Unix seconds to begin at; by default the real time.
            speed: Seconds that pass in one real second; 0 stands still until it is moved.
            real: Says the real time in unix seconds.

        Raises:
            ValueError: The moment or the speed is not one.
        """
        self._lock = Lock()
        self._real = real
        self._seen = self._since = real()
        # Whether somebody has said what time it is; else a directory may.
        self._told = now is not None
        self._last = self._position = _moment(self._since if now is None else now)
        self._speed = _speed(speed)
        self._sleepers: list[float] = []
        self._observers: list[Callable[[], None]] = []

    # --- reading

    def __call__(self) -> float:
        """Return unix seconds."""
        with self._lock:
            return self._read()

    def now(self) -> float:
        """Return unix seconds."""
        return self()

    def reading(self) -> tuple[float, float]:
        """Return what the clock says, and the real time at that moment; `resume` takes them."""
        with self._lock:
            return self._read(), self._seen

    @property
    def speed(self) -> float:
        """Seconds that pass in one real second."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        factor = _speed(speed)
        with self._lock:
            self._place(self._read())
            self._speed = factor
        self._tell()

    def _read(self) -> float:
        real = self._real()
        if real < self._seen:
            # Somebody has set back the machine's clock; this one goes on from where it was.
            self._since, self._position = real, self._last
        self._seen = real
        reached = self._position + (real - self._since) * self._speed
        self._last = min(max(self._last, reached), LATEST)
        return self._last

    # --- moving

    def advance(self, seconds: float) -> None:
        """Move on by some seconds.

        Raises:
            ValueError: They are negative, or lead beyond the year 9999.
        """
        if not 0 <= seconds < math.inf:
            raise ValueError(f"A clock advances by 0 seconds or more, not by {seconds}.")
        with self._lock:
            self._place(_moment(self._read() + seconds))
            self._told = True
        self._tell()

    def set(self, moment: float) -> None:
        """Move on to a moment in unix seconds.

        Raises:
            ValueError: It has passed already, or is beyond the year 9999.
        """
        with self._lock:
            now = self._read()
            if _moment(moment) < now:
                raise ValueError(
                    f"Time does not run backwards: {iso(moment)} is before {iso(now)}."
                )
            self._place(moment)
            self._told = True
        self._tell()

    def resume(self, position: float, stopped_at: float) -> None:
        """Go on from where an earlier run stopped, unless this clock was set to a later moment.

        The time since then has passed as real time does, or not at all if the clock stands still.

        Args:
            position: What the clock said.
            stopped_at: The real time when it said so.
        """
        with self._lock:
            now = self._read()
            pause = max(0.0, self._seen - stopped_at) * min(1.0, self._speed)
            resumed = min(position + pause, LATEST)
            self._place(max(now, resumed) if self._told else resumed)
            self._told = True
        self._tell()

    def _place(self, position: float) -> None:
        self._since, self._position, self._last = self._seen, position, position

    # --- waiting

    @contextmanager
    def observed(self, observer: Callable[[], None]) -> Generator[None]:
        """Call the observer whenever somebody moves the clock, in the thread that does."""
        with self._lock:
            self._observers.append(observer)
        try:
            yield
        finally:
            with self._lock:
                self._observers.remove(observer)

    def _tell(self) -> None:
        with self._lock:
            observers = list(self._observers)
        for observer in observers:
            observer()

    def wait_until(self, condition: Condition, moment: float) -> None:
        """Wait, holding the condition's lock, until it is notified or the moment has come."""

        def wake() -> None:
            with condition:
                condition.notify_all()

        # The clock is read after it knows the observer, so that no move is missed.
        with self.observed(wake):
            left = self._real_seconds_until(moment)
            if left > 0:
                condition.wait(min(left, _NAP))

    def _real_seconds_until(self, moment: float) -> float:
        with self._lock:
            left = moment - self._read()
            if left <= 0:
                return 0.0
            return left / self._speed if self._speed else math.inf

    async def sleep(self, seconds: float) -> None:
        """Let that many seconds of this clock pass; one that stands still is moved on by them."""
        await self.sleep_until(self() + seconds)

    async def sleep_until(self, when: float) -> None:
        """Return when the clock has reached a moment.

        One that stands still is moved on by the one who sleeps least long, after everybody else
        had a turn.
        """
        with self._asleep(when):
            await checkpoint()
            while not await self._doze(when):
                pass

    async def _doze(self, when: float) -> bool:
        """Sleep until the clock is moved or the time has come, and say if it has."""
        moved, token, owner = anyio.Event(), current_token(), get_ident()

        def wake() -> None:
            if get_ident() == owner:
                moved.set()
            else:
                with suppress(RunFinishedError):
                    from_thread.run_sync(moved.set, token=token)

        with self.observed(wake):
            left = self._real_seconds_until(when)
            if left == math.inf and self._jump(when):
                return True
            if left > 0:
                with anyio.move_on_after(min(left, _NAP)):
                    await moved.wait()
        return self() >= when

    def _jump(self, when: float) -> bool:
        with self._lock:
            jumps = not self._speed and when <= min(self._sleepers)
            if jumps:
                self._place(_moment(max(self._read(), when)))
        if jumps:
            self._tell()
        return jumps

    @contextmanager
    def _asleep(self, when: float) -> Generator[None]:
        with self._lock:
            self._sleepers.append(when)
        try:
            yield
        finally:
            with self._lock:
                self._sleepers.remove(when)
            # The next one may be the one to move the clock.
            self._tell()


class FollowedClock:
    """A clock of somebody else's, which moves as it likes and is looked at again and again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __call__(self) -> float:
        """Return unix seconds."""
        return self._clock()

    def wait_until(self, condition: Condition, moment: float) -> None:
        """Wait until the moment may have come."""
        left = moment - self._clock()
        if left > 0:
            condition.wait(min(left, _GLANCE))

    async def sleep(self, seconds: float) -> None:
        """Return when the clock has gone on by that many seconds."""
        when = self._clock() + seconds
        await checkpoint()
        while (left := when - self._clock()) > 0:  # noqa: ASYNC110  such a clock tells nobody
            await anyio.sleep(min(left, _GLANCE))


def _moment(seconds: float) -> float:
    if not 0 <= seconds <= LATEST:
        raise ValueError(f"{seconds} is no moment between 1970 and 9999 in unix seconds.")
    return float(seconds)


def _speed(factor: float) -> float:
    if not 0 <= factor < math.inf:
        raise ValueError(f"A speed is 0 or a factor above it, not {factor}.")
    return float(factor)
