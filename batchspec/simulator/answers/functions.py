"""Answers of a Python function: body in, answer out."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic_core import to_json

from batchspec.simulator.answers.port import EMBEDDINGS, Answer, Question, Replay, ToolCall
from batchspec.simulator.wire import HTTPFailure, Json, is_object

_vectors = TypeAdapter(list[list[float]])
_MESSAGE_KEYS = frozenset(
    {"role", "content", "refusal", "tool_calls", "finish_reason", "reasoning"}
)


class CallableModel:
    """Asks a function: body in, answer out.

    A string is the content. A dict with a `role`, or with nothing but keys of a message, is the
    message; its tool calls may leave out their ids and give arguments as objects. Anything else (a
    pydantic model, another dict, a list, a number) is sent as JSON content. For embeddings it is a
    list of vectors, one for each input. `HTTPFailure` is an error answer, any other exception a
    500 with its text.
    """

    def __init__(self, function: Callable[[Json], object]) -> None:
        self._function = function

    def answer(self, question: Question) -> Answer | Replay:
        body = question.body
        try:
            result = self._function(body)
            if isinstance(result, Answer | Replay):
                return result
            if question.endpoint == EMBEDDINGS:
                return Answer(vectors=_vectors.validate_python(result))
            return _to_answer(result, body)
        except HTTPFailure:
            raise
        except Exception as error:  # the function is not ours; its mistakes are answers
            message = f"The answering function failed: {type(error).__name__}: {error}"
            raise HTTPFailure(500, message) from error


def _to_answer(result: object, body: Json) -> Answer:
    if result is None or isinstance(result, str):
        return Answer(content=result)
    if is_object(result) and result and ("role" in result or set(result) <= _MESSAGE_KEYS):
        return read_message(result, body)
    if isinstance(result, BaseModel):
        return Answer(content=result.model_dump_json(by_alias=True))
    return Answer(content=to_json(result).decode())


def read_message(message: Mapping[str, Any], body: Json) -> Answer:
    """A message in the words of chat completions as an answer; `body` seeds the ids it lacks."""
    seed = request_hash(body)
    calls = [
        _to_call(call, f"call_{seed[index * 2 : index * 2 + 24]}")
        for index, call in enumerate(message.get("tool_calls") or ())
    ]
    content = message.get("content")
    if content is not None and not isinstance(content, str):
        content = to_json(content).decode()
    return Answer(
        content=content,
        refusal=message.get("refusal"),
        tool_calls=calls,
        finish_reason=message.get("finish_reason"),
        reasoning=message.get("reasoning"),
    )


def _to_call(call: Mapping[str, Any], call_id: str) -> ToolCall:
    function = call.get("function", call)
    arguments = function.get("arguments", {})
    if not isinstance(arguments, str):
        arguments = to_json(arguments).decode()
    return ToolCall(call.get("id") or call_id, function["name"], arguments)


def request_hash(body: Json) -> str:
    """SHA-256 of a body's canonical JSON: sorted keys, no spaces, UTF-8."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
