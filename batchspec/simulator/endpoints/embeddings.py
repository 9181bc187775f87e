"""`/v1/embeddings`: from a request body to the answer's body."""

import sys
from array import array
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from batchspec.simulator.answers.port import Answer, Model, Question, Replay
from batchspec.simulator.endpoints.answering import failures_answered, replay
from batchspec.simulator.endpoints.models import dated_model, embedding_size
from batchspec.simulator.endpoints.parameters import TEXT, TEXT_OR_LIST, WHOLE, Parameters
from batchspec.simulator.endpoints.port import Reply, Usage
from batchspec.simulator.endpoints.tokens import text_tokens
from batchspec.simulator.wire import (
    HTTPFailure,
    Json,
    array_too_long,
    empty_array,
    invalid_type,
    invalid_value,
    is_array,
)

_PARAMETERS = Parameters(
    kinds={
        "dimensions": WHOLE,
        "encoding_format": TEXT,
        "input": TEXT_OR_LIST,
        "model": TEXT,
        "user": TEXT,
    },
    required=("model", "input"),
    bounds={"dimensions": (1, 2**31)},
)
_FORMATS = ("float", "base64")
_MAX_INPUTS = 2_048
_MAX_TOKENS = 8_192
_MAX_TOKENS_IN_ALL = 300_000

Input = str | Sequence[int]
"""A text, or the tokens of one."""


class Embeddings:
    """The embeddings endpoint over a source of answers."""

    path = "/v1/embeddings"
    label = "Embeddings"
    required = ("input",)
    max_inputs = 50_000

    def __init__(self, model: Model) -> None:
        self.model = model

    def count_tokens(self, body: Json) -> int:
        return sum(map(_tokens, _split(body.get("input"))))

    def count_inputs(self, body: Json) -> int:
        return len(_split(body.get("input")))

    @failures_answered
    def respond(self, body: Json, custom_id: str | None, now: float) -> Reply:
        _ = now
        inputs = _check(body)
        answer = self.model.answer(Question(self.path, body, _chat(body, inputs), custom_id))
        if isinstance(answer, Replay):
            return replay(answer)
        usage = answer.usage or Usage(sum(map(_tokens, inputs)))
        return Reply(200, _embeddings(body, _vectors(answer, len(inputs)), usage), usage)


def _check(body: Json) -> list[Input]:
    """The inputs, or the failure the service would answer with."""
    _PARAMETERS.check(body)
    if body.get("encoding_format") not in {None, *_FORMATS}:
        raise invalid_value("encoding_format", body["encoding_format"], _FORMATS)
    _check_size(body["model"], body.get("dimensions"))
    inputs = _split(body["input"])
    if not inputs:
        raise empty_array("input")
    if len(inputs) > _MAX_INPUTS:
        raise array_too_long("input", _MAX_INPUTS, len(inputs))
    for index, one in enumerate(inputs):
        _check_input(one, f"input[{index}]" if is_array(body["input"]) else "input")
    total = sum(map(_tokens, inputs))
    if total > _MAX_TOKENS_IN_ALL:
        message = f"Requested {total} tokens, max {_MAX_TOKENS_IN_ALL} tokens per request"
        kind = "max_tokens_per_request"
        raise HTTPFailure(400, message, code=kind, kind=kind)
    return inputs


def _check_size(model: str, dimensions: int | None) -> None:
    if dimensions is None:
        return
    size, adjustable = embedding_size(model)
    if not adjustable:
        raise HTTPFailure(400, "This model does not support specifying dimensions.")
    if dimensions > size:
        message = (
            f"Invalid value for 'dimensions' = {dimensions}. Must be less than or equal to {size}."
        )
        raise HTTPFailure(400, message, param="dimensions")


def _check_input(one: object, param: str) -> None:
    if isinstance(one, str):
        if not one:
            message = f"Invalid '{param}': input cannot be an empty string."
            raise HTTPFailure(400, message, param="input")
    elif is_array(one):
        if not one:
            raise empty_array(param)
        if not all(isinstance(token, int) and not isinstance(token, bool) for token in one):
            raise invalid_type(param, "an array of integers", one)
    else:
        raise invalid_type(param, "a string or an array of integers", one)
    if (count := _tokens(one)) > _MAX_TOKENS:
        message = (
            f"This model's maximum context length is {_MAX_TOKENS} tokens, however you requested "
            f"{count} tokens ({count} in your prompt; 0 for the completion). Please reduce your "
            "prompt; or completion length."
        )
        raise HTTPFailure(400, message)


def _split(value: object) -> list[Any]:
    """The inputs of a request: a list of integers is one."""
    if not is_array(value):
        return [] if value is None else [value]
    return [value] if value and isinstance(value[0], int) else value


def _tokens(one: object) -> int:
    if isinstance(one, str):
        return text_tokens(one)
    return len(one) if is_array(one) else 0


def _chat(body: Json, inputs: Sequence[Input]) -> Json:
    """The inputs as messages, for sources that look at words."""
    texts = [one if isinstance(one, str) else " ".join(map(str, one)) for one in inputs]
    messages = [{"role": "user", "content": text} for text in texts]
    return {"model": body["model"], "messages": messages}


def _vectors(answer: Answer, wanted: int) -> Sequence[Sequence[float]]:
    vectors = answer.vectors
    if vectors is None:
        raise HTTPFailure(500, "The source of answers gave no vectors for the inputs.")
    if len(vectors) != wanted:
        message = f"The source of answers gave {len(vectors)} vectors for {wanted} inputs."
        raise HTTPFailure(500, message)
    return vectors


def _embeddings(body: Json, vectors: Sequence[Sequence[float]], usage: Usage) -> Json:
    packed = body.get("encoding_format") == "base64"
    return {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": _pack(vector) if packed else list(vector),
            }
            for index, vector in enumerate(vectors)
        ],
        "model": dated_model(body["model"]),
        "usage": {"prompt_tokens": usage.input_tokens, "total_tokens": usage.input_tokens},
    }


def _pack(vector: Sequence[float]) -> str:
    """The components as 32-bit floats, little end first, in base64."""
    floats = array("f", vector)
    if sys.byteorder == "big":
        floats.byteswap()
    return b64encode(floats.tobytes()).decode()
