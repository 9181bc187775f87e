"""Where in the user's files something was written or went wrong."""

import inspect
import os
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import cast

from batchspec.errors import Source

_PACKAGE = str(Path(__file__).parent.parent) + os.sep
_STDLIB = str(Path(os.__file__).parent) + os.sep
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def call_site() -> Source:
    """Return the nearest place on the stack that is not ours."""
    frame = next(_foreign_frames(), None)
    return (
        Source("<unknown>") if frame is None else Source(frame.f_code.co_filename, frame.f_lineno)
    )


def calling_module() -> str | None:
    """Return the file of the nearest module body that is being executed, None outside of one.

    A factory function in another file may make the call: the module whose import led to it owns
    what is made.
    """
    for frame in _foreign_frames():
        if frame.f_code.co_name == "<module>" and is_users(frame.f_code.co_filename):
            return frame.f_code.co_filename
    return None


def raise_site(error: BaseException) -> Source | None:
    """Return the innermost line of the user's own code an exception passed through."""
    if issubclass(type(error), SyntaxError):  # what it says of its class is users' code
        unread = cast("SyntaxError", error)
        if unread.filename:
            return Source(unread.filename, unread.lineno)
    found = None
    trace = error.__traceback__
    while trace is not None:
        if is_users(trace.tb_frame.f_code.co_filename):
            found = Source(trace.tb_frame.f_code.co_filename, trace.tb_lineno)
        trace = trace.tb_next
    return found


def code_source(code: CodeType) -> Source:
    """Return where a function is defined."""
    return Source(code.co_filename, code.co_firstlineno)


def is_users(file: str) -> bool:
    """Tell whether a file is neither ours, nor the standard library's, nor installed."""
    installed = any(part in file for part in _INSTALLED)
    return not (installed or file.startswith((_PACKAGE, _STDLIB, "<")))


def _foreign_frames() -> Iterator[FrameType]:
    frame: FrameType | None = inspect.currentframe()
    while frame is not None:
        # A dataclass's generated __init__ lives in "<string>"; a REPL in "<stdin>" and the like.
        if not frame.f_code.co_filename.startswith((_PACKAGE, _STDLIB, "<string>", "<frozen")):
            yield frame
        frame = frame.f_back
