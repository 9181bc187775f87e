"""Calls an ASGI application in the caller's own task, with both bodies streamed.

The client library's own ASGI transport collects the whole answer before it hands it on; a result
file may have 200 MB.

Strategy: a coroutine can be driven by hand. Whenever the application sends a message it is
suspended and the message handed to the reader, who resumes it for the next one. So there are no
tasks and no buffers, and nothing outlives a response that is closed.
"""

import sqlite3
import types
from collections.abc import AsyncIterator, Coroutine, Generator
from typing import Any, NoReturn

import anyio
import httpx2
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Scope

from batchspec.simulator.faults.drops import DROP, Drop


class AppTransport(httpx2.AsyncBaseTransport):
    """An `httpx2` transport to an application in this process.

    The application must not keep a task group or a cancel scope open around a `send`; lifespan
    events are not sent.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        exchange = _Exchange(self._app, request)
        try:
            start = await exchange.next()
        except httpx2.TransportError as error:
            error.request = request
            raise
        except (OSError, sqlite3.Error) as error:
            # A server out of space would drop the connection.
            raise httpx2.ReadError(f"the embedded server: {error}", request=request) from error
        if start is None or start["type"] != "http.response.start":
            raise httpx2.RemoteProtocolError("The application sent no response.", request=request)
        return httpx2.Response(
            start["status"], headers=list(start.get("headers", [])), stream=exchange
        )


_DROPPED: dict[Drop, tuple[type[httpx2.TransportError], str]] = {
    "refuse": (httpx2.ConnectError, "connection refused"),
    "reset": (httpx2.ReadError, "connection reset by peer"),
    "close": (httpx2.RemoteProtocolError, "peer closed the connection in the middle of an answer"),
    "hang": (httpx2.ReadTimeout, "no answer came in time"),
    "kill": (httpx2.ReadError, "connection reset by peer"),
}


class _Closed(OSError):  # noqa: N818  tells the application that nobody reads on
    pass


class _Handed:
    """What a suspended `send` gives to the driver."""

    def __init__(self, message: Message) -> None:
        self.message = message

    @types.coroutine
    def hand_over(self) -> Generator[Any, Any, None]:
        yield self


class _Exchange(httpx2.AsyncByteStream):
    """One request and its answer; iterating reads the answer's body."""

    def __init__(self, app: ASGIApp, request: httpx2.Request) -> None:
        self._request = _chunks(request)
        self._received = False
        self._ended = False
        self._run: Coroutine[Any, Any, None] = self._call(app, _scope(request))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (message := await self.next()) is not None:
            if body := message.get("body", b""):
                yield body

    async def aclose(self) -> None:
        """Let the application end: by itself when it has sent everything, else by an exception."""
        with anyio.CancelScope(shield=True):
            while not self._ended:
                try:
                    await self.next(_Closed())
                except (_Closed, ClientDisconnect):
                    return

    async def next(self, error: Exception | None = None) -> Message | None:
        """Let the application run up to its next message; nothing once it has returned."""
        if self._ended:
            return None
        try:
            message = await _resume(self._run, error)
        except BaseException:
            self._ended = True
            raise
        self._ended = message is None
        if message is not None and message["type"] == DROP:
            await self._drop(message["kind"])
        return message

    async def _drop(self, kind: Drop) -> NoReturn:
        """Let the application end, and raise what a client would see on a socket."""
        while not self._ended:
            await self.next()
        kind_of_error, message = _DROPPED[kind]
        raise kind_of_error(message)

    async def _call(self, app: ASGIApp, scope: Scope) -> None:
        await app(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        if self._received:
            return {"type": "http.disconnect"}
        async for chunk in self._request:
            return {"type": "http.request", "body": chunk, "more_body": True}
        self._received = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message: Message) -> None:
        await _Handed(message).hand_over()


async def _chunks(request: httpx2.Request) -> AsyncIterator[bytes]:
    if not isinstance(request.stream, httpx2.AsyncByteStream):
        raise TypeError("The request's body must be readable asynchronously.")
    async for chunk in request.stream:
        yield chunk


@types.coroutine
def _resume(
    run: Coroutine[Any, Any, None], error: Exception | None
) -> Generator[Any, Any, Message | None]:
    """Pass on what the coroutine waits for, until it hands over a message or returns."""
    try:
        signal = run.send(None) if error is None else run.throw(error)
        while not isinstance(signal, _Handed):
            try:
                value = yield signal
            except BaseException as thrown:  # noqa: BLE001  a cancellation is the application's
                signal = run.throw(thrown)
            else:
                signal = run.send(value)
    except StopIteration:
        return None
    return signal.message


def _scope(request: httpx2.Request) -> Scope:
    return {
        "type": "http",
        # From 2.4 on a `send` that raises says that the reader is gone, and no task listens for it.
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": request.method,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": request.url.raw_path.split(b"?")[0],
        "query_string": request.url.query,
        "server": (request.url.host, request.url.port),
        "client": ("127.0.0.1", 0),
        "root_path": "",
    }
