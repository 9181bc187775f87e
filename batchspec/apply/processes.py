"""Processes of their own for users' functions: for work of the CPU, and what may crash.

A process answers one call at a time, over its pipes, in JSON lines. It is in a session of its own,
so that an interrupt at the terminal does not reach it; it ends when our end of the pipe is closed,
however we ended.
"""

import os
import signal
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from subprocess import PIPE

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from pydantic_core import from_json, to_json

from batchspec.messages import JsonObject

_LONGEST = 128 * 1024 * 1024
"""Bytes of an answer; a content of 10 MiB, escaped, is less."""


class ProcessDied(Exception):  # noqa: N818 - reads as what happened
    """The process of a call ended without an answer."""


class Worker:
    """One process."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None  # noqa: S101 - they are pipes
        assert process.stdout is not None  # noqa: S101
        self._process = process
        self._out = process.stdin
        self._in = BufferedByteReceiveStream(process.stdout)
        self.idle = True
        """Whether it waits for a call; one that does not is of no further use."""
        self.known: dict[str, str] = {}
        """Fingerprints of the code of functions it looked up."""

    async def ask(self, request: JsonObject) -> JsonObject:
        """Return what it answers.

        Raises:
            ProcessDied: It ended.
        """
        self.idle = False
        try:
            await self._out.send(to_json(request) + b"\n")
            answer: JsonObject = from_json(await self._in.receive_until(b"\n", _LONGEST))
        except (anyio.BrokenResourceError, anyio.IncompleteRead, anyio.ClosedResourceError):
            raise ProcessDied(_how(await self._process.wait())) from None
        self.idle = True
        return answer

    async def end(self) -> None:
        """Kill it, with all it started, and wait until it is gone."""
        with anyio.CancelScope(shield=True):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.aclose()


def _how(code: int) -> str:
    if code < 0:
        with suppress(ValueError):
            return f"its process was killed ({signal.Signals(-code).name})"
    return f"its process ended with code {code}"


class Processes:
    """Processes that wait for calls; made when they are needed.

    Args:
        command: Starts one.
        most: How many run at once.
    """

    def __init__(self, command: Sequence[str], most: int) -> None:
        self._command = command
        self._idle: list[Worker] = []
        self.places = anyio.CapacityLimiter(most)
        """Taken for a whole call."""

    @asynccontextmanager
    async def worker(self) -> AsyncGenerator[Worker]:
        """Return a process that waits for a call; it is killed unless it waits again after it."""
        worker = self._idle.pop() if self._idle else await self._start()
        try:
            yield worker
        finally:
            if worker.idle:
                self._idle.append(worker)
            else:
                await worker.end()

    async def _start(self) -> Worker:
        process = await anyio.open_process(
            self._command, stdin=PIPE, stdout=PIPE, stderr=None, start_new_session=True
        )
        return Worker(process)

    async def close(self) -> None:
        """End those that wait."""
        while self._idle:
            await self._idle.pop().end()
