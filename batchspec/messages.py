"""Words everyone uses: the provider-neutral request and reply of one turn.

Values that exist once per row are named tuples: they cost a third of a frozen dataclass to make.

The neutral form of a message has the shape of a chat message (`role`, `content`, `tool_calls`,
`tool_call_id`), because every provider can be reached from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict, TypeGuard, cast

from batchspec.fingerprint import canonical_json

Role = Literal["system", "user", "assistant", "tool"]
JsonObject = dict[str, Any]


class FunctionCall(TypedDict):
    """The function a model wants called; `arguments` is JSON text and may be invalid."""

    name: str
    arguments: str


class ToolCallPart(TypedDict):
    """A tool call inside an assistant message."""

    id: str
    type: Literal["function"]
    function: FunctionCall


class Message(TypedDict):
    """One message of a conversation, in the neutral (chat) form."""

    role: Role
    content: str | list[Any] | None
    tool_calls: NotRequired[list[ToolCallPart]]
    tool_call_id: NotRequired[str]
    refusal: NotRequired[str]


@dataclass(frozen=True, slots=True)
class ToolContract:
    """What the model is told of a tool; `parameters` is a JSON schema of an object."""

    name: str
    description: str
    parameters: JsonObject
    strict: bool = True


@dataclass(frozen=True, slots=True)
class OutputContract:
    """The JSON schema the provider is asked to enforce (native mode)."""

    name: str
    schema: JsonObject
    description: str | None = None
    strict: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """All of a request but its messages: what every row of a job shares.

    `settings` are body parameters in the provider's own names (`temperature`, `max_tokens`, …).
    With `json_mode` the provider is asked for JSON of any shape. `later_tool_choice` takes the
    place of a `tool_choice` that demands a call in every turn but the first; None: `auto`.
    `triggers` tell equal requests apart, and are never sent.
    """

    provider: str
    endpoint: str
    model: str
    tools: tuple[ToolContract, ...] = ()
    output: OutputContract | None = None
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    json_mode: bool = False
    later_tool_choice: Any = None
    triggers: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def at(self, turn: int) -> "Contract":
        """Return the contract as it is sent in a turn, from 1.

        A demand to call a tool holds for the first turn: in every turn, it would have the model
        call tools for ever.
        """
        choice = self.settings.get("tool_choice")
        if turn == 1 or not _demands(choice):
            return self
        later = self.later_tool_choice or _undemanding(choice)
        return replace(self, settings={**self.settings, "tool_choice": later})

    def to_json(self) -> JsonObject:
        """Return the contract as a JSON object; this is what fingerprints see."""
        # What is off is left out, so that requests from before it was there stay what they are.
        optional: JsonObject = {"json_mode": True} if self.json_mode else {}
        if self.later_tool_choice is not None:
            optional["later_tool_choice"] = self.later_tool_choice
        if self.triggers:
            optional["triggers"] = dict(self.triggers)
        return optional | {
            "provider": self.provider,
            "endpoint": self.endpoint,
            "model": self.model,
            "tools": [
                {
                    "name": t.name,
                    "description": t.description,
                    "parameters": t.parameters,
                    "strict": t.strict,
                }
                for t in self.tools
            ],
            "output": None
            if self.output is None
            else {
                "name": self.output.name,
                "schema": self.output.schema,
                "description": self.output.description,
                "strict": self.output.strict,
            },
            "settings": dict(self.settings),
        }

    def canonical(self) -> bytes:
        """Return the canonical JSON of the contract."""
        return canonical_json(self.to_json())

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Contract":
        """Read back what `to_json` wrote."""
        output = data["output"]
        return cls(
            provider=data["provider"],
            endpoint=data["endpoint"],
            model=data["model"],
            tools=tuple(ToolContract(**tool) for tool in data["tools"]),
            output=None if output is None else OutputContract(**output),
            settings=data["settings"],
            json_mode=data.get("json_mode", False),
            later_tool_choice=data.get("later_tool_choice"),
            triggers=data.get("triggers", {}),
        )


def _demands(choice: object) -> TypeGuard[str | JsonObject]:
    """Tell whether a `tool_choice`, in the form of chats, leaves the model no other way."""
    if isinstance(choice, dict):
        allowed = cast("JsonObject", choice).get("allowed_tools")
        if isinstance(allowed, dict):
            return cast("JsonObject", allowed).get("mode") == "required"
        return True
    return choice == "required"


def _undemanding(choice: str | JsonObject) -> str | JsonObject:
    """Return a choice that lets the model answer; where tools were chosen among, still those."""
    if isinstance(choice, dict) and "allowed_tools" in choice:
        return {**choice, "allowed_tools": {**choice["allowed_tools"], "mode": "auto"}}
    return "auto"


class ToolCall(NamedTuple):
    """A call the model asks for; `arguments` is JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


class Usage(NamedTuple):
    """Tokens of one reply. Input includes the cached ones, output the reasoning."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0


FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "unknown"]


class Reply(NamedTuple):
    """What the model answered in one turn."""

    text: str | None
    finish: FinishReason = "stop"
    refusal: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage()
    model: str | None = None


LineErrorKind = Literal["rejected", "retryable", "never_ran", "unreadable", "lost"]
"""rejected: permanent, with the provider's message · retryable: ran and failed in passing ·
never_ran: expired or cancelled before it ran, free · unreadable: ran, but there is no answer ·
lost: may have run and been billed, and the provider does not have the answer any more."""


@dataclass(frozen=True, slots=True)
class LineError:
    """Why a line holds no reply."""

    kind: LineErrorKind
    code: str
    message: str


class Line(NamedTuple):
    """One line of a result file, judged alone; `custom_id` is None where it cannot be read."""

    custom_id: str | None
    result: Reply | LineError


Outcome = Literal[
    "succeeded",
    "failed",
    "refused",
    "truncated",
    "filtered",
    "exhausted",
    "cancelled",
    "expired",
    "lost",
]
"""How an item ended. filtered: by the provider's content filter · exhausted: `max_turns` · lost:
the provider does not have the batch or its results any more."""
