"""The Batches operations over HTTP."""

from collections.abc import Mapping
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from batchspec.simulator.faults import life
from batchspec.simulator.http.files import cannot_find
from batchspec.simulator.http.reading import (
    engine_of,
    parse_lifetime,
    parse_limit,
    read_body,
)
from batchspec.simulator.jobs.engine import Engine
from batchspec.simulator.jobs.records import BatchRecord
from batchspec.simulator.wire import (
    HTTPFailure,
    Json,
    invalid_type,
    invalid_value,
    is_object,
    mint_batch_id,
    mint_file_id,
    missing_parameter,
    page,
    unknown_parameter,
)

_REQUIRED = ("input_file_id", "endpoint", "completion_window")
_KNOWN = frozenset({*_REQUIRED, "metadata", "output_expires_after"})
_ENDPOINTS = (
    "/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/completions",
    "/v1/moderations", "/v1/images/generations", "/v1/images/edits", "/v1/videos",
)  # fmt: skip
"""What the service accepts; the simulator serves some of them."""
_WINDOWS = ("24h",)
_ANCHORS = ("created_at",)


def routes() -> list[Route]:
    return [
        Route("/v1/batches", _create, methods=["POST"]),
        Route("/v1/batches", _list, methods=["GET"]),
        Route("/v1/batches/{batch_id}", _retrieve, methods=["GET"]),
        Route("/v1/batches/{batch_id}/cancel", _cancel, methods=["POST"]),
    ]


async def _create(request: Request) -> Response:
    body = await read_body(request)
    batch = await to_thread.run_sync(_create_batch, engine_of(request), body)
    return JSONResponse(batch.to_wire())


def _create_batch(engine: Engine, body: Json) -> BatchRecord:
    """Accept a batch; whether its file is any good is for validation to say."""
    _check_fields(body, tuple(engine.endpoints))
    now = engine.clock()
    batch = BatchRecord(
        id=mint_batch_id(),
        endpoint=body["endpoint"],
        input_file_id=body["input_file_id"],
        completion_window=body["completion_window"],
        metadata=_metadata(body.get("metadata")),
        output_expires_after=_output_expiry(body.get("output_expires_after")),
        created_at=now,
        expires_at=now + engine.rules.pace.window,
        output_file_id=mint_file_id(),
        error_file_id=mint_file_id(),
    )
    file = engine.database.file(batch.input_file_id, now)
    if file is not None and file.hidden_from_create and file.hidden_until > now:
        raise cannot_find(file.id)
    return engine.add_batch(batch)


def _check_fields(body: Mapping[str, Any], endpoints: tuple[str, ...]) -> None:
    for name in _REQUIRED:
        if body.get(name) is None:
            raise missing_parameter(name)
        if not isinstance(body[name], str):
            raise invalid_type(name, "a string", body[name])
    unknown = next((name for name in body if name not in _KNOWN), None)
    if unknown is not None:
        raise unknown_parameter(unknown)
    for name, supported in (("endpoint", _ENDPOINTS), ("completion_window", _WINDOWS)):
        if body[name] not in supported:
            raise invalid_value(name, body[name], supported)
    if body["endpoint"] not in endpoints:
        message = (
            f"The simulator runs no batches of '{body['endpoint']}', although the service does. "
            f"It serves {', '.join(endpoints)}."
        )
        raise HTTPFailure(400, message, code="unsupported_value", param="endpoint")


def _metadata(metadata: object) -> dict[str, str] | None:
    if metadata is None:
        return None
    if not is_object(metadata):
        raise invalid_type("metadata", "an object", metadata)
    if len(metadata) > 16:
        message = (
            "Invalid 'metadata': too many properties. Expected an object with at most 16 "
            f"properties, but got an object with {len(metadata)} properties instead."
        )
        raise HTTPFailure(400, message, code="object_above_max_properties", param="metadata")
    for key, value in metadata.items():
        _check_pair(key, value)
    return metadata


def _check_pair(key: str, value: object) -> None:
    param = f"metadata.{key}"
    if not isinstance(value, str):
        raise invalid_type(param, "a string", value)
    if len(key) > 64:
        message = (
            "Invalid property name in 'metadata': string too long. Expected a string with maximum "
            f"length 64, but got a string with length {len(key)} instead."
        )
        raise HTTPFailure(400, message, code="property_name_above_max_length", param="metadata")
    if len(value) > 512:
        message = (
            f"Invalid '{param}': string too long. Expected a string with maximum length 512, "
            f"but got a string with length {len(value)} instead."
        )
        raise HTTPFailure(400, message, code="string_above_max_length", param=param)


def _output_expiry(expiry: object) -> int | None:
    if expiry is None:
        return None
    if not is_object(expiry):
        raise invalid_type("output_expires_after", "an object", expiry)
    for name in ("anchor", "seconds"):
        if expiry.get(name) is None:
            raise missing_parameter(f"output_expires_after.{name}")
    if expiry["anchor"] not in _ANCHORS:
        raise invalid_value("output_expires_after.anchor", expiry["anchor"], _ANCHORS)
    param, seconds = "output_expires_after.seconds", expiry["seconds"]
    if isinstance(seconds, str):  # numbers in forms are texts, those in JSON are not
        raise invalid_type(param, "an integer", seconds)
    return parse_lifetime(param, seconds)


def _list(request: Request) -> Response:
    engine, query = engine_of(request), request.query_params
    limit = parse_limit(query.get("limit"), default=20, low=0, high=100)
    batches = engine.database.list_batches(
        after=query.get("after"), limit=limit + 1, now=engine.clock()
    )
    if batches is None:
        raise _not_found(query["after"])
    data = [life.show(engine.faults, batch) for batch in batches[:limit]]
    return JSONResponse(page(data, has_more=len(batches) > limit))


def _retrieve(request: Request) -> Response:
    batch_id = request.path_params["batch_id"]
    engine = engine_of(request)
    batch = engine.database.batch(batch_id)
    if batch is None:
        raise _not_found(batch_id)
    return JSONResponse(life.show(engine.faults, batch))


def _cancel(request: Request) -> Response:
    engine, batch_id = engine_of(request), request.path_params["batch_id"]
    batch = engine.cancel(batch_id, engine.clock())
    if batch is None:
        raise _not_found(batch_id)
    if batch.terminal and batch.status != "cancelled":
        raise HTTPFailure(409, f"Cannot cancel a batch with status '{batch.status}'.")
    return JSONResponse(batch.to_wire())


def _not_found(batch_id: str) -> HTTPFailure:
    return HTTPFailure(404, f"No batch found with id '{batch_id}'.")
