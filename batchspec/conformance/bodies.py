"""What is asked of a model, for each endpoint, as cheaply as possible."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

Json = dict[str, Any]


def is_object(value: object) -> TypeGuard[Json]:
    """Tell whether a JSON value is an object."""
    return isinstance(value, dict)


_MOST_TOKENS = 1_024
"""Bounds what an answer may cost; models that reason need room before they write."""
_QUESTION = "Answer with the single word: yes"
_COLOUR: Json = {
    "type": "object",
    "properties": {"colour": {"type": "string"}},
    "required": ["colour"],
    "additionalProperties": False,
}
_TOOL: Json = {
    "name": "note_colour",
    "description": "Note a colour.",
    "parameters": _COLOUR,
    "strict": True,
}
_TOOL_QUESTION = "Note the colour red."
_SCHEMA: Json = {"name": "colour", "schema": _COLOUR, "strict": True}


@dataclass(frozen=True, slots=True)
class Dialect:
    """The requests of one endpoint, and how their answers are read.

    Attributes:
        plain: A request that any model answers.
        input: The field that holds what the model is asked.
        refused: Fields that make a request well-formed and unacceptable: it costs nothing.
        text: Reads the answer to `plain`, or raises.
        tool: A request that must be answered with a call of a tool; None where there are none.
        call: Reads (name, arguments as JSON text) of such an answer, or raises.
        schema: A request whose answer must fit a JSON schema; None where there are none.
        tokens: Names of the input and output tokens in `usage`; None where there is no output.
    """

    endpoint: str
    plain: Json
    input: str
    refused: Json
    text: Callable[[Json], object]
    tokens: tuple[str, str | None]
    tool: Json | None = None
    call: Callable[[Json], tuple[str, str]] | None = None
    schema: Json | None = None


def _chat(question: str, **more: object) -> Json:
    messages = [{"role": "user", "content": question}]
    return {"messages": messages, "max_completion_tokens": _MOST_TOKENS, **more}


def _chat_text(body: Json) -> object:
    message = body["choices"][0]["message"]
    if message["role"] != "assistant":
        raise ValueError(f"the role is {message['role']!r}")
    return message["content"]


def _chat_call(body: Json) -> tuple[str, str]:
    choice = body["choices"][0]
    function = choice["message"]["tool_calls"][0]["function"]
    return function["name"], function["arguments"]


def _response(question: str, **more: object) -> Json:
    return {"input": question, "max_output_tokens": _MOST_TOKENS, "store": False, **more}


def _output(body: Json, kind: str) -> Json:
    item: Json = next(item for item in body["output"] if item["type"] == kind)
    return item


def _response_text(body: Json) -> object:
    return _output(body, "message")["content"][0]["text"]


def _response_call(body: Json) -> tuple[str, str]:
    call = _output(body, "function_call")
    return call["name"], call["arguments"]


def _embedding(body: Json) -> object:
    numbers = body["data"][0]["embedding"]
    return [float(number) for number in numbers]


DIALECTS: Mapping[str, Dialect] = {
    dialect.endpoint: dialect
    for dialect in (
        Dialect(
            endpoint="/v1/chat/completions",
            plain=_chat(_QUESTION),
            input="messages",
            refused={"temperature": 5},
            text=_chat_text,
            tokens=("prompt_tokens", "completion_tokens"),
            tool=_chat(
                _TOOL_QUESTION,
                tools=[{"type": "function", "function": _TOOL}],
                tool_choice="required",
            ),
            call=_chat_call,
            schema=_chat(
                "Name a colour.",
                response_format={"type": "json_schema", "json_schema": _SCHEMA},
            ),
        ),
        Dialect(
            endpoint="/v1/responses",
            plain=_response(_QUESTION),
            input="input",
            refused={"temperature": 5},
            text=_response_text,
            tokens=("input_tokens", "output_tokens"),
            tool=_response(
                _TOOL_QUESTION, tools=[{"type": "function", **_TOOL}], tool_choice="required"
            ),
            call=_response_call,
            schema=_response("Name a colour.", text={"format": {"type": "json_schema", **_SCHEMA}}),
        ),
        Dialect(
            endpoint="/v1/embeddings",
            plain={"input": "yes"},
            input="input",
            refused={"encoding_format": "words"},
            text=_embedding,
            tokens=("prompt_tokens", None),
        ),
    )
}
