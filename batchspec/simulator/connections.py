"""Connections of the server process, which a fault can break as a network does."""

import os
import signal
import socket
import struct
from contextlib import suppress
from functools import partial
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from batchspec.simulator.faults.drops import DROP, Drop

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""`SO_LINGER` with no time to linger."""


class DroppingProtocol(H11Protocol):
    """Speaks HTTP, and ends its connection when the application sends a drop."""

    def connection_made(self, transport: Any) -> None:
        """Take a new connection."""
        super().connection_made(transport)
        app: Any = partial(self._run, self.app)
        self.app = app

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, unless its answer has begun; the application hears no more."""
        cycle: Any = self.cycle
        if cycle is None or not cycle.response_started or cycle.response_complete:
            super().send_400_response(msg)
        else:
            self.transport.close()
        if cycle is not None:
            cycle.disconnected = True
            cycle.message_event.set()

    async def _run(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_or_drop(message: Message) -> None:
            if message["type"] != DROP:
                await send(message)
                return
            self._drop(message["kind"])
            while (await receive())["type"] != "http.disconnect":
                pass

        # Who has hung up wants no answer.
        with suppress(ClientDisconnect):
            await app(scope, receive, send_or_drop)

    def _drop(self, kind: Drop) -> None:
        match kind:
            case "refuse" | "reset":
                connection: socket.socket = self.transport.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                self.transport.abort()
            case "close":
                self.transport.close()
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                pass
