"""The shapes every part of the simulator shares: errors, ids, clocks and paces."""

import json
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from pydantic_core import PydanticSerializationError, to_json

_TYPE_NAMES: dict[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal",
    type(None): "null",
}

Json = dict[str, Any]
Clock = Callable[[], float]
"""Says the time in unix seconds; the only clock the simulator reads."""
MAX_BODY = 64 * 2**20
"""Bytes of a body in JSON; our own bound, the service's is not known."""


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a parsed JSON value is an object; tells the type checkers what follows from it."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def object_at(holder: Json, name: str) -> Json:
    """The object under a name; an empty one where there is none."""
    found: Json = holder.get(name) or {}
    return found


_BASE62 = string.digits + string.ascii_letters


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long a batch stays in each status, in seconds of the injected clock.

    Requests are answered evenly over `in_progress`; a batch that is not done when `window` has
    passed since its creation expires.
    """

    validating: float = 0.05
    in_progress: float = 0.1
    finalizing: float = 0.05
    cancelling: float = 0.05
    window: float = 86_400.0

    def times(self, factor: float) -> "Pace":
        """The same pace, slower by a factor; the completion window keeps its length."""
        return Pace(
            validating=self.validating * factor,
            in_progress=self.in_progress * factor,
            finalizing=self.finalizing * factor,
            cancelling=self.cancelling * factor,
            window=self.window,
        )


class HTTPFailure(Exception):  # noqa: N818  it is an answer of the service, not a mistake of ours
    """An HTTP error answer: of a whole call, or of one line of a batch."""

    def __init__(  # noqa: PLR0913  one argument per field of the error envelope
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str | None = None,
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.kind = kind or ("server_error" if status >= 500 else "invalid_request_error")
        self.extra = extra or {}
        self.headers = headers or {}

    @property
    def body(self) -> Json:
        """The error envelope of the service."""
        error = {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }
        return {"error": error, **self.extra}


def invalid_type(param: str, expected: str, value: object) -> HTTPFailure:
    got = _TYPE_NAMES.get(type(value), "an object")
    message = f"Invalid type for '{param}': expected {expected}, but got {got} instead."
    return HTTPFailure(400, message, code="invalid_type", param=param)


def invalid_value(param: str, value: object, supported: tuple[str, ...]) -> HTTPFailure:
    listed = ", ".join(f"'{name}'" for name in supported)
    message = f"Invalid value: '{value}'. Supported values are: {listed}."
    return HTTPFailure(400, message, code="invalid_value", param=param)


def missing_parameter(param: str) -> HTTPFailure:
    message = f"Missing required parameter: '{param}'."
    return HTTPFailure(400, message, code="missing_required_parameter", param=param)


def unknown_parameter(param: str) -> HTTPFailure:
    return HTTPFailure(400, f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)


def empty_array(param: str) -> HTTPFailure:
    message = (
        f"Invalid '{param}': empty array. Expected an array with minimum length 1, "
        "but got an empty array instead."
    )
    return HTTPFailure(400, message, code="empty_array", param=param)


def array_too_long(param: str, most: int, length: int) -> HTTPFailure:
    message = (
        f"Invalid '{param}': array too long. Expected an array with maximum length {most}, "
        f"but got an array with length {length} instead."
    )
    return HTTPFailure(400, message, code="array_above_max_length", param=param)


def check_bounds(
    param: str, value: float, low: float, high: float, *, kind: str = "integer"
) -> None:
    """Refuse a number out of bounds in the words of the service, as the `kind` it should be."""
    if value > high:
        side, bound, sign, word = "above", high, "<=", "maximum"
    elif value < low:
        side, bound, sign, word = "below", low, ">=", "minimum"
    else:
        return
    message = (
        f"Invalid '{param}': {kind} {side} {word} value. "
        f"Expected a value {sign} {bound}, but got {value} instead."
    )
    raise HTTPFailure(400, message, code=f"{kind}_{side}_{word[:3]}_value", param=param)


def mint_file_id() -> str:
    return "file-" + "".join(secrets.choice(_BASE62) for _ in range(22))


def mint_batch_id() -> str:
    return "batch_" + secrets.token_hex(16)


def mint_request_id() -> str:
    return "req_" + secrets.token_hex(16)


def dump(value: Json) -> bytes:
    """A JSON object as bytes; half a surrogate pair in a text is sent as the escape it came as."""
    try:
        return to_json(value)
    except PydanticSerializationError:
        return json.dumps(value, separators=(",", ":")).encode()


def page(data: list[Json], *, has_more: bool) -> Json:
    """A list answer; an empty one has null cursors."""
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {
        "object": "list",
        "data": data,
        "first_id": first,
        "last_id": last,
        "has_more": has_more,
    }
