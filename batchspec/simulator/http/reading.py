"""Reading calls: bodies, parameters, and the engine they are for."""

import re
from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, from_json
from starlette.requests import Request

from batchspec.simulator.jobs.engine import Engine
from batchspec.simulator.wire import (
    MAX_BODY,
    HTTPFailure,
    Json,
    check_bounds,
    invalid_type,
    invalid_value,
    is_object,
)
from batchspec.spec.suggest import did_you_mean

_JSON = "application/json"
_ORDERS = ("asc", "desc")


def engine_of(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


async def read_body(request: Request) -> Json:
    """The JSON object a call carries."""
    content = await _read(request)
    kind = request.headers.get("content-type", _JSON)
    if kind.partition(";")[0].strip().lower() != _JSON:
        message = (
            f"Unsupported content type: '{kind}'. This API method only accepts '{_JSON}' requests, "
            f"but you specified the header 'Content-Type: {kind}'. Please try again with a "
            "supported content type."
        )
        raise HTTPFailure(415, message, code="unsupported_content_type")
    try:
        body = from_json(content, allow_inf_nan=False)
    except ValueError as error:
        message = "We could not parse the JSON body of your request."
        raise HTTPFailure(400, message) from error
    if not is_object(body):
        message = "We expected a JSON object as the body of your request."
        raise HTTPFailure(400, message)
    return body


async def _read(request: Request) -> bytes:
    """The body as it came, to its end also if it is too large: who still sends hears no answer."""
    content, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= MAX_BODY:
            content += chunk
    if size > MAX_BODY:
        message = f"The request body is too large: {size} bytes, where {MAX_BODY} are the most."
        raise HTTPFailure(413, message, code="request_too_large")
    return bytes(content)


Body = TypeVar("Body", bound=BaseModel)


async def read_model(request: Request, model: type[Body]) -> Body:
    """The body of a call that is ours and not the service's; all that is wrong with it is told."""
    try:
        return model.model_validate(await read_body(request))
    except ValidationError as error:
        problems = [_problem(found, model) for found in error.errors(include_url=False)]
        raise HTTPFailure(
            400,
            " ".join(map(_sentence, problems)),
            code="invalid_value",
            param=problems[0]["param"],
            extra={"problems": problems},
        ) from error


def _problem(found: ErrorDetails, model: type[BaseModel]) -> dict[str, str | None]:
    message = found["msg"].removeprefix("Value error, ").rstrip(".") + "."
    if found["type"] == "extra_forbidden" and len(found["loc"]) == 1:
        known = [info.alias or name for name, info in model.model_fields.items()]
        message = f"There is no such key. {did_you_mean(str(found['loc'][0]), known)}"
    return {"param": ".".join(map(str, found["loc"])) or None, "message": message}


def _sentence(problem: Mapping[str, str | None]) -> str:
    param, message = problem["param"], problem["message"]
    return f"'{param}': {message}" if param else str(message)


def parse_count(param: str, text: str | None) -> int:
    """A number of things, none when nobody says any."""
    return 0 if text is None else _integer(param, text)


def parse_limit(text: str | None, *, default: int, low: int, high: int) -> int:
    if text is None:
        return default
    limit = _integer("limit", text)
    check_bounds("limit", limit, low, high)
    return limit


def parse_order(text: str | None) -> str:
    """The order of a list, newest first when nobody says otherwise."""
    order = text or "desc"
    if order not in _ORDERS:
        raise invalid_value("order", order, _ORDERS)
    return order


def parse_lifetime(param: str, seconds: object) -> int:
    """An expiry in seconds, within the bounds of the service."""
    if isinstance(seconds, str):
        value = _integer(param, seconds)
    elif isinstance(seconds, int) and not isinstance(seconds, bool):
        value = seconds
    else:
        raise invalid_type(param, "an integer", seconds)
    check_bounds(param, value, 3_600, 2_592_000)
    return value


def _integer(param: str, text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        message = f"Invalid type for '{param}': expected an integer, but got a string instead."
        raise HTTPFailure(400, message, code="invalid_type", param=param)
    return int(text)
