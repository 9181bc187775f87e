"""Where answers come from: the port, and what a source may hand back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from batchspec.simulator.endpoints import Usage
from batchspec.simulator.wire import Json

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call the model asks for; `arguments` is JSON text, which a fault may break."""

    id: str
    name: str
    arguments: str

    def to_wire(self) -> Json:
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.id, "type": "function", "function": function}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An assistant's message; without a usage the tokens are estimated."""

    content: str | None = None
    refusal: str | None = None
    tool_calls: Sequence[ToolCall] = ()
    finish_reason: FinishReason | None = None
    """Nothing means what follows from the message: `tool_calls` or `stop`."""
    usage: Usage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A recorded line's `response` and `error`, to be sent again as they are."""

    response: Mapping[str, Any] | None = None
    error: Json | None = None


class Model(Protocol):
    """A source of answers.

    The caller passes a request body that the service has accepted, and the line's custom_id (none
    for a live request). The implementer must not change the body, must be safe to call from
    several threads, and raises `HTTPFailure` for an HTTP error. It is not promised that a line is
    asked for once only: after a crash the lines of an uncommitted chunk are asked for again.
    """

    def answer(self, body: Json, custom_id: str | None) -> Answer | Replay: ...
