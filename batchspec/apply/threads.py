"""Threads for users' functions. One that never ends must not keep the process from ending."""

import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import copy_context
from typing import Any

import anyio
from anyio.from_thread import BlockingPortal


class Threads:
    """Runs blocking functions, each in a daemon thread of its own, at once.

    Threads of `anyio.to_thread` are waited for when the interpreter ends. How many run is up to the
    caller, who waits for a place before any timeout starts.
    """

    def __init__(self, portal: BlockingPortal) -> None:
        self._portal = portal

    async def run(self, call: Callable[[], Any]) -> Any:
        """Return what a function returns; when cancelled, the thread is left behind.

        A thread cannot be stopped; one that is left behind takes nobody's place.
        """
        ended = anyio.Event()
        outcome: list[tuple[Any, BaseException | None]] = []
        context = copy_context()

        def work() -> None:
            try:
                outcome.append((context.run(call), None))
            except BaseException as error:  # noqa: BLE001 - raised again by the waiting task
                outcome.append((None, error))
            with suppress(RuntimeError):  # the loop may be gone
                self._portal.start_task_soon(ended.set)

        threading.Thread(target=work, name="tool", daemon=True).start()
        await ended.wait()
        result, error = outcome[0]
        if error is not None:
            raise error
        return result


@asynccontextmanager
async def threads() -> AsyncGenerator[Threads]:
    """Return threads that know this event loop."""
    async with BlockingPortal() as portal:
        yield Threads(portal)
