"""Where answers come from: the port, and what a source may hand back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from batchspec.simulator.endpoints.port import Usage
from batchspec.simulator.wire import Json

EMBEDDINGS = "/v1/embeddings"
"""The endpoint that is answered with vectors."""


class Question(NamedTuple):
    """One request, for whoever answers it. Nobody may change what it holds."""

    endpoint: str
    """The path, as `/v1/chat/completions`."""
    body: Json
    """What was sent."""
    chat: Json
    """The same in the words of chat completions (`messages`, `tools`, `response_format` and so on),
    so that a source need not know every endpoint; for chat completions the body itself."""
    custom_id: str | None = None
    """Of the line; none for a live request."""
    choice: int = 0
    """Which of several choices (`n`) is asked for."""


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
    reasoning: str | None = None
    """A summary of the model's thoughts, for endpoints that show it."""
    error: Json | None = None
    """The `code` and `message` of a generation that failed: `/v1/responses` tells it inside a 200,
    other endpoints answer 500."""
    vectors: Sequence[Sequence[float]] | None = None
    """The embeddings of the inputs, in their order; for `/v1/embeddings` only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A recorded line's `response` and `error`, to be sent again as they are."""

    response: Mapping[str, Any] | None = None
    error: Json | None = None


class Model(Protocol):
    """A source of answers.

    The caller passes a request that the service has accepted. The implementer must be safe to call
    from several threads, and raises `HTTPFailure` for an HTTP error. It is not promised that a
    line is asked for once only: after a crash the lines of an uncommitted chunk are asked for
    again.
    """

    def answer(self, question: Question) -> Answer | Replay: ...
