"""Model settings of an agent as settings of a job.

They are read from the body that Pydantic AI would send, so that what a model's profile leaves out
or renames is left out and renamed here too. Those that never reach a body are told.
"""

from collections.abc import Mapping
from typing import Any, cast

from pydantic_ai.models.openai import OpenAIResponsesModel

from batchspec.messages import JsonObject
from batchspec.spec.agents.found import Findings
from batchspec.spec.agents.probe import Seen
from batchspec.spec.settings import Settings

LOCAL: Mapping[str, str] = {
    "timeout": "A batch has its completion window instead",
    "request_timeout": "A batch has its completion window instead",
    "first_event_timeout": "A batch does not stream",
    "max_retries": "`retries` of batchspec.toml says how often a request is repeated",
    "openai_continuous_usage_stats": "A batch does not stream",
    "openai_include_raw_annotations": "The raw reply is in the state",
    "openai_include_unmapped_response_data": "The raw reply is in the state",
    "openai_include_code_execution_outputs": "Native tools are not carried over",
    "openai_include_web_search_sources": "Native tools are not carried over",
    "openai_include_file_search_results": "Native tools are not carried over",
    "openai_transport": "A batch is a file",
    "framing_announcement": "batchspec adds no system message in the middle of a conversation",
    "openai_prompt_cache_diagnostics": "The raw reply is in the state",
}
"""Settings that change nothing of what a batch asks for, and why."""
REFUSED: Mapping[str, str] = {
    "extra_headers": "the lines of a batch have no headers",
    "openai_background": "a batch runs in the background by nature",
    "openai_native_tools": "tools that the provider runs are not carried over",
    "openai_previous_response_id": "each turn of a batch is sent with its whole conversation",
    "openai_conversation_id": "each turn of a batch is sent with its whole conversation",
    "openai_context_management": "each turn of a batch is sent with its whole conversation",
    "openai_send_reasoning_ids": "reasoning items go back as they came",
    "openai_cache_instructions": "marks for the cache are part of messages, which are sent plain",
    "cache": "marks for the cache are part of messages, which are sent plain",
    "citations": "a job's answer is its text or value",
}
"""Settings that a job cannot keep, and why."""
CARRIED = frozenset(
    {"max_tokens", "temperature", "top_p", "top_k", "parallel_tool_calls", "tool_choice", "seed"}
    | {"presence_penalty", "frequency_penalty", "logit_bias", "stop_sequences", "thinking"}
    | {"service_tier", "extra_body", "openai_reasoning_effort", "openai_logprobs"}
    | {"openai_top_logprobs", "openai_store", "openai_user", "openai_moderation"}
    | {"openai_text_verbosity", "openai_service_tier", "openai_prediction"}
    | {"openai_prompt_cache_key", "openai_prompt_cache_retention", "openai_prompt_cache_options"}
    | {"openai_reasoning_mode", "openai_reasoning_context", "openai_reasoning_summary"}
    | {"openai_truncation"}
)
"""Settings that are in the body where the model takes them."""
_OURS = frozenset({"model", "stream", "messages", "input", "instructions", "tools", "tool_choice"})
"""Parts of a body that are made of other parts of a job."""
_NAMES = frozenset(Settings.__optional_keys__) - {"extra_body"}


def settings_of(seen: Seen, found: Findings) -> JsonObject:
    """Return a job's settings, and note what of the agent's is not among them."""
    given = cast("Mapping[str, Any]", seen.request.model_settings or {})
    for name in given:
        _judge(name, found)
    for said in dict.fromkeys(seen.warnings):
        found.note("model_settings", f"Pydantic AI says: {said.rstrip('.')}.")
    body = {name: value for name, value in seen.body.items() if name not in _OURS}
    chat = isinstance(seen.request.model, OpenAIResponsesModel)
    ours = _from_responses(body) if chat else _from_chat(body)
    if given.get("tool_choice") is not None and "tool_choice" in seen.body:
        ours["tool_choice"] = _choice(seen.body["tool_choice"])
    return ours


def _judge(name: str, found: Findings) -> None:
    if name in LOCAL:
        found.note("model_settings", f"Its setting {name!r} has no use here: {LOCAL[name]}.")
    elif name not in CARRIED:
        why = REFUSED.get(name, "batchspec does not know it")
        found.refuse("model_settings", f"Its setting {name!r} is lost: {why}.")


def _from_chat(body: JsonObject) -> JsonObject:
    rest = dict(body)
    rest.pop("response_format", None)
    bound = rest.pop("max_completion_tokens", None)
    if bound is not None:
        rest["max_tokens"] = bound
    return _known(rest)


def _from_responses(body: JsonObject) -> JsonObject:
    rest = dict(body)
    bound = rest.pop("max_output_tokens", None)
    if bound is not None:
        rest["max_tokens"] = bound
    reasoning: JsonObject = rest.pop("reasoning", None) or {}
    if reasoning.keys() == {"effort"}:
        rest["reasoning_effort"] = reasoning["effort"]
    elif reasoning:
        rest["reasoning"] = reasoning
    text: JsonObject = rest.pop("text", None) or {}
    if "verbosity" in text:
        rest["verbosity"] = text["verbosity"]
    # What batchspec asks for by itself, because a conversation must be sendable again.
    if rest.get("include") == ["reasoning.encrypted_content"]:
        del rest["include"]
    return _known(rest)


def _known(rest: JsonObject) -> JsonObject:
    ours = {name: value for name, value in rest.items() if name in _NAMES}
    extra = {name: value for name, value in rest.items() if name not in _NAMES}
    return ours | ({"extra_body": extra} if extra else {})


def _choice(choice: Any) -> Any:
    """Return a choice of tools in the form of chat completions."""
    if isinstance(choice, str):
        return choice
    given = cast("JsonObject", choice)
    if given.get("type") == "function" and "name" in given:
        return {"type": "function", "function": {"name": given["name"]}}
    return given
