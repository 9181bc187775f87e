"""What `/v1/chat/completions` refuses with a 400 before a model sees the request."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import to_json

from batchspec.simulator.endpoints.fixed_settings import check_settings
from batchspec.simulator.endpoints.parameters import (
    FLAG,
    LIST,
    NUMBER,
    OBJECT,
    TEXT,
    TEXT_OR_LIST,
    TEXT_OR_OBJECT,
    WHOLE,
    Kind,
    Parameters,
    check_stream_options,
    unserved,
)
from batchspec.simulator.endpoints.tools import (
    check_function,
    check_output_schema,
    check_tool_choice,
    function_name,
)
from batchspec.simulator.wire import (
    HTTPFailure,
    Json,
    array_too_long,
    empty_array,
    invalid_type,
    invalid_value,
    is_array,
    is_object,
    missing_parameter,
)

_KINDS: Mapping[str, Kind] = {
    "audio": OBJECT,
    "frequency_penalty": NUMBER,
    "function_call": TEXT_OR_OBJECT,
    "functions": LIST,
    "logit_bias": OBJECT,
    "logprobs": FLAG,
    "max_completion_tokens": WHOLE,
    "max_tokens": WHOLE,
    "messages": LIST,
    "metadata": OBJECT,
    "modalities": LIST,
    "model": TEXT,
    "moderation": OBJECT,
    "n": WHOLE,
    "parallel_tool_calls": FLAG,
    "prediction": OBJECT,
    "presence_penalty": NUMBER,
    "prompt_cache_key": TEXT,
    "prompt_cache_options": OBJECT,
    "prompt_cache_retention": TEXT,
    "reasoning_effort": TEXT,
    "response_format": OBJECT,
    "safety_identifier": TEXT,
    "seed": WHOLE,
    "service_tier": TEXT,
    "stop": TEXT_OR_LIST,
    "store": FLAG,
    "stream": FLAG,
    "stream_options": OBJECT,
    "temperature": NUMBER,
    "tool_choice": TEXT_OR_OBJECT,
    "tools": LIST,
    "top_logprobs": WHOLE,
    "top_p": NUMBER,
    "user": TEXT,
    "verbosity": TEXT,
    "web_search_options": OBJECT,
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
_UNSERVED = {
    "audio": "it has no voice.",
    "function_call": "it is deprecated; use 'tool_choice'.",
    "functions": "they are deprecated; use 'tools'.",
    "logprobs": "it computes no probabilities.",
    "top_logprobs": "it computes no probabilities.",
    "web_search_options": "it searches nothing.",
}
_PARAMETERS = Parameters(
    kinds=_KINDS, required=("model", "messages"), bounds=_BOUNDS, unserved=_UNSERVED
)
_ROLES = ("system", "assistant", "user", "function", "tool", "developer")
_MODALITIES = (None, ["text"])
_MAX_STOPS = 4


def check_request(body: Json) -> None:
    """Raise the failure the service would answer with."""
    _PARAMETERS.check(body)
    check_stream_options(body)
    check_settings(body)
    _check_messages(body["messages"])
    tools = body.get("tools")
    if tools is not None:
        _check_tools(tools)
    choice = body.get("tool_choice")
    if choice is not None:
        check_tool_choice(choice, [function_name(tool) for tool in tools or ()])
    if (response_format := body.get("response_format")) is not None:
        _check_response_format(response_format, body["messages"])
    if stop := body.get("stop"):
        _check_stop(stop)
    if body.get("modalities") not in _MODALITIES:
        raise unserved("modalities", "it answers with text only.")


def _check_stop(stop: str | Sequence[object]) -> None:
    if isinstance(stop, str):
        return
    if len(stop) > _MAX_STOPS:
        raise array_too_long("stop", _MAX_STOPS, len(stop))
    for index, sequence in enumerate(stop):
        if not isinstance(sequence, str):
            raise invalid_type(f"stop[{index}]", "a string", sequence)


def _check_messages(messages: Sequence[Any]) -> None:
    if not messages:
        raise empty_array("messages")
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
        if tool.get("type") == "custom":
            raise unserved(f"{param}.type", "it calls no custom tools.")
        if tool.get("type") != "function":
            raise invalid_value(f"{param}.type", tool.get("type"), ("function", "custom"))
        check_function(tool.get("function"), f"{param}.function")


def _check_response_format(response_format: Json, messages: Sequence[Any]) -> None:
    kind = response_format.get("type")
    if kind == "json_schema":
        schema = response_format.get("json_schema")
        violation = check_output_schema(schema, "response_format.json_schema")
        if violation is not None:
            raise HTTPFailure(400, violation, param="response_format")
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
