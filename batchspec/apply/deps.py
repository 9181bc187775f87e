"""What jobs' `deps` factories made: once per run, when first asked for, ended with the run."""

import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
from anyio.abc import TaskGroup

from batchspec.apply.threads import FunctionRaised, Threads
from batchspec.apply.userloop import UserLoop
from batchspec.redaction import raised
from batchspec.spec.deps import Held, held, is_coroutine_factory
from batchspec.spec.result import awaited, is_async

_PATIENCE = 10.0
"""Seconds in which what was made can end."""


@dataclass(frozen=True, slots=True)
class Makers:
    """Where factories run."""

    threads: Threads
    loop: UserLoop
    group: TaskGroup
    """Outlives all that is made."""


class Deps:
    """The value of one factory.

    Args:
        factory: As the spec has it.
        failed: Makes the error that is raised where the factory raises.
    """

    def __init__(
        self, factory: Callable[[], Any], failed: Callable[[BaseException], Exception]
    ) -> None:
        self._factory = factory
        self._failed = failed
        self._lock = anyio.Lock()
        self._made: list[Any] = []
        self._error: Exception | None = None
        self._held: _Holding | None = None

    async def get(self, makers: Makers) -> Any:
        """Return the value, made at the first call; where that failed, every call fails.

        Raises:
            Exception: What `failed` made of an error of the factory.
        """
        async with self._lock:
            if self._error is None and not self._made:
                try:
                    self._made.append(await self._make(makers))
                except FunctionRaised as raised:
                    self._error = self._failed(raised.error)
                    raise self._error from raised.error
        if self._error is not None:
            raise self._error
        return self._made[0]

    async def _make(self, makers: Makers) -> Any:
        context: Held | None = await makers.threads.run(partial(held, self._factory))
        if context is not None:
            self._held = _Holding(makers, context)
            return await self._held.value()
        if is_coroutine_factory(self._factory):
            return await makers.loop.run(self._factory)
        value = await makers.threads.run(self._factory)
        return await makers.loop.run(partial(awaited, value)) if is_async(value) else value

    async def end(self) -> str | None:
        """End what was made; returns why that failed, if it did."""
        if not self._made or self._held is None:
            return None
        trouble = await self._held.end()
        name = getattr(self._factory, "__name__", repr(self._factory))
        return None if trouble is None else f"deps made by {name} did not end well: {trouble}."


class _Holding:
    """A context that was entered and is left at the end of the run, both in one place.

    Libraries count on that: a SQLite connection is of one thread, a cancel scope of one task.
    """

    def __init__(self, makers: Makers, context: Held) -> None:
        self._makers = makers
        self._context = context
        self._made: list[Any] = []
        self._error: BaseException | None = None
        self._known = anyio.Event()
        self._over = anyio.Event()
        self._ending = threading.Event()
        self._wake: Callable[[], Any] | None = None

    async def value(self) -> Any:
        """Enter it and return its value.

        Raises:
            FunctionRaised: It raised.
        """
        self._makers.group.start_soon(self._run)
        await self._known.wait()
        if not self._made:
            raise FunctionRaised(self._error or RuntimeError("it was interrupted"))
        return self._made[0]

    async def end(self) -> str | None:
        """Leave it; returns why that failed, if it did."""
        self._ending.set()
        with anyio.move_on_after(_PATIENCE):
            if self._wake is not None:
                await self._makers.loop.call(self._wake)
            await self._over.wait()
            return None if self._error is None else raised(self._error)
        return f"it took longer than {_PATIENCE:g} s"

    async def _run(self) -> None:
        try:
            if isinstance(self._context, AbstractContextManager):
                await self._makers.threads.run(partial(self._in_thread, self._context))
            else:
                await self._makers.loop.run(partial(self._in_loop, self._context))
        except FunctionRaised as raised:
            self._error = raised.error
        finally:
            self._ending.set()
            self._known.set()
            self._over.set()

    def _in_thread(self, context: AbstractContextManager[Any]) -> None:
        with context as value:
            self._tell(value)
            self._ending.wait()

    async def _in_loop(self, context: AbstractAsyncContextManager[Any]) -> None:
        async with context as value:
            ending = anyio.Event()
            self._wake = ending.set
            self._tell(value)
            await ending.wait()

    def _tell(self, value: Any) -> None:
        self._made.append(value)
        self._makers.threads.tell(self._known)
