"""The endpoints of batches, answering at once, and the list of models."""

from collections.abc import Callable, Iterator, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from batchspec.simulator.endpoints.chat import ChatCompletions
from batchspec.simulator.endpoints.models import MODELS
from batchspec.simulator.endpoints.port import Usage
from batchspec.simulator.endpoints.responses import Responses
from batchspec.simulator.http.reading import engine_of, read_body
from batchspec.simulator.jobs.engine import Engine
from batchspec.simulator.streams.chat import chat_stream
from batchspec.simulator.streams.responses import response_stream
from batchspec.simulator.wire import HTTPFailure, Json, dump

_STREAMS: Mapping[str, Callable[[Json, Json], Iterator[bytes]]] = {
    ChatCompletions.path: chat_stream,
    Responses.path: response_stream,
}
_REQUESTS, _TOKENS = 10_000, 2_000_000
"""Allowed in a minute, as headers say; nothing is refused for it."""


def routes(engine: Engine) -> list[Route]:
    return [
        *(Route(path, _respond, methods=["POST"]) for path in engine.endpoints),
        Route("/v1/models", _list_models, methods=["GET"]),
        Route("/v1/models/{model:path}", _retrieve_model, methods=["GET"]),
    ]


async def _respond(request: Request) -> Response:
    engine, body = engine_of(request), await read_body(request)
    reply = await engine.answering.respond(request.url.path, body, engine.clock())
    if reply.body is None:
        raise HTTPFailure(500, str((reply.error or {}).get("message")))
    headers = {**_rate_limits(reply.usage), **(reply.headers or {})}
    if body.get("stream") and reply.succeeded:
        return _EventStream(_STREAMS[request.url.path](body, reply.body), headers)
    content = dump(reply.body)
    return Response(content, reply.status, headers, media_type="application/json")


def _rate_limits(usage: Usage) -> dict[str, str]:
    """What an account may still do within this minute, if the call is the only one."""
    used = usage.input_tokens + usage.output_tokens
    return {
        "x-ratelimit-limit-requests": str(_REQUESTS),
        "x-ratelimit-limit-tokens": str(_TOKENS),
        "x-ratelimit-remaining-requests": str(_REQUESTS - 1),
        "x-ratelimit-remaining-tokens": str(max(0, _TOKENS - used)),
        "x-ratelimit-reset-requests": f"{60_000 // _REQUESTS}ms",
        "x-ratelimit-reset-tokens": f"{60_000 * min(used, _TOKENS) // _TOKENS}ms",
    }


class _EventStream(Response):
    """Events, each sent when the one before was taken."""

    media_type = "text/event-stream"

    def __init__(self, events: Iterator[bytes], headers: Mapping[str, str]) -> None:
        super().__init__(headers={"cache-control": "no-cache", **headers})
        del self.headers["content-length"]
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        _ = scope, receive
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        for told in self._events:
            await send({"type": "http.response.body", "body": told, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _list_models(request: Request) -> Response:
    engine = engine_of(request)
    if engine.rules.models is None and (reply := await engine.answering.models()) is not None:
        return JSONResponse(reply.body, reply.status)
    names = engine.rules.models or MODELS
    return JSONResponse({"object": "list", "data": [_model(name) for name in sorted(names)]})


def _retrieve_model(request: Request) -> Response:
    models, name = engine_of(request).rules.models, request.path_params["model"]
    if models is not None and name not in models:
        message = f"The model '{name}' does not exist"
        raise HTTPFailure(404, message, code="model_not_found", param="model")
    return JSONResponse(_model(name))


def _model(name: str) -> Json:
    return {"id": name, "object": "model", "created": 1_754_425_777, "owned_by": "system"}
