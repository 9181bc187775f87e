"""Lets faults of lines strike a chunk that was answered, or one live answer."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from pydantic_core import from_json, to_json

from batchspec.simulator.endpoints.port import Reply
from batchspec.simulator.endpoints.tokens import read_usage
from batchspec.simulator.faults.answers import AnswerFault
from batchspec.simulator.faults.lines import LineFault
from batchspec.simulator.faults.result import Result
from batchspec.simulator.faults.rule import Occasion
from batchspec.simulator.faults.rules import Faults
from batchspec.simulator.faults.tally import Tally
from batchspec.simulator.jobs.lines import Chunk, requests_of
from batchspec.simulator.jobs.records import Progress
from batchspec.simulator.wire import Json, is_object


@dataclass(frozen=True, slots=True)
class _Struck:
    request: Json
    faults: list[LineFault]


def spoil(chunk: Chunk, path: Path, faults: Faults) -> None:
    """Change the lines of a chunk that faults strike, and its counts with them.

    Args:
        chunk: Answered, and not written yet.
        path: The input of its batch.
        faults: Draws, in the order of the input.
    """
    tally = Tally()
    struck: dict[str, _Struck] = {}
    for line in requests_of(chunk, path):
        body, custom_id = line["body"], line["custom_id"]
        drawn = faults.draw(LineFault, Occasion(model=body["model"], custom_id=custom_id), tally)
        if drawn:
            struck[custom_id] = _Struck(body, drawn)
    chunk.commits.append(tally.write)
    if struck:
        output, errors = chunk.output, chunk.errors
        chunk.output, chunk.errors = [], []
        for raw in (*output, *errors):
            for encoded, in_output in _spoiled(raw, struck, chunk):
                (chunk.output if in_output else chunk.errors).append(encoded)


def _spoiled(raw: bytes, struck: dict[str, _Struck], chunk: Chunk) -> Iterator[tuple[bytes, bool]]:
    document = from_json(raw)
    found = struck.get(document["custom_id"])
    result = Result({}, document, Random(document["id"]))  # noqa: S311  the same line gets the same
    if found is None:
        yield raw, result.succeeded
        return
    result.request = found.request
    before = _counted(result)
    for fault in found.faults:
        fault.spoil(result)
    chunk.progress = _plus(_plus(chunk.progress, before, -1), _counted(result), 1)
    in_output = result.succeeded if result.in_output is None else result.in_output
    for encoded in result.encode():
        yield encoded, in_output


def _counted(result: Result) -> Progress:
    """Return what a line adds to the progress of its batch."""
    body = result.document["response"]["body"] if result.succeeded else None
    usage = read_usage(body.get("usage") if is_object(body) else None)
    return Progress().counting(Reply(result.status, body, usage))


def _plus(progress: Progress, more: Progress, sign: int) -> Progress:
    return replace(
        progress,
        completed=progress.completed + sign * more.completed,
        failed=progress.failed + sign * more.failed,
        input_tokens=progress.input_tokens + sign * more.input_tokens,
        cached_tokens=progress.cached_tokens + sign * more.cached_tokens,
        output_tokens=progress.output_tokens + sign * more.output_tokens,
        reasoning_tokens=progress.reasoning_tokens + sign * more.reasoning_tokens,
    )


def spoil_reply(reply: Reply, request: Json, faults: Faults) -> Reply:
    """Return a live answer as the faults of answers that strike it leave it."""
    if reply.body is None:
        return reply
    model = request.get("model")
    occasion = Occasion(model=model if isinstance(model, str) else None)
    drawn = faults.draw_now(AnswerFault, occasion)
    if not drawn:
        return reply
    response = {
        "status_code": reply.status,
        "request_id": "",
        "body": from_json(to_json(reply.body)),
    }
    document = {"id": "live", "custom_id": None, "response": response, "error": None}
    result = Result(request, document, Random(repr(request)))  # noqa: S311  no secret
    for fault in drawn:
        fault.spoil(result)
    found: Json = result.document["response"]
    return replace(reply, status=found["status_code"], body=found["body"])
