"""Answers of the user's own: a Python callable, or answers recorded before."""

import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel
from pydantic_core import from_json, to_json

from batchspec.simulator.answers.port import Answer, Model, Question, Replay, ToolCall
from batchspec.simulator.wire import HTTPFailure, Json, is_object

_MESSAGE_KEYS = frozenset({"role", "content", "refusal", "tool_calls", "finish_reason"})


class CallableModel:
    """Asks a function: body in, answer out.

    A string is the content. A dict with a `role`, or with nothing but keys of a message, is the
    message; its tool calls may leave out their ids and give arguments as objects. Anything else (a
    pydantic model, another dict, a list, a number) is sent as JSON content. `HTTPFailure` is an
    error answer, any other exception a 500 with its text.
    """

    def __init__(self, function: Callable[[Json], object]) -> None:
        self._function = function

    def answer(self, question: Question) -> Answer | Replay:
        body = question.body
        try:
            result = self._function(body)
            return result if isinstance(result, Answer | Replay) else _to_answer(result, body)
        except HTTPFailure:
            raise
        except Exception as error:  # the function is not ours; its mistakes are answers
            message = f"The answering function failed: {type(error).__name__}: {error}"
            raise HTTPFailure(500, message) from error


def _to_answer(result: object, body: Json) -> Answer:
    if result is None or isinstance(result, str):
        return Answer(content=result)
    if is_object(result) and result and ("role" in result or set(result) <= _MESSAGE_KEYS):
        return _from_message(result, body)
    if isinstance(result, BaseModel):
        return Answer(content=result.model_dump_json(by_alias=True))
    return Answer(content=to_json(result).decode())


def _from_message(message: Mapping[str, Any], body: Json) -> Answer:
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
    )


def _to_call(call: Mapping[str, Any], call_id: str) -> ToolCall:
    function = call.get("function", call)
    arguments = function.get("arguments", {})
    if not isinstance(arguments, str):
        arguments = to_json(arguments).decode()
    return ToolCall(call.get("id") or call_id, function["name"], arguments)


class RecordedModel:
    """Finds answers in a JSON-lines file, by custom_id or by the hash of the request.

    A line is `{"custom_id": …, "response": {…}}` as in a batch's result file, or
    `{"request_hash": …, "content": "…"}`. Of several lines for one request the first counts. The
    file is read once, for the places of its lines, and must not change afterwards.
    """

    def __init__(self, path: Path, *, fallback: Model | None = None) -> None:
        self._path = path
        self._fallback = fallback
        self._places: dict[str, int] = {}
        offset = 0
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                if raw.strip():
                    self._places.setdefault(_key(raw, path, number), offset)
                offset += len(raw)

    def answer(self, question: Question) -> Answer | Replay:
        body, custom_id = question.body, question.custom_id
        place = None if custom_id is None else self._places.get(f"custom_id:{custom_id}")
        if place is None:
            place = self._places.get(f"request_hash:{request_hash(body)}")
        if place is not None:
            return self._read(place)
        if self._fallback is not None:
            return self._fallback.answer(question)
        message = f"No answer is recorded for the request {custom_id!r} ({request_hash(body)})."
        raise HTTPFailure(404, message, code="no_recorded_answer")

    def _read(self, offset: int) -> Answer | Replay:
        with self._path.open("rb") as file:
            file.seek(offset)
            line = from_json(file.readline())
        if "response" in line:
            return Replay(response=line["response"], error=line.get("error"))
        return _from_message(line, line)


def _key(raw: bytes, path: Path, number: int) -> str:
    try:
        line = from_json(raw)
    except ValueError as error:
        raise ValueError(f"{path}:{number}: this line is not JSON: {error}") from error
    for name in ("custom_id", "request_hash"):
        if is_object(line) and isinstance(line.get(name), str):
            return f"{name}:{line[name]}"
    raise ValueError(f"{path}:{number}: a recorded answer needs a custom_id or a request_hash.")


def request_hash(body: Json) -> str:
    """SHA-256 of a body's canonical JSON: sorted keys, no spaces, UTF-8."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def load_model(reference: str, *, fallback: Model | None = None) -> Model:
    """Make the source of answers that a reference names.

    Args:
        reference: `path/to/file.py:name` of a function or of an object with an `answer` method, or
            `path/to/file.jsonl` of recorded answers.
        fallback: Answers what is not recorded.

    Raises:
        ValueError: The reference, or what it refers to, is of neither kind; the message says why.
        OSError: The file cannot be read.
    """
    if reference.endswith(".jsonl"):
        return RecordedModel(Path(reference), fallback=fallback)
    name, separator, attribute = reference.rpartition(":")
    if not separator or not name.endswith(".py"):
        raise ValueError(
            f"{reference!r} names no answers; write path/to/file.py:function or path/to/file.jsonl."
        )
    found: Any = getattr(_load_module(Path(name)), attribute, None)
    if hasattr(found, "answer"):
        model: Model = found
        return model
    if callable(found):
        return CallableModel(found)
    raise ValueError(f"{name} has no function {attribute!r}.")


def _load_module(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    module_name = f"_answers_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{str(path)!r} is not a Python module.")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pydantic look their module up by name while it is being executed.
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    return module
