"""What `/v1/chat/completions` refuses with a 400 before a model sees the request."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import to_json

from batchspec.simulator.endpoints.strict import strict_violation
from batchspec.simulator.wire import (
    HTTPFailure,
    Json,
    check_bounds,
    invalid_type,
    invalid_value,
    is_array,
    is_object,
    missing_parameter,
    unknown_parameter,
)

_TEXT, _FLAG, _LIST, _OBJECT = (
    (str, "a string"), (bool, "a boolean"), (list, "an array"), (dict, "an object"),
)  # fmt: skip
_WHOLE, _NUMBER = (int, "an integer"), ((int, float), "a decimal")
_CHOICE = ((str, dict), "a string or an object")

PARAMETERS: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "audio": _OBJECT,
    "frequency_penalty": _NUMBER,
    "function_call": _CHOICE,
    "functions": _LIST,
    "logit_bias": _OBJECT,
    "logprobs": _FLAG,
    "max_completion_tokens": _WHOLE,
    "max_tokens": _WHOLE,
    "messages": _LIST,
    "metadata": _OBJECT,
    "modalities": _LIST,
    "model": _TEXT,
    "moderation": _OBJECT,
    "n": _WHOLE,
    "parallel_tool_calls": _FLAG,
    "prediction": _OBJECT,
    "presence_penalty": _NUMBER,
    "prompt_cache_key": _TEXT,
    "prompt_cache_options": _OBJECT,
    "prompt_cache_retention": _TEXT,
    "reasoning_effort": _TEXT,
    "response_format": _OBJECT,
    "safety_identifier": _TEXT,
    "seed": _WHOLE,
    "service_tier": _TEXT,
    "stop": ((str, list), "a string or an array"),
    "store": _FLAG,
    "stream": _FLAG,
    "stream_options": _OBJECT,
    "temperature": _NUMBER,
    "tool_choice": _CHOICE,
    "tools": _LIST,
    "top_logprobs": _WHOLE,
    "top_p": _NUMBER,
    "user": _TEXT,
    "verbosity": _TEXT,
    "web_search_options": _OBJECT,
}
_BOUNDS = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
    "n": (1, 128),
    "max_completion_tokens": (1, 10_000_000),
    "max_tokens": (1, 10_000_000),
}
_ROLES = ("system", "assistant", "user", "function", "tool", "developer")
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def check_request(body: Json) -> None:
    """Raise the failure the service would answer with."""
    for name, value in body.items():
        _check_parameter(name, value)
    for name in ("model", "messages"):
        if body.get(name) is None:
            raise missing_parameter(name)
    _check_messages(body["messages"])
    tools = body.get("tools")
    if tools is not None:
        _check_tools(tools)
    _check_tool_choice(body.get("tool_choice"), tools or ())
    if (response_format := body.get("response_format")) is not None:
        _check_response_format(response_format, body["messages"])


def _check_parameter(name: str, value: object) -> None:
    rule = PARAMETERS.get(name)
    if rule is None:
        raise unknown_parameter(name)
    if value is None:
        return
    kinds, expected = rule
    # A boolean is an int to Python, never to JSON.
    if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
        raise invalid_type(name, expected, value)
    if name in _BOUNDS and isinstance(value, int | float):
        check_bounds(name, value, *_BOUNDS[name])


def _check_messages(messages: Sequence[Any]) -> None:
    if not messages:
        message = (
            "Invalid 'messages': empty array. Expected an array with minimum length 1, "
            "but got an empty array instead."
        )
        raise HTTPFailure(400, message, code="empty_array", param="messages")
    awaited: list[str] = []
    for index, message in enumerate(messages):
        _check_message(message, f"messages[{index}]")
        if message["role"] == "tool":
            _check_tool_message(message, awaited, index)
            continue
        _check_all_answered(awaited)
        awaited = [call.get("id") for call in message.get("tool_calls") or ()]
    _check_all_answered(awaited)


def _check_message(message: object, param: str) -> None:
    if not is_object(message):
        raise invalid_type(param, "an object", message)
    role = message.get("role")
    if role is None:
        raise missing_parameter(f"{param}.role")
    if role not in _ROLES:
        raise invalid_value(f"{param}.role", role, _ROLES)
    content = message.get("content")
    if content is None and role != "assistant":
        raise invalid_type(f"{param}.content", "one of a string or array of objects", content)
    if content is not None and not isinstance(content, str | list):
        raise invalid_type(f"{param}.content", "one of a string or array of objects", content)
    calls = message.get("tool_calls")
    if calls is not None and not (is_array(calls) and all(is_object(call) for call in calls)):
        raise invalid_type(f"{param}.tool_calls", "an array of objects", calls)


def _check_tool_message(message: Json, awaited: list[str], index: int) -> None:
    if not awaited:
        text = (
            "Invalid parameter: messages with role 'tool' must be a response to a preceding "
            "message with 'tool_calls'."
        )
        raise HTTPFailure(400, text, param=f"messages.[{index}].role")
    if message.get("tool_call_id") in awaited:
        awaited.remove(message["tool_call_id"])


def _check_all_answered(awaited: Sequence[str]) -> None:
    if awaited:
        text = (
            "An assistant message with 'tool_calls' must be followed by tool messages responding "
            "to each 'tool_call_id'. The following tool_call_ids did not have response messages: "
            f"{', '.join(map(str, awaited))}"
        )
        raise HTTPFailure(400, text, param="messages")


def _check_tools(tools: Sequence[Any]) -> None:
    for index, tool in enumerate(tools):
        param = f"tools[{index}]"
        if not is_object(tool):
            raise invalid_type(param, "an object", tool)
        if tool.get("type") not in {"function", "custom"}:
            raise invalid_value(f"{param}.type", tool.get("type"), ("function", "custom"))
        if tool["type"] == "function":
            _check_function(tool.get("function"), f"{param}.function")


def _check_function(function: object, param: str) -> None:
    if not is_object(function):
        raise missing_parameter(param)
    name = function.get("name")
    if not isinstance(name, str):
        raise missing_parameter(f"{param}.name")
    if not _TOOL_NAME.fullmatch(name):
        message = (
            f"Invalid '{param}.name': string does not match pattern. "
            "Expected a string that matches the pattern '^[a-zA-Z0-9_-]{1,64}$'."
        )
        raise HTTPFailure(400, message, code="invalid_value", param=f"{param}.name")
    if function.get("strict"):
        violation = strict_violation(to_json(function.get("parameters")))
        if violation is not None:
            message = f"Invalid schema for function '{name}': {violation}"
            code = "invalid_function_parameters"
            raise HTTPFailure(400, message, code=code, param=f"{param}.parameters")


def _check_tool_choice(choice: object, tools: Sequence[Any]) -> None:
    if choice is None:
        return
    if isinstance(choice, str):
        supported = ("none", "auto", "required")
        if choice not in supported:
            raise invalid_value("tool_choice", choice, supported)
    if not tools and choice != "none":
        message = (
            "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are "
            "specified."
        )
        raise HTTPFailure(400, message, param="tool_choice")
    if is_object(choice) and choice.get("type") == "function":
        name = _function_name(choice)
        if all(_function_name(tool) != name for tool in tools):
            message = f"Tool choice '{name}' not found in 'tools' parameter."
            raise HTTPFailure(400, message, param="tool_choice")


def _function_name(holder: Json) -> object:
    function = holder.get("function")
    return function.get("name") if is_object(function) else None


def _check_response_format(response_format: Json, messages: Sequence[Any]) -> None:
    kind = response_format.get("type")
    if kind == "json_schema":
        _check_json_schema(response_format.get("json_schema"))
    elif kind == "json_object":
        if b"json" not in to_json(messages).lower():
            message = (
                "'messages' must contain the word 'json' in some form, to use 'response_format' "
                "of type 'json_object'."
            )
            raise HTTPFailure(400, message, param="messages")
    elif kind != "text":
        supported = ("json_object", "json_schema", "text")
        raise invalid_value("response_format.type", kind, supported)


def _check_json_schema(wrapper: object) -> None:
    param = "response_format.json_schema"
    if not is_object(wrapper):
        raise missing_parameter(param)
    for name in ("name", "schema"):
        if wrapper.get(name) is None:
            raise missing_parameter(f"{param}.{name}")
    if not _TOOL_NAME.fullmatch(str(wrapper["name"])):
        message = (
            f"Invalid '{param}.name': string does not match pattern. "
            "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
        )
        raise HTTPFailure(400, message, code="invalid_value", param=f"{param}.name")
    if wrapper.get("strict"):
        violation = strict_violation(to_json(wrapper["schema"]))
        if violation is not None:
            message = f"Invalid schema for response_format '{wrapper['name']}': {violation}"
            raise HTTPFailure(400, message, param="response_format")
