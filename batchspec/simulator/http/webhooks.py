"""Webhook endpoints over HTTP, and what was delivered to them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from anyio import to_thread
from pydantic_core import to_json
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from batchspec.simulator.addresses import is_loopback, parse_url
from batchspec.simulator.http.access import Access, Guard
from batchspec.simulator.http.reading import engine_of, parse_limit, read_body
from batchspec.simulator.webhooks.courier import Courier, DeliveryError
from batchspec.simulator.webhooks.outbox import KEPT
from batchspec.simulator.webhooks.records import (
    EVENT_TYPES,
    KEEPS_OLD_SECRET,
    Delivery,
    EndpointRecord,
    event,
    mint_delivery_id,
    mint_endpoint_id,
)
from batchspec.simulator.webhooks.signing import mint_secret
from batchspec.simulator.wire import (
    HTTPFailure,
    Json,
    invalid_type,
    invalid_value,
    is_array,
    missing_parameter,
    page,
    unknown_parameter,
)

_FIELDS = ("event_types", "name", "url")
_PATH = "/v1/webhook_endpoints"


def routes(access: Access) -> list[Route]:
    """Return the service's own operations.

    A server would call any address it is told to, so whoever adds one needs what the
    administration needs.
    """
    guard = [Middleware(Guard, access=access)]
    one = _PATH + "/{endpoint_id}"
    return [
        Route(_PATH, _create, methods=["POST"], middleware=guard),
        Route(_PATH, _list, methods=["GET"], middleware=guard),
        Route(one, _retrieve, methods=["GET"], middleware=guard),
        Route(one, _update, methods=["POST"], middleware=guard),
        Route(one, _delete, methods=["DELETE"], middleware=guard),
        Route(one + "/rotate_secret", _rotate, methods=["POST"], middleware=guard),
        Route(one + "/test", _test, methods=["POST"], middleware=guard),
        Route("/v1/webhook_event_types", _list_types, methods=["GET"]),
    ]


def admin_routes() -> list[Route]:
    return [Route("/webhooks", _deliveries, methods=["GET"])]


# --- the operations


async def _create(request: Request) -> Response:
    body = await read_body(request)
    for name in _FIELDS:
        if body.get(name) is None:
            raise missing_parameter(name)
    _check(body)
    now, secret = engine_of(request).clock(), mint_secret()
    record = EndpointRecord(
        id=mint_endpoint_id(),
        name=body["name"],
        url=body["url"],
        event_types=tuple(dict.fromkeys(body["event_types"])),
        created_at=now,
        updated_at=now,
        secret=secret,
    )
    await to_thread.run_sync(_courier(request).outbox.put_endpoint, record)
    return _with_secret(record, secret)


def _list(request: Request) -> Response:
    courier, query = _courier(request), request.query_params
    limit = parse_limit(query.get("limit"), default=20, low=1, high=100)
    found = courier.outbox.list_endpoints(after=query.get("after"), limit=limit + 1)
    if found is None:
        raise _not_found(query["after"])
    data = [_wire(courier, record) for record in found[:limit]]
    return JSONResponse(page(data, has_more=len(found) > limit))


def _retrieve(request: Request) -> Response:
    return JSONResponse(_wire(_courier(request), _find(request)))


async def _update(request: Request) -> Response:
    body, courier = await read_body(request), _courier(request)
    _check(body)
    record = _find(request)
    given = {name: body[name] for name in _FIELDS if body.get(name) is not None}
    if "event_types" in given:
        given["event_types"] = tuple(dict.fromkeys(given["event_types"]))
    changed = replace(record, **given)
    if changed != record:
        changed = replace(changed, updated_at=engine_of(request).clock())
        await to_thread.run_sync(courier.outbox.put_endpoint, changed)
    return JSONResponse(_wire(courier, changed))


def _delete(request: Request) -> Response:
    record = _find(request)
    _courier(request).outbox.delete_endpoint(record.id)
    return JSONResponse({"id": record.id, "object": "webhook_endpoint.deleted", "deleted": True})


async def _rotate(request: Request) -> Response:
    body, courier = await read_body(request), _courier(request)
    name = "keep_old_secret_active_for_24_hours"
    _refuse_unknown(body, (name,))
    keep = body.get(name)
    if not isinstance(keep, bool | None):
        raise invalid_type(name, "a boolean", keep)
    record, secret = _find(request), mint_secret()
    now = engine_of(request).clock()
    old = record.secret or courier.configured.get(record.id)
    rotated = replace(
        record,
        secret=secret,
        updated_at=now,
        old_secret=old if keep else None,
        old_until=now + KEEPS_OLD_SECRET if keep else 0.0,
    )
    await to_thread.run_sync(courier.outbox.put_endpoint, rotated)
    return _with_secret(rotated, secret)


async def _test(request: Request) -> Response:
    body, record = await read_body(request), _find(request)
    _refuse_unknown(body, ("event_type",))
    kind = body.get("event_type")
    if kind is None:
        raise missing_parameter("event_type")
    _check_type("event_type", kind)
    now = engine_of(request).clock()
    sample = to_json(event(kind, f"{kind.split('.')[0]}_sample", now)).decode()
    delivery = Delivery(
        id=mint_delivery_id(),
        endpoint_id=record.id,
        type=kind,
        body=sample,
        happened_at=now,
        due_at=now,
    )
    try:
        status = await to_thread.run_sync(_courier(request).send, record, delivery)
    except DeliveryError as error:
        message = f"The webhook endpoint could not be reached: {error}."
        raise HTTPFailure(400, message, code="webhook_endpoint_unreachable") from error
    return JSONResponse(
        {
            "object": "webhook_endpoint.test",
            "webhook_endpoint_id": record.id,
            "event_type": kind,
            "success": True,
            "status_code": status,
        }
    )


def _list_types(_: Request) -> Response:
    return JSONResponse({"object": "list", "data": list(EVENT_TYPES)})


def _deliveries(request: Request) -> Response:
    outbox = _courier(request).outbox
    limit = parse_limit(request.query_params.get("limit"), default=100, low=0, high=KEPT)
    data = [delivery.to_wire() for delivery in outbox.last(limit)]
    return JSONResponse({"object": "list", "data": data})


# --- their parameters


def _check(body: Mapping[str, Any]) -> None:
    _refuse_unknown(body, _FIELDS)
    for name in ("name", "url"):
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            raise invalid_type(name, "a string", value)
        if not value.strip():
            raise HTTPFailure(400, f"Invalid '{name}': empty string.", param=name)
    if body.get("url") is not None:
        _check_url(body["url"])
    if body.get("event_types") is not None:
        _check_types(body["event_types"])


def _check_url(text: str) -> None:
    try:
        url = parse_url(text)
    except ValueError:
        url = None
    # The service wants HTTPS; a receiver that is tried out on this machine has none.
    if url is None or not (url.scheme == "https" or is_loopback(url.hostname or "")):
        message = "Invalid 'url': expected an HTTPS URL."
        raise HTTPFailure(400, message, code="invalid_value", param="url")


def _check_types(types: object) -> None:
    if not is_array(types):
        raise invalid_type("event_types", "an array", types)
    if not types:
        message = "Invalid 'event_types': empty array. Expected an array with minimum length 1."
        raise HTTPFailure(400, message, code="empty_array", param="event_types")
    for index, kind in enumerate(types):
        _check_type(f"event_types[{index}]", kind)


def _check_type(param: str, kind: object) -> None:
    if not isinstance(kind, str):
        raise invalid_type(param, "a string", kind)
    if kind not in EVENT_TYPES:
        raise invalid_value(param, kind, EVENT_TYPES)


def _refuse_unknown(body: Mapping[str, Any], known: tuple[str, ...]) -> None:
    unknown = next((name for name in body if name not in known), None)
    if unknown is not None:
        raise unknown_parameter(unknown)


# --- what they have in common


def _courier(request: Request) -> Courier:
    courier: Courier = request.app.state.courier
    return courier


def _find(request: Request) -> EndpointRecord:
    endpoint_id = request.path_params["endpoint_id"]
    record = _courier(request).outbox.endpoint(endpoint_id)
    if record is None:
        raise _not_found(endpoint_id)
    return record


def _not_found(endpoint_id: str) -> HTTPFailure:
    return HTTPFailure(404, f"No webhook endpoint found with id '{endpoint_id}'.")


def _wire(courier: Courier, record: EndpointRecord) -> Json:
    return record.to_wire(record.secret or courier.configured.get(record.id, ""))


def _with_secret(record: EndpointRecord, secret: str) -> Response:
    return JSONResponse({**record.to_wire(secret), "signing_secret": secret})
