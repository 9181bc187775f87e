"""An event loop of its own for users' async functions.

One that blocks holds up other async functions, and nothing else: neither the lease, nor the calls
to the provider, nor the timeouts.
"""

import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any

import anyio
from anyio.from_thread import BlockingPortal

from batchspec.apply.threads import FunctionRaised, Threads

_PATIENCE = 5.0
"""Seconds in which what still runs there can end."""


class UserLoop:
    """Runs async functions in a daemon thread, which is made when the first one comes.

    Args:
        threads: Wait for it, so that the calling loop never does.
    """

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._lock = anyio.Lock()
        self._portal: BlockingPortal | None = None

    async def run(self, function: Callable[[], Awaitable[Any]]) -> Any:
        """Return what an async function returns; when cancelled, it is cancelled too.

        Raises:
            FunctionRaised: It raised.
        """
        portal = await self._opened()
        task: list[Future[Any]] = []
        given_up = threading.Event()

        def call() -> Any:
            task.append(portal.start_task_soon(_guarded, function))
            if given_up.is_set():
                task[0].cancel()
            return task[0].result()

        try:
            result, error = await self._threads.run(call)
        except anyio.get_cancelled_exc_class():
            given_up.set()
            if task:
                # A loop that is blocked would block who cancels.
                threading.Thread(target=task[0].cancel, daemon=True).start()
            raise
        if error is not None:
            raise FunctionRaised(error)
        return result

    async def call(self, function: Callable[[], Any]) -> None:
        """Run a function of the loop in it."""
        portal = await self._opened()
        await self._threads.run(lambda: portal.call(function))

    async def _opened(self) -> BlockingPortal:
        async with self._lock:
            if self._portal is None:
                ready = anyio.Event()
                threading.Thread(
                    target=anyio.run, args=(self._serve, ready), name="async tools", daemon=True
                ).start()
                await ready.wait()
            assert self._portal is not None  # noqa: S101 - it is served
            return self._portal

    async def _serve(self, ready: anyio.Event) -> None:
        async with BlockingPortal() as portal:
            self._portal = portal
            self._threads.tell(ready)
            await portal.sleep_until_stopped()

    async def close(self) -> None:
        """Cancel what still runs there; a loop that is blocked is left behind."""
        portal, self._portal = self._portal, None
        if portal is not None:
            with anyio.move_on_after(_PATIENCE):
                await self._threads.run(lambda: portal.call(portal.stop, True))  # noqa: FBT003


async def _guarded(function: Callable[[], Awaitable[Any]]) -> tuple[Any, BaseException | None]:
    try:
        return await function(), None
    except anyio.get_cancelled_exc_class():
        raise
    except BaseException as error:  # noqa: BLE001 - SystemExit would end the loop
        return None, error
