"""Neutral messages as items of `/v1/responses`, and what a model said as items to be sent back.

Facts: OpenAI's API reference and the types of its SDK. An item that has a `type` is the endpoint's
own already; messages in the neutral form have none.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic_core import to_json

from batchspec.messages import JsonObject, ToolCall
from batchspec.providers.openai.lines import is_array, is_object

_CONVERTED = (b'"content":[', b'"tool_calls":', b'"role":"tool"', b'"refusal":')
"""What canonical JSON of messages holds that are no items as they stand; in a JSON text the
quotation marks would be escaped."""


def stands(messages_json: bytes) -> bool:
    """Tell, fast, that messages are items as they stand, which most are."""
    return not any(mark in messages_json for mark in _CONVERTED)


def to_items(messages: Iterable[Mapping[str, Any]]) -> list[JsonObject]:
    """Return messages as input items; items among them stay as they are."""
    items: list[JsonObject] = []
    for message in messages:
        if "type" in message:
            items.append(dict(message))
        elif message["role"] == "tool":
            output = _content(message.get("content"))
            items.append(tool_output(str(message.get("tool_call_id")), output))
        else:
            items += _message(message)
    return items


def tool_output(call: str, output: Any) -> JsonObject:
    """Return the item that answers a call."""
    return {"type": "function_call_output", "call_id": call, "output": output}


def _message(message: Mapping[str, Any]) -> list[JsonObject]:
    role, content = message["role"], message.get("content")
    items: list[JsonObject] = []
    if role == "assistant":
        content = _spoken(content, message.get("refusal"))
    if content is not None:
        items.append({"role": role, "content": _content(content)})
    for call in message.get("tool_calls") or ():
        function = call["function"]
        items.append(
            {
                "type": "function_call",
                "call_id": call["id"],
                "name": function["name"],
                "arguments": function["arguments"],
            }
        )
    return items


def _spoken(content: Any, refusal: str | None) -> str | None:
    """Return what an assistant said as one text: parts of it would need ids we do not have."""
    texts = content if is_array(content) else [content]
    said = [_text(part) for part in (*texts, refusal) if part is not None]
    return "".join(said) if said else None


def _text(part: Any) -> str:
    if is_object(part):
        part = part.get("text") or part.get("refusal") or ""
    return str(part)


def _content(content: Any) -> Any:
    if not is_array(content):
        return "" if content is None else content
    return [_part(part) for part in content]


def _part(part: Any) -> Any:
    """Return a part of a message; one that is unknown here may be the endpoint's own."""
    match part:
        case {"type": "text", "text": text, **more}:
            return {"type": "input_text", "text": text} | more
        case {"type": "image_url", "image_url": {"url": url, **more}}:
            return {"type": "input_image", "image_url": url, "detail": "auto"} | more
        case {"type": "file", "file": {**file}}:
            return {"type": "input_file"} | file
        case _:
            return part


def said(output: Sequence[Any]) -> list[JsonObject]:
    """Return the output items of a reply as they are sent back: as they came.

    Thoughts at the end, which nothing follows, are left out: the service refuses them.
    """
    items = [_sent_back(item) for item in output if is_object(item)]
    while items and items[-1].get("type") == "reasoning":
        items.pop()
    return items


def _sent_back(item: JsonObject) -> JsonObject:
    """Return an item as it came, but for what the service would refuse to read again."""
    if item.get("type") != "function_call":
        return item
    call = function_call(item)
    return {**item, "call_id": call.id, "name": call.name, "arguments": call.arguments}


def function_call(item: Mapping[str, Any]) -> ToolCall:
    """Return the call of a function."""
    arguments = item.get("arguments")
    text = arguments if isinstance(arguments, str) else to_json(arguments or {}).decode()
    return ToolCall(str(item["call_id"]), str(item["name"]), text)
