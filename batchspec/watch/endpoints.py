"""What a watcher serves over HTTP: health, metrics, and webhooks that wake it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from batchspec.ids import RemoteId
from batchspec.providers.openai.webhooks import WebhookInvalidError, batch_of

_LARGEST = 1 << 20
"""Bytes of a webhook; those of batches have less than a thousand."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that has to be well."""

    name: str
    ok: bool
    message: str = ""


Heard = Literal["accepted", "ignored", "refused"]
"""`ignored`: its signature is right, and it is about no batch."""
Checks = Callable[[], Sequence[Check]]


def app(  # noqa: PLR0913 - one keyword per thing that is served
    *,
    live: Checks,
    ready: Checks,
    metrics: Callable[[], tuple[bytes, str]] | None,
    secrets: Mapping[str, str],
    look_at: Callable[[RemoteId], None],
    heard: Callable[[str, Heard], None] = lambda _provider, _result: None,
) -> Starlette:
    """Return the application.

    Args:
        live: What has to be well, or the process is to be started anew.
        ready: What has to be well for work to be done.
        metrics: Renders metrics with their media type; None: there are none.
        secrets: Of webhooks, by the provider that sends them.
        look_at: Has a batch looked at before its time.
        heard: Is told what became of each webhook.
    """

    async def hear(request: Request) -> Response:
        provider = request.path_params["provider"]
        secret = secrets.get(provider)
        if secret is None:
            return PlainTextResponse("There is no secret for webhooks of this provider.\n", 404)
        try:
            body = await _body(request)
        except ClientDisconnect:
            return Response(status_code=400)  # Nothing was said, and nobody hears an answer.
        if body is None:
            heard(provider, "refused")
            return PlainTextResponse("The body is too large.\n", 413)
        try:
            batch = batch_of(secret, body, request.headers)
        except WebhookInvalidError:
            heard(provider, "refused")
            return PlainTextResponse("The signature is not right.\n", 400)
        heard(provider, "ignored" if batch is None else "accepted")
        if batch is not None:
            look_at(batch)
        return Response(status_code=204)

    return Starlette(
        routes=[
            Route("/livez", _checking(live)),
            Route("/readyz", _checking(ready)),
            Route("/metrics", _serving(metrics)),
            Route("/webhooks/{provider}", hear, methods=["POST"]),
        ]
    )


def _serving(metrics: Callable[[], tuple[bytes, str]] | None) -> Callable[[Request], object]:
    async def serve(_request: Request) -> Response:
        if metrics is None:
            text = "Metrics need prometheus-client: pip install 'batchspec[metrics]'.\n"
            return PlainTextResponse(text, 501)
        body, kind = metrics()
        return Response(body, media_type=kind)

    return serve


def _checking(checks: Checks) -> Callable[[Request], object]:
    async def check(_request: Request) -> Response:
        found = checks()
        well = all(one.ok for one in found)
        told = {one.name: {"ok": one.ok, "message": one.message} for one in found}
        return JSONResponse({"ok": well, "checks": told}, 200 if well else 503)

    return check


async def _body(request: Request) -> bytes | None:
    """Return the body; None where it is too large."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST:
            return None
    return body
