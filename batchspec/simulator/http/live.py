"""The endpoints of batches, answering at once, and the list of models."""

from anyio import to_thread
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from batchspec.simulator.endpoints.models import MODELS
from batchspec.simulator.http.reading import engine_of, read_body
from batchspec.simulator.jobs.engine import Engine
from batchspec.simulator.wire import HTTPFailure, Json


def routes(engine: Engine) -> list[Route]:
    return [
        *(Route(path, _respond, methods=["POST"]) for path in engine.endpoints),
        Route("/v1/models", _list_models, methods=["GET"]),
        Route("/v1/models/{model:path}", _retrieve_model, methods=["GET"]),
    ]


async def _respond(request: Request) -> Response:
    engine, body = engine_of(request), await read_body(request)
    if body.get("stream"):
        message = "The simulator does not stream."
        raise HTTPFailure(400, message, code="unsupported_value", param="stream")
    endpoint = engine.endpoints[request.url.path]
    now = engine.clock()
    reply = await to_thread.run_sync(endpoint.respond, body, None, now)
    if reply.body is None:
        raise HTTPFailure(500, str((reply.error or {}).get("message")))
    return Response(to_json(reply.body), reply.status, media_type="application/json")


def _list_models(request: Request) -> Response:
    names = engine_of(request).rules.models or MODELS
    return JSONResponse({"object": "list", "data": [_model(name) for name in sorted(names)]})


def _retrieve_model(request: Request) -> Response:
    models, name = engine_of(request).rules.models, request.path_params["model"]
    if models is not None and name not in models:
        message = f"The model '{name}' does not exist"
        raise HTTPFailure(404, message, code="model_not_found", param="model")
    return JSONResponse(_model(name))


def _model(name: str) -> Json:
    return {"id": name, "object": "model", "created": 1_754_425_777, "owned_by": "system"}
