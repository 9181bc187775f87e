"""Telling all problems of a project at once, though Python code stops at its first exception."""

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from batchspec.errors import Diagnostic, Source, SpecError

_collected: ContextVar[list[Diagnostic] | None] = ContextVar("collected", default=None)


@contextmanager
def collecting() -> Generator[list[Diagnostic]]:
    """Let `refuse` collect into the list it yields, instead of raising."""
    found: list[Diagnostic] = []
    token = _collected.set(found)
    try:
        yield found
    finally:
        _collected.reset(token)


def refuse(found: list[Diagnostic]) -> None:
    """Raise the problems, or leave them with the one who collects.

    Raises:
        SpecError: There are problems and nobody collects.
    """
    collected = _collected.get()
    if collected is not None:
        collected += found
    elif found:
        raise SpecError(found)


def warn(found: list[Diagnostic]) -> None:
    """Leave warnings with the one who collects, or give them as Python does."""
    collected = _collected.get()
    if collected is not None:
        collected += found
        return
    for diagnostic in found:
        place = diagnostic.source or Source("<unknown>")
        warnings.warn_explicit(str(diagnostic), UserWarning, place.file, place.line or 1)
