"""How a command ends: the exit code of every exception, and the record of a crash."""

import errno
import os
import sqlite3
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path

import click

from batchspec.cli.scope import SIMULATION, Scope
from batchspec.errors import BatchspecError, ExitCode, StateError, exit_code_for
from batchspec.redaction import redacted

_RECORDS = 20
"""Of crashes, that are kept in a folder."""
_DISK = {errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO}


class Terminated(BaseException):
    """The process got SIGTERM."""


def exit_code(error: BaseException) -> ExitCode:
    """Return the exit code an exception ends the process with, click's exceptions included."""
    match error:
        case click.UsageError():
            return ExitCode.USAGE
        case click.ClickException():
            return ExitCode.ERROR
        case click.Abort():
            asked = isinstance(error.__cause__, EOFError)
            return ExitCode.DECLINED if asked else ExitCode.INTERRUPTED
        case Terminated():
            return ExitCode.TERMINATED
        case _:
            return exit_code_for(error)


def end(error: BaseException, scope: Scope) -> int:
    """Tell how a command ended, in one place, and return its exit code."""
    from batchspec.cli.views import failures  # noqa: PLC0415 - rich is for the unhappy path only

    code = exit_code(error)
    if isinstance(error, sqlite3.Error) or (isinstance(error, OSError) and error.errno in _DISK):
        state = scope.project / "state"
        error = StateError(
            f"The files under {state} cannot be used: {error}. Nothing recorded is lost where the "
            "disk is full or read-only; put back a copy where the state file is damaged."
        )
        code = error.exit_code
    match error:
        case SystemExit():
            return error.code if isinstance(error.code, int) else ExitCode.ERROR
        case click.ClickException():
            error.show()
        case BatchspecError():
            failures.show_error(error, flags=scope.flags)
        case click.Abort() | KeyboardInterrupt() | Terminated():
            failures.show_stopped()
        case _:
            failures.show_crash(redacted(repr(error)), record_crash(error, scope))
    return code


def record_crash(error: BaseException, scope: Scope) -> Path | None:
    """Write a traceback where its owner alone can read it; None when no place could be found.

    Tracebacks show lines of code and messages, never values of variables; what looks like a secret
    in a message, or is the value of a variable named like one, is blotted out.
    """
    text = redacted("".join(traceback.format_exception(error)))
    environment = SIMULATION if scope.simulate else scope.env or "default"
    # As the environment says it, or as it is by default: what the configuration says may be what
    # is wrong.
    state = scope.project / os.environ.get("BATCHSPEC_STATE", "state")
    folders = [state / environment] if state.is_dir() else []
    # The last part tells crashes of one second apart, in a process that embeds the command line.
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    name = f"crash-{stamp}-{os.getpid()}-{time.monotonic_ns() % 10**6}.log"
    for folder in (*folders, Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / name
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(text)
        except OSError:
            continue
        if folder in folders:
            _forget_old(folder)
        return path
    return None


def _forget_old(folder: Path) -> None:
    """Keep the newest records of crashes: a service may be started again for ever."""
    with suppress(OSError):
        for old in sorted(folder.glob("crash-*.log"))[:-_RECORDS]:
            old.unlink()
