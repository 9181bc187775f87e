"""What an endpoint must bring so that batches of its requests can be run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from batchspec.simulator.wire import Json


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one request: an HTTP answer, or none and the reason."""

    status: int
    body: Json | None
    usage: Usage = Usage()
    error: Json | None = None
    """The `error` of the line when there is no HTTP answer."""
    headers: Mapping[str, str] | None = None
    """What a live answer says besides; lines have no headers."""

    @property
    def succeeded(self) -> bool:
        return 200 <= self.status < 300


class Endpoint(Protocol):
    """One URL whose requests can be put in a batch."""

    @property
    def path(self) -> str: ...

    @property
    def label(self) -> str:
        """How messages of the service name the endpoint."""
        ...

    @property
    def required(self) -> tuple[str, ...]:
        """Fields every body must have besides `model`."""
        ...

    @property
    def max_inputs(self) -> int | None:
        """How many inputs all lines of a batch may have; nothing where each has one."""
        ...

    def count_inputs(self, body: Json) -> int:
        """Count the inputs of a request; must stand any JSON."""
        ...

    def respond(self, body: Json, custom_id: str | None, now: float, /) -> Reply:
        """Answer one request; never raises for what the request contains."""
        ...

    def count_tokens(self, body: Json) -> int:
        """Estimate the tokens of a request's prompt; must stand any JSON."""
        ...
