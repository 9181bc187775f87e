"""What a job's `deps` factory makes while answers are read, where no event loop of ours runs."""

import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import anyio
import anyio.to_thread

from batchspec.spec.deps import Held, held
from batchspec.spec.result import awaited, is_async

_PATIENCE = 10.0
"""Seconds in which what was made can end."""


def deps_for(owner: object, factory: Callable[[], Any]) -> Any:
    """Return what a factory makes; it ends when its owner goes, or with the process.

    Raises:
        Exception: What the factory raised.
    """
    context = held(factory)
    if context is None:
        value = factory()
        return anyio.run(awaited, value) if is_async(value) else value
    holding = _Holding(context)
    weakref.finalize(owner, holding.end)
    return holding.value()


class _Holding:
    """A context that is entered and left in a thread of its own."""

    def __init__(self, context: Held) -> None:
        self._known = threading.Event()
        self._ending = threading.Event()
        self._made: list[Any] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(context,), daemon=True)
        self._thread.start()

    def value(self) -> Any:
        self._known.wait()
        if not self._made:
            raise self._error or RuntimeError("it made nothing")
        return self._made[0]

    def end(self) -> None:
        self._ending.set()
        self._thread.join(_PATIENCE)

    def _run(self, context: Held) -> None:
        try:
            if isinstance(context, AbstractContextManager):
                with context as value:
                    self._tell(value)
                    self._ending.wait()
            else:
                anyio.run(self._hold, context)
        except BaseException as error:  # noqa: BLE001 - raised where the value is asked for
            self._error = error
        finally:
            self._known.set()

    async def _hold(self, context: Any) -> None:
        async with context as value:
            self._tell(value)
            await anyio.to_thread.run_sync(partial(self._ending.wait), abandon_on_cancel=True)

    def _tell(self, value: Any) -> None:
        self._made.append(value)
        self._known.set()
