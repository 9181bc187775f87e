"""An event loop of its own for users' async functions.

One that blocks holds up other async functions, and nothing else: neither the lease, nor the calls
to the provider, nor the timeouts.
"""

import threading
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from anyio.abc import TaskGroup
from anyio.from_thread import BlockingPortal

from batchspec.apply.threads import Crossing, FunctionRaised, Threads

_PATIENCE = 5.0
"""Seconds in which what still runs there can end."""


class UserLoop:
    """Runs async functions in a daemon thread, which is made when the first one comes.

    Args:
        threads: Of the calling loop, which never waits for this one but in its tasks.
    """

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._lock = anyio.Lock()
        self._crossing: Crossing | None = None
        self._portal: BlockingPortal | None = None
        self._group: TaskGroup | None = None
        self._closed = anyio.Event()

    async def run(self, function: Callable[[], Awaitable[Any]]) -> Any:
        """Return what an async function returns; when cancelled, it is cancelled too.

        Raises:
            FunctionRaised: It raised.
        """
        crossing = await self._opened()
        task = _Task(function, self._threads)
        crossing.put(task)
        try:
            await task.ended.wait()
        except anyio.get_cancelled_exc_class():
            task.given_up = True
            crossing.put(task)
            raise
        if task.error is not None:
            raise FunctionRaised(task.error)
        return task.result

    async def call(self, function: Callable[[], Any]) -> None:
        """Run a plain function in the loop."""

        async def there() -> None:
            function()

        await self.run(there)

    async def close(self) -> None:
        """Cancel what still runs there; a loop that is blocked is left behind."""
        if self._crossing is not None:
            self._crossing.put(None)
            try:
                with anyio.move_on_after(_PATIENCE):
                    await self._closed.wait()
            finally:
                self._crossing.close()

    async def _opened(self) -> Crossing:
        async with self._lock:
            if self._crossing is None:
                ready = anyio.Event()
                threading.Thread(
                    target=anyio.run, args=(self._serve, ready), name="async tools", daemon=True
                ).start()
                await ready.wait()
            assert self._crossing is not None  # noqa: S101 - it is served
            return self._crossing

    async def _serve(self, ready: anyio.Event) -> None:
        async with BlockingPortal() as portal, anyio.create_task_group() as group:
            self._portal, self._group = portal, group
            self._crossing = Crossing(portal, self._take)
            self._threads.tell(ready)
            await portal.sleep_until_stopped()
        self._threads.tell(self._closed)

    def _take(self, tasks: "list[_Task | None]") -> None:
        """Begin what comes first, and give up what comes again; in the loop."""
        assert self._group is not None  # noqa: S101 - it is served
        for task in tasks:
            if task is None:
                assert self._portal is not None  # noqa: S101
                self._group.start_soon(self._portal.stop, True)  # noqa: FBT003
            elif task.given_up:
                task.scope.cancel()
            else:
                self._group.start_soon(task.run)


class _Task:
    """An async function that is run there."""

    def __init__(self, function: Callable[[], Awaitable[Any]], threads: Threads) -> None:
        self._function = function
        self._threads = threads
        self.scope = anyio.CancelScope()
        self.ended = anyio.Event()
        """Of the calling loop."""
        self.given_up = False
        self.result: Any = None
        self.error: BaseException | None = None

    async def run(self) -> None:
        cancelled = anyio.get_cancelled_exc_class()
        with self.scope:
            try:
                self.result = await self._function()
            except cancelled as error:
                self.error = error
                if anyio.current_effective_deadline() == float("-inf"):
                    raise  # by who waits for it, or at the end; else it cancelled itself
            except BaseException as error:  # noqa: BLE001 - SystemExit would end the loop
                self.error = error
            finally:
                self._threads.tell(self.ended)
