"""Commands that users name, and the last part of what they say."""

import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE

import anyio
from anyio.abc import Process

_TOLD = 2_000
"""Bytes of its standard error that are kept, the last ones."""
_LATE = 0.2
"""Seconds after its end in which what it said may come; who it left behind may keep the pipe."""


class CommandFailed(Exception):  # noqa: N818 - reads as what happened
    """A command could not be started, or did not end with code 0."""


async def run_command(
    argv: Sequence[str], given: bytes, environment: Mapping[str, str], folder: Path
) -> None:
    """Run a command to its end; when cancelled, it is killed with all it started.

    Its standard output goes nowhere. It is in a session of its own, so that an interrupt at the
    terminal does not reach it.

    Args:
        argv: The program and its arguments.
        given: Its standard input.
        environment: What it has beside the variables of this process.
        folder: Where it runs.

    Raises:
        CommandFailed: It could not be started, or did not end with code 0.
    """
    try:
        process = await anyio.open_process(
            argv,
            stdin=PIPE,
            stdout=DEVNULL,
            stderr=PIPE,
            env={**os.environ, **environment},
            cwd=folder,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise CommandFailed(f"it could not be started: {error}") from error
    said, code = bytearray(), 0
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_give, process, given)
            group.start_soon(_listen, process, said)
            code = await process.wait()
            with anyio.move_on_after(_LATE):
                await _quiet(said)
            group.cancel_scope.cancel()
    finally:
        await _end(process)
    if code:
        words = said.decode("utf-8", "replace").strip()
        raise CommandFailed(f"{_how(code)}{': ' if words else ''}{words}")


async def _give(process: Process, given: bytes) -> None:
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    # One that does not read what it is given may be right to do so.
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        await process.stdin.send(given)
        await process.stdin.aclose()


async def _listen(process: Process, said: bytearray) -> None:
    assert process.stderr is not None  # noqa: S101 - it is a pipe
    with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
        async for piece in process.stderr:
            said += piece
            del said[:-_TOLD]


async def _quiet(said: bytearray) -> None:
    """Wait until nothing more comes, which the listener has read by then."""
    while True:
        before = bytes(said)
        await anyio.sleep(_LATE / 10)
        if bytes(said) == before:
            return


async def _end(process: Process) -> None:
    """Let go of it; one that has not ended is killed, with all it started."""
    with anyio.CancelScope(shield=True):
        if process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        await process.aclose()


def _how(code: int) -> str:
    if code < 0:
        with suppress(ValueError):
            return f"it was killed ({signal.Signals(-code).name})"
    return f"it ended with code {code}"
