"""Where users' functions run on this machine in one run of the loop, and what bounds them."""

import math
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.from_thread
from anyio.from_thread import BlockingPortal

from batchspec.apply.deps import Deps, Makers
from batchspec.apply.memo import Memo
from batchspec.apply.processes import Processes
from batchspec.apply.threads import Threads
from batchspec.apply.userloop import UserLoop
from batchspec.spec.tool import Tool

_AT_ONCE = 0.25
"""Seconds in which what runs can end where a person asked twice to stop."""


class Here:
    """Threads, an event loop and processes for users' functions, and what `deps` factories made.

    Args:
        concurrency: Calls of tools that run at once, whichever jobs they are of.
        process: The command that starts a process for functions.
        warn: Is told what did not end well.
    """

    def __init__(
        self,
        *,
        concurrency: int = 16,
        process: Sequence[str] = (),
        warn: Callable[[str], None] = lambda _message: None,
    ) -> None:
        self.concurrency = concurrency
        self.memo = Memo()
        self.processes = Processes(process, min(concurrency, os.cpu_count() or 1))
        self._warn = warn
        self._deps: dict[int, Deps] = {}
        self._makers: Makers | None = None
        self._places = anyio.CapacityLimiter(concurrency)
        self._own_places: dict[int, anyio.CapacityLimiter] = {}

    @asynccontextmanager
    async def open(self, hurried: Callable[[], bool] = lambda: False) -> AsyncGenerator[None]:
        """Let functions run; when it is left, what was made for them ends.

        Args:
            hurried: Asked when it is left: whether what does not end at once is left behind.
        """
        async with BlockingPortal() as portal, anyio.create_task_group() as group:
            threads = Threads(portal)
            loop = UserLoop(threads)
            self._makers = Makers(threads, loop, group)
            try:
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    await self._close(loop, hurried=hurried())
                group.cancel_scope.cancel()

    async def _close(self, loop: UserLoop, *, hurried: bool) -> None:
        with anyio.move_on_after(_AT_ONCE if hurried else math.inf) as scope:
            for made in reversed(self._deps.values()):
                if trouble := await made.end():
                    self._warn(trouble)
            await loop.close()
        if scope.cancelled_caught:
            self._warn("Functions that did not end at once were left behind.")
        await self.processes.close()
        self.threads.close()

    @property
    def threads(self) -> Threads:
        """Where plain functions run."""
        return self._open.threads

    @property
    def loop(self) -> UserLoop:
        """Where async functions run."""
        return self._open.loop

    @property
    def _open(self) -> Makers:
        assert self._makers is not None, "no function runs outside of a run"  # noqa: S101
        return self._makers

    # --- deps

    async def deps(
        self, factory: Callable[[], Any] | None, failed: Callable[[BaseException], Exception]
    ) -> Any:
        """Return what a factory made, made when it is first asked for; jobs that name it share it.

        Raises:
            Exception: What `failed` made of an error of the factory.
        """
        if factory is None:
            return None
        known = self._deps.setdefault(id(factory), Deps(factory, failed))
        return await known.get(self._open)

    def deps_in_thread(
        self, factory: Callable[[], Any] | None, failed: Callable[[BaseException], Exception]
    ) -> Any:
        """Do what `deps` does, from a worker thread of the loop."""
        return anyio.from_thread.run(self.deps, factory, failed) if factory else None

    # --- places

    @asynccontextmanager
    async def place(self, tool: Tool[..., Any]) -> AsyncGenerator[None]:
        """Wait for a place for a call of a tool: its own first, then one of all."""
        limits: list[anyio.CapacityLimiter] = []
        if tool.concurrency is not None:
            own = anyio.CapacityLimiter(tool.concurrency)
            limits.append(self._own_places.setdefault(id(tool), own))
        if tool.executor == "process":
            limits.append(self.processes.places)
        async with _all([*limits, self._places]):
            yield


@asynccontextmanager
async def _all(limits: Sequence[anyio.CapacityLimiter]) -> AsyncGenerator[None]:
    # On behalf of an object of its own: a task may hold a place of one call only.
    borrower = object()
    taken: list[anyio.CapacityLimiter] = []
    try:
        for limit in limits:
            await limit.acquire_on_behalf_of(borrower)
            taken.append(limit)
        yield
    finally:
        for limit in reversed(taken):
            limit.release_on_behalf_of(borrower)
