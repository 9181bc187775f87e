"""From lines of an input file to lines of the result files, a bounded chunk at a time."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import NamedTuple

from pydantic_core import from_json

from batchspec.simulator.endpoints.port import Endpoint, Reply
from batchspec.simulator.jobs.database import Write, open_private
from batchspec.simulator.jobs.records import BatchRecord, Progress
from batchspec.simulator.wire import Json, dump

CHUNK_LINES = 1_000
CHUNK_BYTES = 4 * 2**20

NEVER_RAN: dict[str, Json] = {
    "expired": {
        "code": "batch_expired",
        "message": "This request could not be executed before the completion window expired.",
    },
    "cancelled": {
        "code": "batch_cancelled",
        "message": "This request was cancelled before it could be executed.",
    },
}


class Place(NamedTuple):
    """A place in an input file, as in `Progress`."""

    offset: int
    line: int
    settled: int


@dataclass(slots=True)
class Chunk:
    """Result lines that are written and committed together, and the place after them."""

    progress: Progress
    place: Place
    output: list[bytes] = field(default_factory=list[bytes])
    errors: list[bytes] = field(default_factory=list[bytes])
    commits: list[Write] = field(default_factory=list[Write])
    """What is to be stored in the same transaction."""


def run_chunk(batch: BatchRecord, path: Path, endpoint: Endpoint, limit: int, now: float) -> Chunk:
    """Answer up to `limit` further lines of the batch."""
    chunk = Chunk(batch.progress, _place(batch.progress))
    completed = failed = 0
    tokens = [0, 0, 0, 0]
    for line, place in read_lines(path, batch.progress, limit):
        reply = endpoint.respond(line["body"], line["custom_id"], now)
        encoded = _encode(batch.id, place.line, line["custom_id"], reply)
        if reply.succeeded:
            completed += 1
            chunk.output.append(encoded)
            usage = reply.usage
            tokens[0] += usage.input_tokens
            tokens[1] += usage.cached_tokens
            tokens[2] += usage.output_tokens
            tokens[3] += usage.reasoning_tokens
        else:
            failed += 1
            chunk.errors.append(encoded)
        chunk.place = place
    before = batch.progress
    chunk.progress = replace(
        before,
        completed=before.completed + completed,
        failed=before.failed + failed,
        input_tokens=before.input_tokens + tokens[0],
        cached_tokens=before.cached_tokens + tokens[1],
        output_tokens=before.output_tokens + tokens[2],
        reasoning_tokens=before.reasoning_tokens + tokens[3],
    )
    return chunk


def requests_of(chunk: Chunk, path: Path) -> Iterator[Json]:
    """Parse the lines of the input that a chunk answers, in their order."""
    count = chunk.place.settled - chunk.progress.settled
    return (line for line, _ in read_lines(path, chunk.progress, count))


def kept_chunk(batch: BatchRecord, path: Path, find: Callable[[int], Reply | None]) -> Chunk:
    """List further lines with the replies that were kept for them.

    A line without one never ran, for the batch expired or was cancelled.

    Args:
        batch: Whose progress counts the replies already.
        path: Its input.
        find: Returns the reply to a line, by its number.
    """
    chunk = Chunk(batch.progress, _place(batch.progress))
    reason = "cancelled" if batch.status == "cancelling" else "expired"
    never_ran = Reply(0, None, error=NEVER_RAN[reason])
    size = 0
    for line, place in read_lines(path, batch.progress, CHUNK_LINES):
        reply = find(place.line) or never_ran
        encoded = _encode(batch.id, place.line, line["custom_id"], reply)
        (chunk.output if reply.succeeded else chunk.errors).append(encoded)
        chunk.place = place
        if (size := size + len(encoded)) >= CHUNK_BYTES:
            break
    return chunk


def void_chunk(batch: BatchRecord, path: Path) -> Chunk:
    """List further lines of a batch that expired or was cancelled as never run."""
    return kept_chunk(batch, path, lambda _: None)


def write_chunk(chunk: Chunk, output: Path, errors: Path, *, shuffle: bool) -> Progress:
    """Append the lines, over whatever a run that died left behind, and say the new lengths."""
    before = chunk.progress
    if shuffle:
        random = Random(before.offset)  # noqa: S311  an order that can be had again
        random.shuffle(chunk.output)
        random.shuffle(chunk.errors)
    return replace(
        before,
        offset=chunk.place.offset,
        line=chunk.place.line,
        settled=chunk.place.settled,
        output_bytes=_append(output, before.output_bytes, chunk.output),
        error_bytes=_append(errors, before.error_bytes, chunk.errors),
    )


def _append(path: Path, length: int, lines: list[bytes]) -> int:
    if not lines:
        return length
    data = b"".join(lines)
    with os.fdopen(open_private(path), "r+b") as file:
        file.truncate(length)
        file.seek(length)
        file.write(data)
    return length + len(data)


def _place(progress: Progress) -> Place:
    return Place(progress.offset, progress.line, progress.settled)


def read_lines(path: Path, start: Progress | Place, limit: int) -> Iterator[tuple[Json, Place]]:
    """Parse validated lines from a place on, with the place after each."""
    offset, number, settled = start.offset, start.line, start.settled
    with path.open("rb") as file:
        file.seek(offset)
        while settled - start.settled < limit and offset - start.offset < CHUNK_BYTES:
            raw = file.readline()
            if not raw:
                return
            offset += len(raw)
            number += 1
            if not raw.strip():
                continue
            settled += 1
            yield from_json(raw), Place(offset, number, settled)


def _encode(batch_id: str, number: int, custom_id: str, reply: Reply) -> bytes:
    # Ids follow from the batch and the line: a line that is answered again after a crash gets
    # the same ones.
    digest = blake2b(b"%s:%d" % (batch_id.encode(), number), digest_size=32).hexdigest()
    response = None
    if reply.body is not None:
        response = {
            "status_code": reply.status,
            "request_id": f"req_{digest[32:]}",
            "body": reply.body,
        }
    line = {
        "id": f"batch_req_{digest[:32]}",
        "custom_id": custom_id,
        "response": response,
        "error": reply.error,
    }
    return dump(line) + b"\n"
