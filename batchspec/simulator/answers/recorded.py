"""Answers that were recorded before, found again by custom_id or by the request itself."""

from pathlib import Path

from pydantic_core import from_json

from batchspec.simulator.answers.functions import read_message, request_hash
from batchspec.simulator.answers.port import Answer, Model, Question, Replay
from batchspec.simulator.wire import HTTPFailure, is_object


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
        return read_message(line, line)


def _key(raw: bytes, path: Path, number: int) -> str:
    try:
        line = from_json(raw)
    except ValueError as error:
        raise ValueError(f"{path}:{number}: this line is not JSON: {error}") from error
    for name in ("custom_id", "request_hash"):
        if is_object(line) and isinstance(line.get(name), str):
            return f"{name}:{line[name]}"
    raise ValueError(f"{path}:{number}: a recorded answer needs a custom_id or a request_hash.")
