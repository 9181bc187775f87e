"""What is observed at the provider, and what is done: one case or more for each row of the table.

The rows are those of the reconciler's decision table for the Batch API; `Case.row` says which. Each
case is one apply of two rows with something going wrong once, against the embedded server.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from worlds import Fault, World, failure, rewriting_json

from batchspec.errors import ProviderError

CREATE, UPLOAD = ("POST", "/batches"), ("POST", "/files")
BATCH, LIST = ("GET", "/batches/batch_[^/]*"), ("GET", "/batches")
CONTENT, FILE = ("GET", "/files/.*/content"), ("GET", "/files/[^/]*")
DONE = {"a": "succeeded", "b": "succeeded"}
NO_FILE = "Cannot find file file-1, or organization org-1 does not have access to it."
FULL = "Enqueued token limit reached for m in organization o. Limit: 1 enqueued tokens."


def answer(status: int, message: str = "No.", **more: Any) -> Fault:
    return Fault(*CREATE, status=status, body=failure(message), **more)


def failed(code: str, message: str, line: int | None = None) -> Fault:
    """Let a batch fail validation as a whole."""
    error = {"code": code, "message": message, "line": line, "param": None}
    errors = {"object": "list", "data": [error]}
    return Fault(
        *BATCH, rewrite=rewriting_json(status="failed", errors=errors, request_counts=None)
    )


def ended(status: str, keep: Callable[[bytes], bool] = lambda _: True) -> list[Fault]:
    """Let a batch end in another way, with some of its lines."""

    def other(body: bytes) -> bytes:
        batch = json.loads(body)
        if batch["status"] == "completed":
            batch["status"] = status
        return json.dumps(batch).encode()

    def some(body: bytes) -> bytes:
        return b"".join(line for line in body.splitlines(keepends=True) if keep(line))

    return [Fault(*BATCH, rewrite=other, times=None), Fault(*CONTENT, rewrite=some)]


def first(line: bytes) -> bool:
    return b"SAY A" in line


@dataclass(frozen=True)
class Case:
    row: str
    faults: list[Fault] = field(default_factory=list)
    creates: int = 1
    """Calls that create."""
    batches: int = 1
    """What they made."""
    uploads: int = 1
    outcomes: Mapping[str, str | None] = field(default_factory=lambda: DONE)
    stops: str | None = None
    """The run ends with these words, and the next one goes on."""


CASES = (
    Case("create: 2xx"),
    *(
        Case(f"create: {status}, not created", [answer(status)], creates=2, uploads=2, stops="No.")
        for status in (400, 401, 403, 404, 422)
    ),
    Case("create: 413, in halves", [answer(413)], creates=3, batches=2, uploads=3),
    Case("create: 429, later", [answer(429, headers={"retry-after": "30"})], creates=2),
    *(
        Case(f"create: {status}, unknown and there", [answer(status, after=True)])
        for status in (408, 409, 500, 502, 503, 504)
    ),
    *(
        Case(f"create: {status}, unknown and not there", [answer(status)], creates=2)
        for status in (408, 409, 500, 503)
    ),
    Case("create: reset, there", [Fault(*CREATE, after=True)]),
    Case("create: reset, not there", [Fault(*CREATE)], creates=2),
    Case("retrieve: 404, for a while", [Fault(*BATCH, status=404, body=failure("?"), times=5)]),
    Case(
        "retrieve: 404, for minutes",
        [
            Fault(*BATCH, status=404, body=failure("?"), times=6),
            Fault(*LIST, rewrite=lambda _: b'{"data": [], "has_more": false}'),
        ],
        outcomes={"a": "lost", "b": "lost"},
    ),
    *(
        Case(f"retrieve: {status}", [Fault(*BATCH, status=status, body={}, times=3)])
        for status in (500, 502, 429, 408)
    ),
    Case("retrieve: reset", [Fault(*BATCH, times=3)]),
    Case("an unknown status", [Fault(*BATCH, rewrite=rewriting_json(status="odd"), times=3)]),
    Case(
        "failed: all errors have a line",
        [failed("invalid_request", "Bad row.", line=2)],
        creates=2,
        batches=2,
        uploads=2,
        outcomes={"a": "succeeded", "b": "failed"},
    ),
    # Where no other batch could make room, it may be too large for the queue: halves are tried.
    Case(
        "failed: token limit",
        [failed("token_limit_exceeded", FULL)],
        creates=3,
        batches=3,
        uploads=3,
    ),
    Case(
        "failed: another queue",
        [failed("odd", "Enqueued request limit reached")],
        creates=3,
        batches=3,
        uploads=3,
    ),
    Case(
        "failed: cannot find file",
        [failed("invalid_request", NO_FILE)],
        creates=3,
        batches=3,
        uploads=3,
    ),
    Case("create: cannot find file", [answer(400, NO_FILE, times=2)], creates=3),
    Case(
        "failed: anything else",
        [failed("billing_hard_limit_reached", "Pay first.")],
        creates=2,
        batches=2,
        uploads=2,
        stops="Pay first",
    ),
    Case("completed", ended("completed")),
    Case(
        "completed: a line is missing",
        ended("completed", first),
        creates=2,
        batches=2,
        uploads=2,
    ),
    Case("expired: all ran", ended("expired")),
    Case(
        "expired: one never ran",
        [ended("expired", first)[1], ended("expired")[0]],
        creates=2,
        batches=2,
        uploads=2,
    ),
    Case("cancelled: all ran", ended("cancelled")),
    Case(
        "cancelled: one never ran",
        ended("cancelled", first),
        outcomes={"a": "succeeded", "b": "cancelled"},
    ),
    *(
        Case(f"content: {status}", [Fault(*CONTENT, status=status, body={}, times=3)])
        for status in (500, 503, 429, 404)
    ),
    Case("content: reset", [Fault(*CONTENT, times=3)]),
    Case(
        "content: 404, for minutes, and the file is there",
        [Fault(*CONTENT, status=404, body=failure("?"), times=6)],
        stops="Nothing is lost",
    ),
    Case(
        "content: 404, for minutes, and there is no such file",
        [
            Fault(*CONTENT, status=404, body=failure("?"), times=6),
            Fault(*FILE, status=404, body=failure("?")),
        ],
        outcomes={"a": "lost", "b": "lost"},
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.row)
def test_what_is_seen_decides_what_is_done(world: World, case: Case) -> None:
    # Faults count how often they strike, so that each test has its own.
    world.wire.faults += [Fault(**{f: getattr(x, f) for f in Fault.__slots__}) for x in case.faults]
    world.job("a", "b")
    if case.stops:
        with pytest.raises(ProviderError, match=case.stops):
            world.apply()
    world.apply()
    assert world.outcomes() == case.outcomes
    assert world.wire.count(*CREATE) == case.creates, "creates"
    assert world.created == case.batches, "batches"
    assert world.wire.count(*UPLOAD) == case.uploads, "uploads"


@pytest.mark.parametrize("status", [500, 429, None], ids=str)
def test_a_read_that_fails_changes_nothing_but_the_time(world: World, status: int | None) -> None:
    world.job("a")
    world.apply(detach=True)
    (before,) = _batches(world)
    world.wire.faults.append(Fault(*BATCH, status=status, body={}, times=3))

    class KilledError(Exception):
        pass

    def die(event: object) -> None:
        if type(event).__name__ == "CallFailed":
            raise KilledError

    world.hook.react = die
    with pytest.raises(KilledError):
        world.apply()
    (after,) = _batches(world)
    assert (after.phase, after.status, after.counts) == (before.phase, before.status, before.counts)
    assert (after.failures, after.next_at > before.next_at) == (1, True)


def _batches(world: World) -> list[Any]:
    with world.open() as project, project.reader() as reader:
        return list(reader.batches())


def test_an_unknown_status_is_told_once(world: World) -> None:
    world.job("a")
    world.wire.faults.append(Fault(*BATCH, rewrite=rewriting_json(status="odd"), times=3))
    world.apply()
    notes = [getattr(event, "note", None) for event in world.hook.events]
    assert any("does not know" in note for note in notes if note)
