"""Parameters of a body against a table: names, types and bounds, in the words of the service."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from batchspec.simulator.wire import (
    HTTPFailure,
    Json,
    check_bounds,
    invalid_type,
    missing_parameter,
    unknown_parameter,
)

Kind = tuple[type | tuple[type, ...], str]
"""The Python types of a parameter, and what messages call them."""

TEXT, FLAG, LIST, OBJECT = (
    (str, "a string"), (bool, "a boolean"), (list, "an array"), (dict, "an object"),
)  # fmt: skip
WHOLE, NUMBER = (int, "an integer"), ((int, float), "a decimal")
TEXT_OR_LIST = ((str, list), "a string or an array")
TEXT_OR_OBJECT = ((str, dict), "a string or an object")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What an endpoint's bodies may hold."""

    kinds: Mapping[str, Kind]
    required: Collection[str]
    bounds: Mapping[str, tuple[float, float]] = field(
        default_factory=dict[str, tuple[float, float]]
    )
    unserved: Mapping[str, str] = field(default_factory=dict[str, str])
    """Parameters of the service that are refused here when they are set, each with the reason."""

    def check(self, body: Json) -> None:
        """Raise the failure the service would answer with."""
        for name, value in body.items():
            self._check(name, value)
        for name in self.required:
            if body.get(name) is None:
                raise missing_parameter(name)

    def _check(self, name: str, value: object) -> None:
        kind = self.kinds.get(name)
        if kind is None:
            raise unknown_parameter(name)
        if value is None:
            return
        types, expected = kind
        # A boolean is an int to Python, never to JSON.
        if not isinstance(value, types) or (isinstance(value, bool) and types is not bool):
            raise invalid_type(name, expected, value)
        if name in self.bounds and isinstance(value, int | float):
            number = "decimal" if kind is NUMBER else "integer"
            check_bounds(name, value, *self.bounds[name], kind=number)
        if name in self.unserved and value:
            raise unserved(name, self.unserved[name])


def check_stream_options(body: Json) -> None:
    """Refuse settings of a stream where there is none."""
    if body.get("stream_options") is not None and not body.get("stream"):
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise HTTPFailure(400, message, param="stream_options")


def unserved(param: str, reason: str) -> HTTPFailure:
    """An honest refusal of what the service can do and the simulator cannot."""
    message = f"The simulator does not support '{param}': {reason}"
    return HTTPFailure(400, message, code="unsupported_parameter", param=param)
