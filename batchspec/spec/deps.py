"""`deps` of a job: the forms in which its factory may be written."""

import inspect
from collections.abc import Callable
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from functools import partial
from typing import Any

Held = AbstractContextManager[Any] | AbstractAsyncContextManager[Any]


def is_coroutine_factory(factory: Callable[[], Any]) -> bool:
    """Tell whether a factory is an `async def`."""
    return inspect.iscoroutinefunction(factory)


def held(factory: Callable[[], Any]) -> Held | None:
    """Return a context that makes the value and ends it; None: the factory returns a plain value.

    Only a function that yields ends what it made: written as a generator, or decorated with
    `contextmanager` or `asynccontextmanager`. A client that is returned is a value like any other.
    """
    inner = inspect.unwrap(factory)
    if inspect.isasyncgenfunction(inner):
        return _opened(factory, inner, asynccontextmanager)
    if inspect.isgeneratorfunction(inner):
        return _opened(factory, inner, contextmanager)
    return None


def _opened(factory: Callable[[], Any], inner: object, decorate: Callable[..., Any]) -> Held:
    # A decorated function makes the context itself; a bare one, or a part of one, yields.
    decorated = factory is not inner and type(factory) is not partial
    opened: Callable[[], Held] = factory if decorated else decorate(factory)
    return opened()
