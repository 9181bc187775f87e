"""Many short calls of users' functions in few threads, each call within its time."""

import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from time import monotonic
from typing import Any, NamedTuple

import anyio

from batchspec.apply.threads import Threads
from batchspec.spec.result import is_async

_PATIENCE = 0.01
"""Seconds after which one thread more begins: what takes less is over before another helps."""


class Call(NamedTuple):
    """A function that is called.

    Attributes:
        number: Names it.
        function: What is called, without arguments.
    """

    number: int
    function: Callable[[], Any]


class Late(Exception):  # noqa: N818 - reads as what happened
    """A call took longer than it may, and was left behind."""


class Series:
    """Calls functions one after the other, in a few threads where that helps.

    A call costs no thread of its own, and nothing is passed to the loop for each.

    Args:
        threads: Where they run.
        calls: What is called; taken from in those threads, one at a time.
        ended: Is told what a call raised, if anything; in those threads, one at a time.
        waits: Is told a result that an event loop has to run for; the same.
        timeout: Seconds a call may take; then it is left behind with its thread.
    """

    def __init__(
        self,
        threads: Threads,
        calls: Iterator[Call],
        ended: Callable[[int, BaseException | None], None],
        waits: Callable[[int, Any], None],
        timeout: float,
    ) -> None:
        self.lock = threading.Lock()
        self.calls = calls
        self.ended = ended
        self.waits = waits
        self._threads = threads
        self._timeout = timeout
        self._over = anyio.Event()

    async def run(self, most: int) -> None:
        """Call all of them, in as many threads at most."""
        async with anyio.create_task_group() as group:
            for _ in range(most):
                group.start_soon(self._until_over)
                with anyio.move_on_after(_PATIENCE):
                    await self._over.wait()
                if self._over.is_set():
                    return

    async def _until_over(self) -> None:
        while not await self._thread():
            pass
        self._over.set()

    async def _thread(self) -> bool:
        """Let one thread call what comes; False: it was left behind with what it called."""
        turns = _Turns(self)
        ended = self._threads.start(turns.work)
        try:
            while True:
                with anyio.move_on_after(turns.left(self._timeout)):
                    await ended.wait()
                if turns.failed is not None:
                    raise turns.failed
                if ended.is_set():
                    return True
                if (number := turns.give_up(self._timeout)) is not None:
                    self.ended(number, Late(f"it took longer than {self._timeout:g} s"))
                    return False
        finally:
            turns.over = True


class _Turns:
    """The calls of one thread."""

    def __init__(self, series: Series) -> None:
        self.over = False
        self.failed: BaseException | None = None
        self._series = series
        self._now: Call | None = None
        self._began = 0.0

    def work(self) -> None:
        """Call what comes until nothing does; in the thread."""
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - raised again in the loop
            self.failed = error

    def _work(self) -> None:
        while (call := self._next()) is not None:
            result, raised = None, None
            try:
                result = copy_context().run(call.function)
            except BaseException as error:  # noqa: BLE001 - told to whoever waits
                raised = error
            self._end(call, result, raised)

    def _next(self) -> Call | None:
        with self._series.lock:
            self._now = None if self.over else next(self._series.calls, None)
            self._began = monotonic()
            return self._now

    def _end(self, call: Call, result: Any, raised: BaseException | None) -> None:
        needs_loop = raised is None and is_async(result)
        with self._series.lock:
            self._now = None
            if self.over:
                return
            if needs_loop:
                self._series.waits(call.number, result)
            else:
                self._series.ended(call.number, raised)

    def left(self, timeout: float) -> float:
        """Return the seconds that the call which runs has left; in the loop."""
        with self._series.lock:
            return max(0.0, self._began + timeout - monotonic()) if self._now else timeout

    def give_up(self, timeout: float) -> int | None:
        """Leave a call behind that took too long, if one did; in the loop."""
        with self._series.lock:
            if self._now is None or monotonic() - self._began < timeout:
                return None
            self.over = True
            return self._now.number
