"""Connections to the watcher's HTTP server: few, short, and no burden to its work.

uvicorn bounds neither how many there are nor how long a request may take to come; its
`limit_concurrency` refuses the newest one, which is that of a health check.
"""

import asyncio  # noqa: TID251 - uvicorn is made of it
import errno
import socket
from collections.abc import Callable, Mapping
from typing import Any, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from batchspec.watch.serving import Limits

_QUEUE = 1_024
"""Connections that wait in the kernel."""
_AT_ONCE = 4
"""Connections that are taken before what those before them sent is read."""
_SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_UNANSWERED = (h11.IDLE, h11.SEND_RESPONSE)
"""States of a connection in which no answer has begun."""
_TOLD_AGAIN = 60.0
"""Seconds after which it is told again that a connection could not be taken."""
_TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Connection(H11Protocol):
    """Speaks HTTP with one client, and gives up when that takes too long."""

    def __init__(self, limits: Limits, **given: Any) -> None:
        super().__init__(**given)
        self._limits = limits
        self._over: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Take a new connection, in the place of the one that has waited longest if need be."""
        super().connection_made(transport)
        self._wait()
        if len(self.connections) > self._limits.connections:
            min(cast("set[Connection]", self.connections), key=Connection.until).give_up()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let it go."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Give the client as long again to read the answer and to send the next request."""
        super().on_response_complete()
        self._wait()

    def until(self) -> float:
        """Return when it is given up, by the loop's clock."""
        return self._over.when() if self._over is not None else 0.0

    def give_up(self) -> None:
        """Close it at once, with a word where no answer has begun."""
        self._stop_waiting()
        self.connections.discard(self)
        if not self.transport.is_closing() and self.conn.our_state in _UNANSWERED:
            self.transport.write(_TIMED_OUT)
        self.transport.abort()

    def _wait(self) -> None:
        self._stop_waiting()
        self._over = self.loop.call_later(self._limits.seconds, self.give_up)

    def _stop_waiting(self) -> None:
        if self._over is not None:
            self._over.cancel()


class Server(uvicorn.Server):
    """Serves until it is told to stop, and soon has stopped then.

    Args:
        config: Of uvicorn.
        limits: What clients may take.
        warn: Is told that connections cannot be taken; in the server's thread.
    """

    def __init__(self, config: uvicorn.Config, limits: Limits, warn: Callable[[str], None]) -> None:
        super().__init__(config)
        self._limits, self._warn = limits, warn
        self._told = float("-inf")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        asyncio.get_running_loop().set_exception_handler(self._complain)
        await super().startup(sockets)
        for one in sockets or ():
            one.listen(_QUEUE)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let open requests end, for a moment."""
        loop = asyncio.get_running_loop()
        for one in cast("set[Connection]", self.server_state.connections):
            loop.call_later(self._limits.stopping, one.give_up)
        await super().shutdown(sockets)

    def _complain(self, loop: asyncio.AbstractEventLoop, said: Mapping[str, Any]) -> None:
        """Say in a sentence what asyncio would with a traceback, for each client and second."""
        error = said.get("exception")
        if not isinstance(error, OSError) or error.errno not in _SHORT:
            loop.default_exception_handler(dict(said))
        elif loop.time() - self._told > _TOLD_AGAIN:
            self._told = loop.time()
            self._warn(f"A connection could not be taken: {error.strerror}. It is tried again.")


def config(app: Any, limits: Limits) -> uvicorn.Config:
    """Return uvicorn's configuration for an application."""

    def connection(**given: Any) -> Connection:
        return Connection(limits, **given)

    return uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", connection),
        ws="none",
        log_level="error",
        access_log=False,
        server_header=False,
        backlog=_AT_ONCE,
        # Nothing is left by then; it is there so that no bug keeps the process.
        timeout_graceful_shutdown=int(limits.stopping) + 1,
    )
