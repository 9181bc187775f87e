"""The input items of `/v1/responses`: what is refused, and how they read as chat messages."""

from collections.abc import Mapping, Sequence
from typing import Any

from batchspec.simulator.endpoints.item_ids import encrypted_content, origin_of
from batchspec.simulator.wire import (
    HTTPFailure,
    Json,
    invalid_type,
    invalid_value,
    is_array,
    is_object,
    missing_parameter,
)

_ROLES = ("assistant", "system", "developer", "user")
_CONTENT = ("input_text", "input_image", "input_file", "output_text", "refusal")
_TYPES = ("message", "function_call", "function_call_output", "reasoning", "item_reference")
_TEXTS = ("call_id", "name", "arguments", "id")
_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "message": ("role", "content"),
    "function_call": ("call_id", "name", "arguments"),
    "function_call_output": ("call_id", "output"),
    "reasoning": ("summary",),
    "item_reference": ("id",),
}


def items_of(value: object) -> list[Json]:
    """The items an input stands for, each checked alone."""
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}]
    if not is_array(value):
        raise invalid_type("input", "a string or an array", value)
    for index, item in enumerate(value):
        _check_item(item, f"input[{index}]")
    return value


def _check_item(item: object, param: str) -> None:
    if not is_object(item):
        raise invalid_type(param, "an object", item)
    kind = type_of(item)
    if kind not in _TYPES:
        raise invalid_value(param, kind, _TYPES)
    for name in _REQUIRED[kind]:
        if item.get(name) is None:
            raise missing_parameter(f"{param}.{name}")
    for name in _TEXTS:
        if item.get(name) is not None and not isinstance(item[name], str):
            raise invalid_type(f"{param}.{name}", "a string", item[name])
    _check_parts(kind, item, param)


def _check_parts(kind: str, item: Json, param: str) -> None:
    if kind == "message":
        if item["role"] not in _ROLES:
            raise invalid_value(f"{param}.role", item["role"], _ROLES)
        _check_content(item["content"], f"{param}.content")
    elif kind == "function_call_output":
        _check_content(item["output"], f"{param}.output")
    elif kind == "reasoning" and not is_array(item["summary"]):
        raise invalid_type(f"{param}.summary", "an array of objects", item["summary"])


def _check_content(content: object, param: str) -> None:
    if isinstance(content, str):
        return
    if not is_array(content):
        raise invalid_type(param, "one of an array of objects or string", content)
    for index, part in enumerate(content):
        if not is_object(part):
            raise invalid_type(f"{param}[{index}]", "an object", part)
        if part.get("type") not in _CONTENT:
            raise invalid_value(f"{param}[{index}].type", part.get("type"), _CONTENT)


def type_of(item: Json) -> str:
    """An item's type; a message may leave it out."""
    return str(item.get("type") or "message")


def check_conversation(items: Sequence[Json]) -> None:
    """Refuse calls without outputs, outputs without calls, and items without their reasoning."""
    called = [item["call_id"] for item in items if type_of(item) == "function_call"]
    answered = [item["call_id"] for item in items if type_of(item) == "function_call_output"]
    for call_id in answered:
        if call_id not in called:
            raise _refused(f"No tool call found for function call output with call_id {call_id}.")
    for call_id in called:
        if call_id not in answered:
            raise _refused(f"No tool output found for function call {call_id}.")
    present: set[object] = {item.get("id") for item in items}
    for index, item in enumerate(items):
        if type_of(item) == "reasoning":
            _check_reasoning(item, items[index + 1 : index + 2])
        else:
            _check_has_reasoning(item, present)


def _check_has_reasoning(item: Json, present: set[object]) -> None:
    origin = origin_of(item.get("id"))
    if origin is not None and origin.reasoned and origin.reasoning_id not in present:
        raise _refused(
            f"Item '{item['id']}' of type '{type_of(item)}' was provided without its required "
            f"'reasoning' item: '{origin.reasoning_id}'."
        )


def _check_reasoning(item: Json, following: Sequence[Json]) -> None:
    identity, origin = item.get("id"), origin_of(item.get("id"))
    sealed = item.get("encrypted_content")
    if not sealed and (origin is None or not origin.stored):
        raise item_not_found(identity)
    if origin is None:
        return
    if sealed and sealed != encrypted_content(str(identity)):
        message = (
            f"The encrypted content for item {identity} could not be verified. "
            "Reason: Encrypted content could not be decrypted or parsed."
        )
        raise HTTPFailure(400, message, code="invalid_encrypted_content")
    if not following or type_of(following[0]) == "reasoning" or _is_prompt(following[0]):
        raise _refused(
            f"Item '{identity}' of type 'reasoning' was provided without its required following "
            "item."
        )


def _is_prompt(item: Json) -> bool:
    return type_of(item) == "function_call_output" or item.get("role") in {"user", "system"}


def item_not_found(identity: object) -> HTTPFailure:
    message = (
        f"Item with id '{identity}' not found. Items are not persisted when `store` is set to "
        "false. Try again with `store` set to true, or remove this item from your input."
    )
    return HTTPFailure(404, message, param="input")


def _refused(message: str) -> HTTPFailure:
    return HTTPFailure(400, message, param="input")


def to_messages(items: Sequence[Json]) -> list[Json]:
    """The items as messages: calls beside each other, and the text before them, are one."""
    messages: list[Json] = []
    for item in items:
        match type_of(item):
            case "function_call":
                _add_call(messages, item)
            case "function_call_output":
                content = _content(item["output"])
                answer = {"role": "tool", "tool_call_id": item["call_id"], "content": content}
                messages.append(answer)
            case "message":
                messages.append(_message(item))
            case _:
                # Thoughts are sealed, and references were resolved before.
                continue
    return messages


def _add_call(messages: list[Json], item: Json) -> None:
    function = {"name": item["name"], "arguments": item["arguments"]}
    call = {"id": item["call_id"], "type": "function", "function": function}
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    messages[-1].setdefault("tool_calls", []).append(call)


def _message(item: Json) -> Json:
    return {"role": item["role"], "content": _content(item["content"])}


def _content(content: str | Sequence[Json]) -> object:
    if isinstance(content, str):
        return content
    if len(content) == 1 and (text := _text(content[0])) is not None:
        return text
    return [_part(part) for part in content]


def _text(part: Json) -> str | None:
    text: Any = part.get("text") if part.get("type") != "refusal" else part.get("refusal")
    return text if isinstance(text, str) else None


def _part(part: Json) -> Json:
    if (text := _text(part)) is not None:
        return {"type": "text", "text": text}
    if part.get("type") == "input_image":
        return {"type": "image_url", "image_url": {"url": part.get("image_url")}}
    return {"type": "file", "file": {key: item for key, item in part.items() if key != "type"}}
