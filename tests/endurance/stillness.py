"""One thread, one order: nothing in a life depends on how fast the machine is, or how busy.

What the product gives to threads is run by its event loop, one after the other; how many others
get their turn first is drawn from the seed. The loop's own time jumps to the next timer instead of
being waited for. Ids are drawn from the seed too. A life with the same seed is the same life, and
what depends on threads that overlap is left to the soak, which has real processes.
"""

import asyncio  # noqa: TID251 - a loop is made
import os
import selectors
import sqlite3
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, nullcontext
from random import Random
from types import SimpleNamespace
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from batchspec.apply.threads import Threads
from batchspec.errors import LockedError
from batchspec.ids import uuid7
from batchspec.project import atwork, beating
from batchspec.project.opened import OpenedProject
from batchspec.simulator import wire
from batchspec.store import schema
from batchspec.store.sqlite import StateStore

T = TypeVar("T")
_TURNS = 3
"""Turns that others get at most before a function runs, or its result is there."""
_NEVER = 1e6
_configure = schema._configure


class _Leaping(selectors.DefaultSelector):
    """Passes the time of timers instead of waiting for them."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        found = super().select(None if timeout is None else 0)
        if not found and timeout is not None and timeout > 0:
            self.passed += timeout
        return found


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._leaping = _Leaping()
        super().__init__(self._leaping)

    def time(self) -> float:
        return self._leaping.passed

    def run_in_executor(self, _: Any, function: Callable[..., Any], *args: Any) -> Any:
        """Call what the SDK gives to a thread."""
        future = self.create_future()
        future.set_result(function(*args))
        return future


def run(function: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Run an async function in a loop that never waits."""
    return anyio.run(function, *args, backend_options={"loop_factory": _Loop})


class _Turns:
    """What stands in for threads, ids and the disk's own time.

    Args:
        random: Of ids, and of the order in which tasks get on.
    """

    def __init__(self, random: Random) -> None:
        self._random = random

    async def _others(self) -> None:
        """Let others go first, some of the time."""
        for _ in range(self._random.randrange(_TURNS)):
            await asyncio.sleep(0)

    async def in_turn(
        self,
        function: Callable[..., Any],
        *args: Any,
        abandon_on_cancel: bool = False,
        limiter: anyio.CapacityLimiter | None = None,
        **_: Any,
    ) -> Any:
        """Stand in for `anyio.to_thread.run_sync`."""
        await anyio.lowlevel.checkpoint()
        async with limiter or nullcontext():
            with anyio.CancelScope(shield=not abandon_on_cancel):
                await self._others()
                result = function(*args)
                await self._others()
                return result

    def mint(self, now: float) -> str:
        return uuid7(int(now * 1000), self._random.randbytes(10))

    def token_hex(self, size: int) -> str:
        return self._random.randbytes(size).hex()


def _started(_: Threads, work: Callable[[], object]) -> anyio.Event:
    """Call a user's function, and be done with it."""
    ended = anyio.Event()
    work()
    ended.set()
    return ended


async def _acquired(store: StateStore, *taking: Any) -> None:
    """Wait for the lease in the loop's time."""
    store.patience.timeout = 0.0
    while True:
        try:
            return store.acquire(*taking)
        except LockedError:
            await anyio.sleep(1.0)


def _unsynced(db: sqlite3.Connection, *, read_only: bool) -> None:
    """Wait for no disk: no power fails."""
    _configure(db, read_only=read_only)
    db.execute("PRAGMA synchronous = OFF")


@contextmanager
def stillness(random: Random) -> Generator[None]:
    """Have no thread decide what happens, and no time but the world's.

    Args:
        random: Of ids, and of the order in which tasks get on.
    """
    turns = _Turns(random)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(anyio.to_thread, "run_sync", turns.in_turn)
        patch.setattr(Threads, "start", _started)
        patch.setattr(Threads, "tell", lambda _threads, event: event.set())
        patch.setattr(atwork, "acquired", _acquired)
        patch.setattr(beating, "HEARTBEAT", _NEVER)
        patch.setattr(OpenedProject, "mint", lambda project: turns.mint(project.clock.now()))
        drawn = SimpleNamespace(choice=random.choice, token_hex=turns.token_hex)
        patch.setattr(wire, "secrets", drawn)
        patch.setattr(schema, "_configure", _unsynced)
        patch.setattr(os, "fsync", lambda _file: None)
        yield
