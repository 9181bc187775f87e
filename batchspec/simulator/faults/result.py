"""One line of a result file, as a fault finds it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from pydantic_core import to_json

from batchspec.simulator.faults.bodies import Body, body_of
from batchspec.simulator.wire import Json, is_object


@dataclass(slots=True)
class Result:
    """What came of one request; faults change it in place.

    Attributes:
        request: The body of the request.
        document: The line: `id`, `custom_id`, `response`, `error`.
        random: For what a fault makes up; the same line gets the same.
        copies: How often the line is written.
        in_output: Whether it stands in the output file; else what follows from its status.
        spoilers: What is done to the line's bytes, without the newline, at last.
    """

    request: Json
    document: Json
    random: Random
    copies: int = 1
    in_output: bool | None = None
    spoilers: list[Callable[[bytes], bytes]] = field(default_factory=list[Callable[[bytes], bytes]])

    @property
    def status(self) -> int:
        """Of the HTTP answer; 0 when there is none."""
        response = self.document["response"]
        return response["status_code"] if is_object(response) else 0

    @property
    def succeeded(self) -> bool:
        return 200 <= self.status < 300

    def body(self) -> Body | None:
        """Return the model's answer, if there is one of a kind that faults know."""
        response = self.document["response"]
        if not self.succeeded or not is_object(response):
            return None
        return body_of(response["body"], self.request)

    def answer(self, status: int, body: Any, *, request_id: str | None = None) -> None:
        """Put an HTTP answer in the place of what there is."""
        before: Any = self.document["response"] or {}
        self.document["response"] = {
            "status_code": status,
            "request_id": request_id if request_id is not None else before.get("request_id", ""),
            "body": body,
        }
        self.document["error"] = None

    def fail(self, code: str, message: str) -> None:
        """Say that there is no HTTP answer, and why."""
        self.document["response"] = None
        self.document["error"] = {"code": code, "message": message}

    def encode(self) -> list[bytes]:
        """Return the line as often as it is written."""
        line = to_json(self.document)
        for spoiler in self.spoilers:
            line = spoiler(line)
        return [line + b"\n"] * self.copies


def text_of(value: object) -> str:
    """Return JSON as text inside of JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
