"""An engine's process, as the watcher sees it."""

import errno
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import suppress
from subprocess import PIPE
from typing import Self

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from batchspec.watch.process import command
from batchspec.watch.protocol import Command, Orders, Said, decode, encode

_LONGEST = 64 * 1024 * 1024
"""Bytes of a line."""


_OVER = (
    anyio.EndOfStream,
    anyio.IncompleteRead,
    anyio.DelimiterNotFound,
    anyio.ClosedResourceError,
    ValueError,
    LookupError,
)


class Child:
    """One process with an engine.

    Attributes:
        orders: What it was started with.
    """

    def __init__(self, process: Process, orders: Orders) -> None:
        self.orders = orders
        self._process = process

    @classmethod
    async def start(cls, orders: Orders) -> Self:
        """Start a process.

        Raises:
            OSError: The machine, or this process, has no file, process or thread left for it.
        """
        try:
            process = await anyio.open_process(
                command(orders), stdin=PIPE, stdout=PIPE, stderr=None, start_new_session=True
            )
        except RuntimeError as error:
            # The thread that waits for its end; what was started ends as nothing can be read.
            raise OSError(errno.EAGAIN, str(error)) from error
        return cls(process, orders)

    async def said(self) -> AsyncGenerator[Said]:
        """Yield what it says, until it has ended, or says what nobody understands."""
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        lines = BufferedByteReceiveStream(self._process.stdout)
        with suppress(*_OVER):
            while True:
                yield decode(await lines.receive_until(b"\n", _LONGEST))

    async def tell(self, given: Command) -> None:
        """Give a command; one that has ended is told nothing."""
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._process.stdin.send(encode(given))

    async def ended(self) -> int:
        """Wait until it has ended, and return its exit code."""
        return await self._process.wait()

    def kill(self) -> None:
        """End it at once, with what it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def close(self) -> None:
        """Release what belongs to a process that has ended, or is to end now."""
        self.kill()
        with anyio.CancelScope(shield=True):
            await self._process.aclose()
