"""`/v1/responses`: from a request body to the answer's body."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from pydantic_core import to_json

from batchspec.simulator.answers.port import Answer, Model, Question, Replay
from batchspec.simulator.endpoints.answering import failures_answered, replay, settle
from batchspec.simulator.endpoints.item_ids import Origin, encrypted_content
from batchspec.simulator.endpoints.models import dated_model, is_reasoning
from batchspec.simulator.endpoints.port import Reply, Usage
from batchspec.simulator.endpoints.response_store import ResponseStore
from batchspec.simulator.endpoints.responses_checks import check_parameters
from batchspec.simulator.endpoints.responses_items import (
    check_conversation,
    items_of,
    to_messages,
)
from batchspec.simulator.endpoints.tokens import prompt_tokens
from batchspec.simulator.wire import Json, is_object, object_at

_SAME_NAME = (
    "model", "temperature", "top_p", "parallel_tool_calls", "metadata", "user", "service_tier",
    "store", "prompt_cache_key", "safety_identifier",
)  # fmt: skip
_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}


class Responses:
    """The responses endpoint over a source of answers.

    Strategy: a request is put into the words of chat completions for whoever answers it, and the
    answer is told in items.
    """

    path = "/v1/responses"
    label = "Responses"
    required = ("input",)

    max_inputs = None

    def __init__(self, model: Model) -> None:
        self.model = model
        self.stored = ResponseStore()

    def count_tokens(self, body: Json) -> int:
        try:
            return prompt_tokens(to_chat(body, items_of(body.get("input"))))
        except Exception:  # noqa: BLE001  odd requests are refused later, one by one
            return 0

    def count_inputs(self, body: Json) -> int:
        _ = body
        return 1

    @failures_answered
    def respond(self, body: Json, custom_id: str | None, now: float) -> Reply:
        check_parameters(body)
        previous = self.stored.history(body.get("previous_response_id"))
        items = [*previous, *self.stored.resolved(items_of(body["input"]))]
        check_conversation(items)
        chat = to_chat(body, items)
        answer = self.model.answer(Question(self.path, body, chat, custom_id))
        if isinstance(answer, Replay):
            return replay(answer)
        identity = b"%s:%s" % ((custom_id or "").encode(), to_json(chat["messages"]))
        digest = blake2b(identity, digest_size=24).digest()
        answer, usage = settle(answer, chat, digest[15])
        response = _response(body, answer, usage, digest, now)
        if custom_id is None and response["store"]:
            self.stored.put(response, items)
        return Reply(200, response, usage)


def to_chat(body: Json, items: Sequence[Json]) -> Json:
    """A request in the words of chat completions."""
    chat: Json = {name: body[name] for name in _SAME_NAME if body.get(name) is not None}
    chat["messages"] = to_messages(items)
    if body.get("instructions"):
        chat["messages"].insert(0, {"role": "system", "content": body["instructions"]})
    if body.get("max_output_tokens") is not None:
        chat["max_completion_tokens"] = body["max_output_tokens"]
    if effort := object_at(body, "reasoning").get("effort"):
        chat["reasoning_effort"] = effort
    if body.get("tools"):
        chat["tools"] = [{"type": "function", "function": _inner(tool)} for tool in body["tools"]]
    if (choice := body.get("tool_choice")) is not None:
        chat["tool_choice"] = _nested_choice(choice)
    text_format = object_at(object_at(body, "text"), "format")
    if text_format.get("type") == "json_schema":
        chat["response_format"] = {"type": "json_schema", "json_schema": _inner(text_format)}
    elif text_format:
        chat["response_format"] = text_format
    return chat


def _inner(flat: Json) -> Json:
    return {key: item for key, item in flat.items() if key != "type"}


def _nested_choice(choice: Any) -> Any:
    """Chat completions nest what responses say flat."""
    if not is_object(choice):
        return choice
    if choice.get("type") == "allowed_tools":
        return {"type": "allowed_tools", "allowed_tools": _inner(choice)}
    return {"type": "function", "function": _inner(choice)}


def _response(body: Json, answer: Answer, usage: Usage, digest: bytes, now: float) -> Json:
    reason = _REASONS.get(answer.finish_reason or "")
    status = "failed" if answer.error else "incomplete" if reason else "completed"
    reasons = is_reasoning(body["model"])
    return {
        "id": "resp_" + digest.hex(),
        "object": "response",
        "created_at": int(now),
        "status": status,
        "background": False,
        "error": answer.error,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": body.get("max_tool_calls"),
        "model": dated_model(body["model"]),
        "output": [] if answer.error else _output(body, answer, digest, status),
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "previous_response_id": body.get("previous_response_id"),
        "prompt_cache_key": body.get("prompt_cache_key"),
        "reasoning": _reasoning(body, reasons=reasons),
        "safety_identifier": body.get("safety_identifier"),
        "service_tier": "default",
        "store": body.get("store") is not False,
        "temperature": _number(body.get("temperature")),
        "text": _text_settings(object_at(body, "text")),
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": [_tool(tool) for tool in body.get("tools") or ()],
        "top_logprobs": 0,
        "top_p": _number(body.get("top_p")),
        "truncation": body.get("truncation") or "disabled",
        "usage": _usage(usage),
        "user": body.get("user"),
        "metadata": body.get("metadata") or {},
    }


def _number(value: float | None) -> float:
    return 1.0 if value is None else float(value)


def _reasoning(body: Json, *, reasons: bool) -> Json:
    asked = object_at(body, "reasoning")
    effort = asked.get("effort") or ("medium" if reasons else None)
    return {"effort": effort, "summary": asked.get("summary")}


def _text_settings(text: Json) -> Json:
    text_format: Json = text.get("format") or {"type": "text"}
    if text_format["type"] == "json_schema":
        text_format = {"description": None, "strict": False, **text_format}
    return {"format": text_format, "verbosity": text.get("verbosity") or "medium"}


def _tool(tool: Json) -> Json:
    return {
        "type": "function",
        "description": tool.get("description"),
        "name": tool["name"],
        "parameters": tool.get("parameters"),
        "strict": tool.get("strict") is not False,
    }


def _output(body: Json, answer: Answer, digest: bytes, status: str) -> list[Json]:
    reasoned = is_reasoning(body["model"]) or answer.reasoning is not None
    origin = Origin(digest.hex()[:18], body.get("store") is not False, reasoned)
    items: list[Json] = []
    if reasoned:
        items.append(_thoughts(body, answer, origin))
    # What only calls tools, or was cut before the first word, has no message.
    silent = answer.tool_calls or status == "incomplete"
    if answer.content or answer.refusal is not None or not silent:
        items.append(_message(answer, origin.item_id("msg", len(items)), status))
    for call in answer.tool_calls:
        item = {
            "id": origin.item_id("fc", len(items)),
            "type": "function_call",
            "status": "completed",
            "arguments": call.arguments,
            "call_id": call.id,
            "name": call.name,
        }
        items.append(item)
    return items


def _thoughts(body: Json, answer: Answer, origin: Origin) -> Json:
    summary: list[Json] = []
    if object_at(body, "reasoning").get("summary"):
        text = answer.reasoning or "**Looking at the request**\n\nI settle what is asked for."
        summary.append({"type": "summary_text", "text": text})
    return {
        "id": origin.reasoning_id,
        "type": "reasoning",
        "summary": summary,
        "encrypted_content": encrypted_content(origin.reasoning_id),
    }


def _message(answer: Answer, item_id: str, status: str) -> Json:
    part: Json = {
        "type": "output_text",
        "annotations": [],
        "logprobs": [],
        "text": answer.content or "",
    }
    if answer.refusal is not None:
        part = {"type": "refusal", "refusal": answer.refusal}
    return {
        "id": item_id,
        "type": "message",
        "status": "incomplete" if status == "incomplete" else "completed",
        "role": "assistant",
        "content": [part],
    }


def _usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
