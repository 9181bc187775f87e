"""What the server emits against the sample bodies of the service, where a copy is at hand."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from openai.types import Batch, FileDeleted, FileObject
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from pydantic import BaseModel

from batchspec.simulator import Answer, CallableModel, HTTPFailure, Replay, ToolCall

from .conftest import PACE, Scripted, Simulation, request_line, response_line
from .published import check, needs_reference, samples
from .strictly import conforms

pytestmark = [pytest.mark.anyio, needs_reference]
Body = dict[str, Any]
OPEN = {"type": "object", "properties": {}}
STRICT = {"json_schema": {"name": "City", "schema": OPEN, "strict": True}, "type": "json_schema"}
PARIS = ToolCall("call_a", "get_weather", '{"city":"Paris"}')
ROME = ToolCall("call_b", "get_weather", '{"city":"Rome"}')


class ErrorBody(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class Envelope(BaseModel):
    error: ErrorBody


class Sent(BaseModel):
    """The `response` of a line."""

    status_code: int
    request_id: str
    body: dict[str, Any]


class LineError(BaseModel):
    code: str
    message: str


class Line(BaseModel):
    """A line of a result file, with every key."""

    id: str
    custom_id: str
    response: Sent | None
    error: LineError | None


def shape(value: object) -> object:
    """The keys of a value, all the way down; a list has the shape of its first member."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    return None


def raising(*failure: Any, **more: Any) -> CallableModel:
    def answer(_: Body) -> str:
        raise HTTPFailure(*failure, **more)

    return CallableModel(answer)


def replaying(**line: Any) -> Scripted:
    return Scripted(Replay(**line))


CUT = Answer(finish_reason="length")
FAILED = Answer(error={"code": "server_error", "message": "The model failed."})
CASES = {
    "chat_text": (Scripted(Answer(content="Hello.")), request_line("c")),
    "chat_tool_calls_parallel": (Scripted(Answer(tool_calls=[PARIS, ROME])), request_line("c")),
    "chat_tool_call_bad_json": (
        Scripted(Answer(tool_calls=[ToolCall("call_a", "get_weather", '{"city":"Par')])),
        request_line("c"),
    ),
    "chat_refusal": (Scripted(Answer(refusal="No.")), request_line("c")),
    "chat_length": (Scripted(Answer(content="{", finish_reason="length")), request_line("c")),
    "chat_content_filter": (
        Scripted(Answer(content="", finish_reason="content_filter")),
        request_line("c"),
    ),
    "chat_native_json": (Scripted(Answer(content="{}")), request_line("c")),
    "responses_text": (Scripted(Answer(content="Hello.")), response_line("r")),
    "responses_function_call": (Scripted(Answer(tool_calls=[PARIS, ROME])), response_line("r")),
    "responses_refusal": (
        Scripted(Answer(refusal="No.")),
        response_line("r", model="gpt-4.1-mini"),
    ),
    "responses_incomplete": (Scripted(CUT), response_line("r")),
    "responses_failed_in_200": (Scripted(FAILED), response_line("r")),
    "err_400_schema": (None, request_line("e", response_format=STRICT)),
    "err_400_min_tokens": (None, response_line("e", max_output_tokens=5)),
    "err_400_context": (
        raising(400, "Too long.", code="context_length_exceeded", param="messages"),
        request_line("e"),
    ),
    "err_429": (
        raising(429, "Slow down.", code="rate_limit_exceeded", kind="requests"),
        request_line("e"),
    ),
    "err_500": (raising(500, "Sorry about that!"), request_line("e")),
    "err_status0": (replaying(response={"status_code": 0, "body": {}}), request_line("e")),
    "err_200_empty": (replaying(response={"status_code": 200, "body": {}}), request_line("e")),
    "request_timeout": (
        replaying(error={"code": "request_timeout", "message": "Timed out."}),
        request_line("x"),
    ),
}
"""Every kind of line that comes of answering: the source of answers, and the line."""


@pytest.mark.parametrize("kind", CASES)
async def test_a_line_has_the_shape_of_its_sample(
    start: Callable[..., Simulation], kind: str
) -> None:
    model, line = CASES[kind]
    simulation = start(model=model)
    batch = await simulation.finish(line, endpoint=line["url"])
    (emitted,) = [
        one
        for file_id in (batch.output_file_id, batch.error_file_id)
        for one in await simulation.lines(file_id)
    ]
    sample = samples()["lines"][kind]
    assert shape(emitted) == shape(sample)
    if sample["response"] is not None:
        assert emitted["response"]["status_code"] == sample["response"]["status_code"]
    check_line(emitted)


def check_line(line: Body) -> None:
    """Hold a line and the body in it against the schemas and the models of the SDK."""
    conforms(Line, line)
    check("BatchRequestOutput", line)
    if line["response"] is None or not line["response"]["body"]:
        return
    body = line["response"]["body"]
    kinds = {"chat.completion": ChatCompletion, "response": Response, None: Envelope}
    conforms(kinds[body.get("object")], body)


LONG = replace(PACE, in_progress=200_000)
PAIR = (request_line("a"), request_line("b", bad=1))
Moments = list[tuple[str, float]]
LIVES: dict[str, tuple[Body, list[Body], Moments]] = {
    "whole": (
        {},
        [*PAIR],
        [("validating", 0), ("in_progress", 70), ("finalizing", 51), ("completed", 5)],
    ),
    "in vain": ({}, [PAIR[1]], [("completed_all_failed", 1_000)]),
    "refused": ({}, [{}], [("failed", 20)]),
    "queued": ({"enqueued_token_limit": 1}, [*PAIR], [("token_limit", 20)]),
    "late": ({"pace": LONG}, [*PAIR, request_line("c")], [("expired", 90_000)]),
    "cancelled": ({}, [*PAIR], [("cancelling", 70), ("cancelled", 60)]),
}
"""How the server differs, what is sent, and the states seen, each so many seconds later."""
NAMED = {"completed_all_failed": "completed", "token_limit": "failed"}


@pytest.mark.parametrize("life", LIVES)
async def test_every_state_of_a_batch_has_the_shape_of_its_sample(
    start: Callable[..., Simulation], life: str
) -> None:
    options, lines, moments = LIVES[life]
    simulation = start(**options)
    batch = await simulation.submit(*lines, metadata={"batchspec": "t0"})
    for state, seconds in moments:
        simulation.clock.advance(seconds)
        if state == "cancelling":
            await simulation.client.batches.cancel(batch.id)
        raw = (await simulation.client.batches.with_raw_response.retrieve(batch.id)).http_response
        emitted, sample = raw.json(), samples()["batches"][state]
        assert emitted["status"] == NAMED.get(state, state)
        conforms(Batch, emitted)
        check("Batch", emitted)
        assert shape(emitted) == shape(sample)
        for name in ("in_progress_at", "completed_at", "failed_at", "expired_at", "cancelled_at"):
            assert (emitted[name] is None) is (sample[name] is None), (state, name)


@pytest.mark.parametrize(
    ("kind", "options"), [("batch_cancelled", {}), ("batch_expired", {"pace": LONG})]
)
async def test_what_never_ran_has_the_shape_of_its_sample(
    start: Callable[..., Simulation], kind: str, options: Body
) -> None:
    simulation = start(**options)
    batch = await simulation.submit(*(request_line(str(number)) for number in range(4)))
    if kind == "batch_cancelled":
        await simulation.after(30, batch)
        await simulation.client.batches.cancel(batch.id)
    batch = await simulation.after(90_000, batch)
    lines = await simulation.lines(batch.error_file_id)
    assert lines
    for line in lines:
        check_line(line)
        assert line["error"] == samples()["lines"][kind]["error"]


async def test_files_have_the_shape_of_their_samples(simulation: Simulation) -> None:
    batch = await simulation.finish(*PAIR)
    calls = simulation.client.files.with_raw_response
    for file_id in (batch.input_file_id, batch.output_file_id or "", batch.error_file_id or ""):
        file = (await calls.retrieve(file_id)).http_response.json()
        conforms(FileObject, file)
        check("OpenAIFile", file)
        assert shape(file) == shape(samples()["files"]["file"])
        deleted = (await calls.delete(file_id)).http_response.json()
        conforms(FileDeleted, deleted)
        check("DeleteFileResponse", deleted)
        assert shape(deleted) == shape(samples()["files"]["file_deleted"])


def test_every_sample_is_emitted() -> None:
    states = {state for _, _, moments in LIVES.values() for state, _ in moments}
    assert states == set(samples()["batches"])
    assert {*CASES, "batch_cancelled", "batch_expired"} == set(samples()["lines"])
