"""Calls of tools in messages of a prompt function: what no provider takes and no wire reads."""

from collections.abc import Iterator, Mapping
from typing import Any

from batchspec.spec.shapes import is_list, is_mapping

_CALL = '{"id": "…", "type": "function", "function": {"name": "…", "arguments": "{}"}}'


def call_problems(message: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the calls of a message, or with the call it answers.

    Args:
        message: Whose role is known to be one.
    """
    role, calls = message["role"], message.get("tool_calls")
    answers, refusal = message.get("tool_call_id"), message.get("refusal")
    if calls is not None and role != "assistant":
        yield f"`tool_calls` are of messages of the assistant; this one is of the {role}."
    if calls is not None and not is_list(calls):
        yield f"`tool_calls` is a list of calls such as {_CALL}; got {calls!r:.80}."
    elif calls is not None:
        for call in calls:
            yield from _call_problems(call)
    if answers is None and role == "tool":
        yield "A message of the tool names the call it answers: set `tool_call_id`."
    if answers is not None and not _is_text(answers):
        yield f"`tool_call_id` is the id of the call it answers, a text; got {answers!r:.80}."
    if refusal is not None and not isinstance(refusal, str):
        yield f"`refusal` is a text; got {refusal!r:.80}."


def _call_problems(call: Any) -> Iterator[str]:
    function = call.get("function") if is_mapping(call) else None
    if not is_mapping(call) or not is_mapping(function):
        yield f"A call in `tool_calls` is a dict such as {_CALL}; got {call!r:.80}."
        return
    if call.get("type", "function") != "function":
        yield f'The type of a call in `tool_calls` is "function"; got {call["type"]!r:.80}.'
    if not _is_text(call.get("id")):
        yield f"The id of a call in `tool_calls` is a text; got {call.get('id')!r:.80}."
    if not _is_text(function.get("name")):
        yield f"The name of a called function is a text; got {function.get('name')!r:.80}."
    if not isinstance(function.get("arguments"), str):
        yield (
            "The arguments of a called function are JSON as text, see `json.dumps`; got"
            f" {function.get('arguments')!r:.80}."
        )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)
