"""Reading calls: bodies, parameters, and the engine they are for."""

import re

from pydantic_core import from_json
from starlette.requests import Request

from batchspec.simulator.jobs.engine import Engine
from batchspec.simulator.wire import HTTPFailure, Json, check_bounds, is_object


def engine_of(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


async def read_body(request: Request) -> Json:
    """The JSON object a call carries."""
    try:
        body = from_json(await request.body())
    except ValueError as error:
        message = "We could not parse the JSON body of your request."
        raise HTTPFailure(400, message) from error
    if not is_object(body):
        message = "We expected a JSON object as the body of your request."
        raise HTTPFailure(400, message)
    return body


def parse_limit(text: str | None, *, default: int, low: int, high: int) -> int:
    if text is None:
        return default
    limit = _integer("limit", text)
    check_bounds("limit", limit, low, high)
    return limit


def parse_lifetime(param: str, seconds: object) -> int:
    """An expiry in seconds, within the bounds of the service."""
    value = _integer(param, str(seconds))
    check_bounds(param, value, 3_600, 2_592_000)
    return value


def _integer(param: str, text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        message = f"Invalid type for '{param}': expected an integer, but got a string instead."
        raise HTTPFailure(400, message, code="invalid_type", param=param)
    return int(text)
