"""What requests and replies say, in the form of the conventions for generative AI; opt-in.

The conventions want structured values as JSON text where spans cannot hold them otherwise. Images
and files are told by their kind only: they are large, and are no text.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

from pydantic_core import from_json, to_json

from batchspec.messages import Reply
from batchspec.ports import Exchange

VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""That of OpenTelemetry's own instrumentations."""
_ON = {"true", "span_only", "span_and_event"}
_OFF = {"", "false", "no_content"}
_FINISH = {"tool_calls": "tool_call", "unknown": "stop"}


def wanted(variables: Mapping[str, str], warn: Callable[[str], None]) -> bool:
    """Tell whether contents are to be told.

    Args:
        variables: The environment.
        warn: Is told a value that asks for something else.
    """
    value = variables.get(VARIABLE, "").lower()
    if value not in _ON | _OFF:
        warn(
            f"{VARIABLE} is {value!r}: contents of requests and replies are told on spans only; "
            "set it to span_only for that."
        )
    return value in _ON


def asked(said: Exchange) -> dict[str, Any]:
    """Return the attributes that tell a request."""
    messages: list[dict[str, Any]] = from_json(said.messages)
    return {"gen_ai.input.messages": to_json([_message(one) for one in messages]).decode()}


def answered(reply: Reply) -> dict[str, Any]:
    """Return the attributes that tell a reply."""
    finish = _FINISH.get(reply.finish, reply.finish)
    told = reply.text if reply.text is not None else reply.refusal
    parts = [] if told is None else [_text(told)]
    parts += [_call(call.id, call.name, call.arguments) for call in reply.tool_calls]
    message = {"role": "assistant", "parts": parts, "finish_reason": finish}
    model = {} if reply.model is None else {"gen_ai.response.model": reply.model}
    return {
        **model,
        "gen_ai.output.messages": to_json([message]).decode(),
        "gen_ai.response.finish_reasons": (reply.finish,),
        "gen_ai.usage.input_tokens": reply.usage.input_tokens,
        "gen_ai.usage.output_tokens": reply.usage.output_tokens,
    }


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message of a chat, or an item of a response."""
    kind, role = message.get("type"), message.get("role")
    if kind == "function_call":
        call = _call(message["call_id"], message["name"], message["arguments"])
        return {"role": "assistant", "parts": [call]}
    if kind == "function_call_output":
        return {"role": "tool", "parts": [_result(message["call_id"], message["output"])]}
    if role is None:
        return {"role": "assistant", "parts": [{"type": str(kind)}]}
    content = message.get("content")
    if role == "tool":
        return {"role": role, "parts": [_result(message["tool_call_id"], content)]}
    parts = [_text(content)] if isinstance(content, str) else [_part(one) for one in content or ()]
    if refused := message.get("refusal"):
        parts.append(_text(refused))
    calls = [(call["id"], call["function"]) for call in message.get("tool_calls") or ()]
    parts += [_call(identity, of["name"], of["arguments"]) for identity, of in calls]
    return {"role": role, "parts": parts}


def _part(part: Any) -> dict[str, Any]:
    if isinstance(part, str):
        return _text(part)
    given = cast("Mapping[str, Any]", part)
    text = given.get("text")
    return _text(text) if isinstance(text, str) else {"type": str(given.get("type"))}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "content": text}


def _call(identity: str, name: str, arguments: str) -> dict[str, Any]:
    return {"type": "tool_call", "id": identity, "name": name, "arguments": _value(arguments)}


def _result(identity: str, result: Any) -> dict[str, Any]:
    return {"type": "tool_call_response", "id": identity, "response": result}


def _value(text: str) -> Any:
    """Return JSON as a value; what is none stays text."""
    try:
        return from_json(text)
    except ValueError:
        return text
