"""Answers that were recorded before, found again by custom_id or by the request itself."""

from pathlib import Path
from threading import Lock

from batchspec.simulator.answers.functions import read_message, request_hash
from batchspec.simulator.answers.port import Answer, Model, Question, Replay
from batchspec.simulator.answers.recording import Recording
from batchspec.simulator.wire import HTTPFailure


class RecordedModel:
    """Finds answers in a JSON-lines file, by custom_id or by the hash of the request.

    A line is `{"custom_id": …, "response": {…}}` as in a batch's result file, or
    `{"request_hash": …, "content": "…"}`. Of several lines for one request the last success
    counts.

    Attributes:
        replayed: For how many requests an answer was found, however often they were sent.
        missed: For how many it was not.
    """

    def __init__(self, recording: Path | Recording, *, fallback: Model | None = None) -> None:
        self._recording = Recording(recording) if isinstance(recording, Path) else recording
        self._fallback = fallback
        self._counting = Lock()
        self.replayed = self.missed = 0

    def answer(self, question: Question) -> Answer | Replay:
        body, custom_id = question.body, question.custom_id
        line = self._recording.find(custom_id, body)
        if self._recording.meets(custom_id, body):
            with self._counting:
                self.replayed += line is not None
                self.missed += line is None
        if line is None:
            if self._fallback is not None:
                return self._fallback.answer(question)
            message = f"No answer is recorded for the request {custom_id!r} ({request_hash(body)})."
            raise HTTPFailure(404, message, code="no_recorded_answer")
        if "response" in line:
            return Replay(response=line["response"], error=line.get("error"))
        return read_message(line, line)
