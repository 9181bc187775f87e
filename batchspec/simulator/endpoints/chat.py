"""`/v1/chat/completions`: from a request body to the answer's body."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from pydantic_core import to_json

from batchspec.simulator.answers.port import Answer, FinishReason, Model, Question, Replay
from batchspec.simulator.endpoints.chat_checks import check_request
from batchspec.simulator.endpoints.port import Reply, Usage
from batchspec.simulator.wire import HTTPFailure, Json, is_array, is_object

_log = logging.getLogger(__name__)

MODELS = {
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-4.1-nano": "gpt-4.1-nano-2025-04-14",
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-5": "gpt-5-2025-08-07",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "gpt-5-nano": "gpt-5-nano-2025-08-07",
}
"""Models that are answered under their dated name."""


class ChatCompletions:
    """The chat completions endpoint over a source of answers."""

    path = "/v1/chat/completions"
    label = "Chat Completions"
    required = ("messages",)

    def __init__(self, model: Model) -> None:
        self.model = model

    def dated_model(self, model: str) -> str:
        return MODELS.get(model, model)

    def count_tokens(self, body: Json) -> int:
        return prompt_tokens(body)

    def respond(self, body: Json, custom_id: str | None, now: float) -> Reply:
        try:
            check_request(body)
            answer = self.model.answer(Question(self.path, body, body, custom_id))
        except HTTPFailure as failure:
            return Reply(failure.status, failure.body)
        except Exception as error:  # noqa: BLE001  whatever it is, the line fails and not the batch
            # One odd request (a schema that is none, say) must not stop its batch.
            _log.exception("the request %r could not be answered", custom_id)
            message = f"The server had an error while processing your request: {error!r}"
            return Reply(500, HTTPFailure(500, message).body)
        if isinstance(answer, Replay):
            return _replay(answer)
        return self._complete(body, _truncate(answer, body), custom_id, now)

    def _complete(self, body: Json, answer: Answer, custom_id: str | None, now: float) -> Reply:
        usage = answer.usage or estimate_usage(body, answer)
        seed = b"%s:%s" % ((custom_id or "").encode(), to_json(body["messages"]))
        completion = {
            "id": "chatcmpl-" + blake2b(seed, digest_size=12).hexdigest(),
            "object": "chat.completion",
            "created": int(now),
            "model": self.dated_model(body["model"]),
            "choices": [
                {
                    "index": 0,
                    "message": _message(answer),
                    "logprobs": None,
                    "finish_reason": _finish_reason(answer),
                }
            ],
            "usage": _usage(usage),
            "service_tier": "default",
            "system_fingerprint": None,
        }
        return Reply(200, completion, usage)


def prompt_tokens(body: Mapping[str, Any]) -> int:
    """Four characters to a token, as rules of thumb go; schemas and tools are read too."""
    messages = body.get("messages")
    if not is_array(messages):
        return 0
    size = sum(_message_size(message) for message in messages)
    for extra in (body.get("tools"), body.get("response_format")):
        if extra:
            size += len(to_json(extra))
    return 3 + size // 4


def estimate_usage(body: Json, answer: Answer) -> Usage:
    return Usage(prompt_tokens(body), 0, _answer_tokens(answer), 0)


def _message_size(message: object) -> int:
    if not is_object(message):
        return 0
    content = message.get("content")
    size = 16 + (len(content) if isinstance(content, str) else len(to_json(content)))
    if calls := message.get("tool_calls"):
        size += len(to_json(calls))
    return size


def _answer_tokens(answer: Answer) -> int:
    size = len(answer.content or "") + len(answer.refusal or "")
    size += sum(len(call.name) + len(call.arguments) + 16 for call in answer.tool_calls)
    return 1 + size // 4


def _truncate(answer: Answer, body: Json) -> Answer:
    """Cut the text where the request's token limit ends it."""
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if limit is None or answer.tool_calls or _answer_tokens(answer) <= limit:
        return answer
    text = (answer.content or "")[: 4 * (limit - 1)]
    return replace(answer, content=text, finish_reason="length")


def _finish_reason(answer: Answer) -> FinishReason:
    return answer.finish_reason or ("tool_calls" if answer.tool_calls else "stop")


def _message(answer: Answer) -> Json:
    message: Json = {
        "role": "assistant",
        "content": answer.content,
        "refusal": answer.refusal,
        "annotations": [],
    }
    if answer.tool_calls:
        message["tool_calls"] = [call.to_wire() for call in answer.tool_calls]
    return message


def _usage(usage: Usage) -> Json:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": 0,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _replay(answer: Replay) -> Reply:
    if answer.response is None:
        return Reply(0, None, error=answer.error)
    body = answer.response.get("body")
    status = answer.response.get("status_code", 200)
    found: Json = body if is_object(body) else {}
    return Reply(status, found, read_usage(found.get("usage")))


def read_usage(usage: object) -> Usage:
    """The tokens a chat completion reports, as far as it does."""
    if not is_object(usage):
        return Usage()
    prompt: Json = usage.get("prompt_tokens_details") or {}
    completion: Json = usage.get("completion_tokens_details") or {}
    return Usage(
        usage.get("prompt_tokens") or 0,
        prompt.get("cached_tokens") or 0,
        usage.get("completion_tokens") or 0,
        completion.get("reasoning_tokens") or 0,
    )
