"""Threads for users' functions. One that never ends must not keep the process from ending."""

import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any

import anyio
from anyio.from_thread import BlockingPortal


class FunctionRaised(Exception):  # noqa: N818 - reads as what happened
    """A user's function raised; anything, also what would end a thread or a loop of ours.

    Attributes:
        error: What it raised.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


class Threads:
    """Runs blocking functions, each in a daemon thread of its own, at once.

    Threads of `anyio.to_thread` are waited for when the interpreter ends. How many run is up to the
    caller, who waits for a place before any timeout starts.

    Args:
        portal: Of the event loop that waits for them.
    """

    def __init__(self, portal: BlockingPortal) -> None:
        self._portal = portal

    async def run(self, call: Callable[[], Any]) -> Any:
        """Return what a function returns; when cancelled, the thread is left behind.

        A thread cannot be stopped; one that is left behind takes nobody's place.

        Raises:
            FunctionRaised: It raised.
        """
        ended = anyio.Event()
        outcome: list[tuple[Any, BaseException | None]] = []
        context = copy_context()

        def work() -> None:
            try:
                outcome.append((context.run(call), None))
            except BaseException as error:  # noqa: BLE001 - told to the waiting task
                outcome.append((None, error))
            self.tell(ended)

        threading.Thread(target=work, name="tool", daemon=True).start()
        await ended.wait()
        result, error = outcome[0]
        if error is not None:
            raise FunctionRaised(error)
        return result

    def tell(self, event: anyio.Event) -> None:
        """Set an event of the waiting loop, from any other thread."""
        with suppress(RuntimeError):  # the loop may be gone
            self._portal.start_task_soon(event.set)
