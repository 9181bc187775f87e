"""Threads for users' functions. One that never ends must not keep the process from ending."""

import queue
import threading
from collections.abc import Callable, Iterable
from contextvars import copy_context
from typing import Any

import anyio
from anyio.from_thread import BlockingPortal

from batchspec.errors import worded

_END = object()


class FunctionRaised(Exception):  # noqa: N818 - reads as what happened
    """A user's function raised; anything, also what would end a thread or a loop of ours.

    Attributes:
        error: What it raised.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(worded(error))
        self.error = error


class Crossing:
    """Passes things to an event loop from any thread, without making that wait for the loop.

    What comes while the loop is busy crosses together.

    Args:
        portal: Of the loop.
        take: Called in the loop with what came, in order.
    """

    def __init__(self, portal: BlockingPortal, take: Callable[[list[Any]], None]) -> None:
        self._portal = portal
        self._take = take
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="crossing", daemon=True).start()

    def put(self, thing: object) -> None:
        """Pass something on."""
        self._queue.put(thing)

    def close(self) -> None:
        """Pass nothing on after what came so far."""
        self._queue.put(_END)

    def _run(self) -> None:
        open_ = True
        while open_:
            things = [self._queue.get()]
            while not self._queue.empty():
                things.append(self._queue.get())
            if _END in things:
                open_, things = False, things[: things.index(_END)]
            try:
                self._portal.start_task_soon(self._take, things)
            except RuntimeError:  # the loop is gone
                return


def _set(events: Iterable[anyio.Event]) -> None:
    for event in events:
        event.set()


class Threads:
    """Runs blocking functions, each in a daemon thread of its own, at once.

    Threads of `anyio.to_thread` are waited for when the interpreter ends. How many run is up to the
    caller, who waits for a place before any timeout starts.

    Args:
        portal: Of the event loop that waits for them.
    """

    def __init__(self, portal: BlockingPortal) -> None:
        self._crossing = Crossing(portal, _set)

    async def run(self, call: Callable[[], Any]) -> Any:
        """Return what a function returns; when cancelled, the thread is left behind.

        A thread cannot be stopped; one that is left behind takes nobody's place.

        Raises:
            FunctionRaised: It raised.
        """
        outcome: list[tuple[Any, BaseException | None]] = []
        context = copy_context()

        def work() -> None:
            try:
                outcome.append((context.run(call), None))
            except BaseException as error:  # noqa: BLE001 - told to the waiting task
                outcome.append((None, error))

        await self.start(work).wait()
        result, error = outcome[0]
        if error is not None:
            raise FunctionRaised(error)
        return result

    def start(self, work: Callable[[], object]) -> anyio.Event:
        """Begin a function that raises nothing; returns what is set once it has ended."""
        ended = anyio.Event()

        def run() -> None:
            try:
                work()
            finally:
                self.tell(ended)

        threading.Thread(target=run, name="tool", daemon=True).start()
        return ended

    def tell(self, event: anyio.Event) -> None:
        """Set an event of the waiting loop, from any other thread."""
        self._crossing.put(event)

    def close(self) -> None:
        """Wait for no thread any more."""
        self._crossing.close()
