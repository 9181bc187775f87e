"""What `/v1/responses` refuses with a 400 for its parameters."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import to_json

from batchspec.simulator.endpoints.fixed_settings import check_response_settings
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
    invalid_type,
    invalid_value,
    is_object,
    object_at,
)

_KINDS: Mapping[str, Kind] = {
    "background": FLAG,
    "context_management": LIST,
    "conversation": TEXT_OR_OBJECT,
    "include": LIST,
    "input": TEXT_OR_LIST,
    "instructions": TEXT,
    "max_output_tokens": WHOLE,
    "max_tool_calls": WHOLE,
    "metadata": OBJECT,
    "model": TEXT,
    "moderation": OBJECT,
    "parallel_tool_calls": FLAG,
    "previous_response_id": TEXT,
    "prompt": OBJECT,
    "prompt_cache_key": TEXT,
    "prompt_cache_options": OBJECT,
    "prompt_cache_retention": TEXT,
    "reasoning": OBJECT,
    "safety_identifier": TEXT,
    "service_tier": TEXT,
    "store": FLAG,
    "stream": FLAG,
    "stream_options": OBJECT,
    "temperature": NUMBER,
    "text": OBJECT,
    "tool_choice": TEXT_OR_OBJECT,
    "tools": LIST,
    "top_logprobs": WHOLE,
    "top_p": NUMBER,
    "truncation": TEXT,
    "user": TEXT,
}
_PARAMETERS = Parameters(
    kinds=_KINDS,
    # A stored prompt would bring both; in a batch the service asks for them all the same.
    required=("model", "input"),
    bounds={
        "max_output_tokens": (16, 10_000_000),
        "max_tool_calls": (1, 10_000),
        "temperature": (0, 2),
        "top_logprobs": (0, 20),
        "top_p": (0, 1),
    },
    unserved={
        "background": "it answers at once.",
        "context_management": "it compacts nothing.",
        "conversation": "it keeps no conversations; send the items, or 'previous_response_id'.",
        "moderation": "it moderates nothing.",
        "prompt": "it stores no prompts; send 'input' and 'instructions'.",
        "top_logprobs": "it computes no probabilities.",
    },
)
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_SUMMARIES = ("auto", "concise", "detailed")
_INCLUDABLE = (
    "file_search_call.results", "web_search_call.results", "web_search_call.action.sources",
    "message.input_image.image_url", "computer_call_output.output.image_url",
    "code_interpreter_call.outputs", "reasoning.encrypted_content", "message.output_text.logprobs",
)  # fmt: skip
_HOSTED = (
    "apply_patch", "code_interpreter", "computer", "computer_use_preview", "custom", "file_search",
    "image_generation", "local_shell", "mcp", "namespace", "shell", "tool_search", "web_search",
    "web_search_preview",
)  # fmt: skip


def check_parameters(body: Json) -> None:
    """Raise the failure the service would answer with; the input's items are judged elsewhere."""
    _PARAMETERS.check(body)
    check_stream_options(body)
    check_response_settings(body)
    _check_tools(body.get("tools") or ())
    _check_choice(body.get("tool_choice"), body.get("tools") or ())
    _check_one_of("truncation", body.get("truncation"), ("auto", "disabled"))
    reasoning = object_at(body, "reasoning")
    _check_one_of("reasoning.effort", reasoning.get("effort"), _EFFORTS)
    _check_one_of("reasoning.summary", reasoning.get("summary"), _SUMMARIES)
    for index, name in enumerate(body.get("include") or ()):
        _check_one_of(f"include[{index}]", name, _INCLUDABLE)
        if name == "message.output_text.logprobs":
            raise unserved(f"include[{index}]", "it computes no probabilities.")
    text = object_at(body, "text")
    _check_one_of("text.verbosity", text.get("verbosity"), ("low", "medium", "high"))
    if (text_format := text.get("format")) is not None:
        _check_format(text_format, body)


def _check_one_of(param: str, value: object, supported: tuple[str, ...]) -> None:
    if value is not None and value not in supported:
        raise invalid_value(param, value, supported)


def _check_tools(tools: Sequence[Any]) -> None:
    for index, tool in enumerate(tools):
        param = f"tools[{index}]"
        if not is_object(tool):
            raise invalid_type(param, "an object", tool)
        kind = tool.get("type")
        if kind in _HOSTED:
            raise unserved(f"{param}.type", f"it runs no tools of type '{kind}', only functions.")
        if kind != "function":
            raise invalid_value(f"{param}.type", kind, ("function", *_HOSTED))
        check_function(tool, param)


def _check_choice(choice: object, tools: Sequence[Any]) -> None:
    kind = choice.get("type") if is_object(choice) else "function"
    if kind not in {"function", "allowed_tools"}:
        raise unserved("tool_choice.type", "it calls functions only.")
    # The service accepts `auto` where there is nothing to choose.
    if choice != "auto":
        check_tool_choice(choice, [function_name(tool) for tool in tools])


def _check_format(text_format: object, body: Json) -> None:
    if not is_object(text_format):
        raise invalid_type("text.format", "an object", text_format)
    kind = text_format.get("type")
    _check_one_of("text.format.type", kind or "", ("json_schema", "json_object", "text"))
    if kind == "json_schema":
        violation = check_output_schema(text_format, "text.format")
        if violation is not None:
            code = "invalid_json_schema"
            raise HTTPFailure(400, violation, code=code, param="text.format.schema")
    elif kind == "json_object" and b"json" not in to_json(_words(body)).lower():
        message = (
            "Response input messages must contain the word 'json' in some form to use "
            "'text.format' of type 'json_object'."
        )
        raise HTTPFailure(400, message, param="input")


def _words(body: Json) -> list[object]:
    return [body.get("instructions"), body.get("input")]
