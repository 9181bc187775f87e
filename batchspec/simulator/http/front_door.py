"""The way in: who has a key, and what the service writes on every answer."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batchspec.simulator.wire import Clock, HTTPFailure, mint_request_id

_VERSION = "2020-10-01"
"""Of the service's interface; the same for years."""


class Marking:
    """Writes the headers of the service on every answer of an application."""

    def __init__(self, app: ASGIApp, *, clock: Clock) -> None:
        self.app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = self._clock()

        async def mark(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = mint_request_id()
                if _is_ours(scope):
                    headers["openai-version"] = _VERSION
                    headers["openai-organization"] = "org-simulated"
                    elapsed = max(0.0, self._clock() - began)
                    headers["openai-processing-ms"] = f"{elapsed * 1000:.0f}"
            await send(message)

        await self.app(scope, receive, mark)


class KeyCheck:
    """Lets calls under `/v1` through that have a key: any key, as nothing here costs money."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        admitted = not _is_ours(scope) or _has_key(scope)
        await (self.app if admitted else _refusal())(scope, receive, send)


def _is_ours(scope: Scope) -> bool:
    return scope["type"] == "http" and str(scope["path"]).startswith("/v1/")


def _has_key(scope: Scope) -> bool:
    kind, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
    return kind.lower() == "bearer" and bool(key.strip())


def _refusal() -> ASGIApp:
    message = (
        "You didn't provide an API key. You need to provide your API key in an Authorization "
        "header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
    )
    return JSONResponse(HTTPFailure(401, message).body, 401)
