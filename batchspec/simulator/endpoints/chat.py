"""`/v1/chat/completions`: from a request body to the answer's body."""

from hashlib import blake2b

from pydantic_core import to_json

from batchspec.simulator.answers.port import Answer, FinishReason, Model, Question, Replay
from batchspec.simulator.endpoints.answering import failures_answered, replay, settle
from batchspec.simulator.endpoints.chat_checks import check_request
from batchspec.simulator.endpoints.models import dated_model
from batchspec.simulator.endpoints.port import Reply, Usage
from batchspec.simulator.endpoints.tokens import prompt_tokens
from batchspec.simulator.wire import HTTPFailure, Json


class ChatCompletions:
    """The chat completions endpoint over a source of answers."""

    path = "/v1/chat/completions"
    label = "Chat Completions"
    required = ("messages",)

    max_inputs = None

    def __init__(self, model: Model) -> None:
        self.model = model

    def count_tokens(self, body: Json) -> int:
        return prompt_tokens(body)

    def count_inputs(self, body: Json) -> int:
        _ = body
        return 1

    @failures_answered
    def respond(self, body: Json, custom_id: str | None, now: float) -> Reply:
        check_request(body)
        identity = b"%s:%s" % ((custom_id or "").encode(), to_json(body["messages"]))
        digest = blake2b(identity, digest_size=16).digest()
        choices: list[Json] = []
        usage = Usage()
        for index in range(body.get("n") or 1):
            answer = self.model.answer(Question(self.path, body, body, custom_id, index))
            if isinstance(answer, Replay):
                return replay(answer)
            if answer.error is not None:
                raise HTTPFailure(500, str(answer.error.get("message")))
            answer, used = settle(answer, body, digest[15] ^ index)
            choices.append(_choice(index, answer))
            usage = used if index == 0 else _more(usage, used)
        return Reply(200, _completion(body, digest, choices, usage, now), usage)


def _completion(body: Json, digest: bytes, choices: list[Json], usage: Usage, now: float) -> Json:
    return {
        "id": "chatcmpl-" + digest[:12].hex(),
        "object": "chat.completion",
        "created": int(now),
        "model": dated_model(body["model"]),
        "choices": choices,
        "usage": _usage(usage),
        "service_tier": "default",
        "system_fingerprint": None,
    }


def _choice(index: int, answer: Answer) -> Json:
    return {
        "index": index,
        "message": _message(answer),
        "logprobs": None,
        "finish_reason": _finish_reason(answer),
    }


def _more(usage: Usage, other: Usage) -> Usage:
    """The usage with one choice more: the prompt is read once."""
    return Usage(
        usage.input_tokens,
        usage.cached_tokens,
        usage.output_tokens + other.output_tokens,
        usage.reasoning_tokens + other.reasoning_tokens,
    )


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
