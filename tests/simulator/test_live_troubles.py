"""Live sources that cannot begin, or break."""

import json
import resource
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import anyio
import openai
import pytest
from openai.types import Batch

from batchspec.simulator import Pace, Recording, RecordingSource
from batchspec.simulator.endpoints.port import Reply

from .conftest import ENDPOINT, Simulation, request_line

pytestmark = pytest.mark.anyio
AT_ONCE = Pace(validating=0, in_progress=0, finalizing=0, cancelling=0)
NAMES = [f"r{number}" for number in range(5)]


class Instant:
    """A source that answers at once."""

    concurrency, outage = 4, None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None: ...

    async def turn(self) -> None: ...

    async def ask(self, *request: object, patient: bool = True) -> Reply:
        await anyio.lowlevel.checkpoint()
        return Reply(200, {"choices": []})

    async def models(self) -> Reply:
        return Reply(200, {"object": "list", "data": []})

    def stop(self) -> None: ...


class Late(Instant):
    """It can be begun at the third try only."""

    def __init__(self) -> None:
        self._refusals = 2

    async def __aenter__(self) -> Self:
        if self._refusals:
            self._refusals -= 1
            raise OSError("the line is dead")
        return self


class Breaking(Instant):
    async def turn(self) -> None:
        raise ZeroDivisionError


@pytest.fixture
def over(start: Callable[..., Simulation]) -> Callable[..., Simulation]:
    """Starts simulators over one directory, each with a source of its own."""

    def begin(source: object, **options: Any) -> Simulation:
        return start(source=source, background=True, pace=AT_ONCE, **options)

    return begin


async def ended(simulation: Simulation, batch: Batch) -> Batch:
    with anyio.fail_after(60):
        while batch.status not in {"completed", "failed"}:
            batch = await simulation.client.batches.retrieve(batch.id)
    return batch


async def test_a_source_that_cannot_begin_is_an_outage_and_is_tried_again(
    over: Callable[..., Simulation],
) -> None:
    simulation = over(Late())
    runner: Any = simulation.engine.runner
    for _ in range(2):
        with pytest.raises(openai.InternalServerError, match="cannot be asked: the line is dead"):
            await simulation.client.chat.completions.create(
                model="llama", messages=[{"role": "user", "content": "Hello"}]
            )
        assert runner.outage == "it cannot be asked: the line is dead"
    batch = await simulation.submit(*map(request_line, NAMES))
    batch = await ended(simulation, batch)
    assert batch.request_counts is not None
    assert batch.request_counts.completed == len(NAMES)
    assert runner.outage is None


async def test_a_batch_waits_for_a_source_that_cannot_begin(
    over: Callable[..., Simulation],
) -> None:
    simulation = over(Late())
    batch = await simulation.submit(*map(request_line, NAMES))
    batch = await ended(simulation, batch)
    assert batch.request_counts is not None
    assert batch.request_counts.completed == len(NAMES)


async def test_what_breaks_the_work_is_told_and_everything_is_closed(
    over: Callable[..., Simulation],
) -> None:
    simulation = over(Breaking())
    batch = await simulation.submit(*map(request_line, NAMES))
    runner: Any = simulation.engine.runner
    with anyio.fail_after(60):
        while runner.outage is None:
            batch = await simulation.client.batches.retrieve(batch.id)
    assert "the work on batches has stopped" in runner.outage
    simulation.engine.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        simulation.engine.database.open_batches()
    again = over(Instant())
    batch = await ended(again, batch)
    assert batch.request_counts is not None
    assert batch.request_counts.completed == len(NAMES)


async def test_a_second_interrupt_may_come_when_all_has_ended(
    over: Callable[..., Simulation],
) -> None:
    simulation = over(Instant())
    await ended(simulation, await simulation.submit(request_line("a")))
    runner: Any = simulation.engine.runner
    portal = runner._portal
    assert portal is not None
    runner.close()
    runner.drop()
    # As if it ended while `drop` looks at it.
    runner._portal = portal
    runner.drop()
    runner._portal = None


class Odd(Instant):
    async def ask(self, *request: object, patient: bool = True) -> Reply:
        await anyio.lowlevel.checkpoint()
        usage = {"prompt_tokens": "1", "completion_tokens": -4, "completion_tokens_details": [3]}
        return Reply(200, {"choices": [], "usage": usage})


async def test_a_usage_without_sense_counts_nothing_and_stops_no_fault(
    over: Callable[..., Simulation],
) -> None:
    simulation = over(Odd())
    simulation.engine.faults.add("line_error", status=503, custom_id="r1")
    batch = await simulation.submit(*map(request_line, NAMES))
    batch = await ended(simulation, batch)
    assert batch.status == "completed"
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (4, 1)
    assert batch.usage is not None
    assert batch.usage.total_tokens == 0


async def test_an_answer_that_cannot_be_recorded_is_an_answer_all_the_same(tmp_path: Path) -> None:
    path, told = tmp_path / "answers.jsonl", list[str]()
    recording = Recording(path, growing=True)
    source = RecordingSource(Instant(), recording, on_trouble=told.append)
    async with source:
        await source.ask(ENDPOINT, {"n": 0}, "r0")
        # A file that must not grow any more, but for a few bytes, as on a disk that is full.
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, limits[1]))
        try:
            replies = [await source.ask(ENDPOINT, {"n": n}, f"r{n}") for n in (1, 2)]
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert [reply.status for reply in replies] == [200, 200]
        assert [text.partition(": ")[0] for text in told] == [
            f"answers cannot be recorded in {path}"
        ]
        await source.ask(ENDPOINT, {"n": 2}, "r2")
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [line["custom_id"] for line in lines] == ["r0", "r2"]
    assert recording.find("r2", {"n": 2}, strict=True) == lines[1]
    assert recording.find("r1", {"n": 1}, strict=True) is None
    recording.close()


async def test_a_recording_that_somebody_removed_is_told_and_asked_for_again(
    tmp_path: Path,
) -> None:
    path, told = tmp_path / "answers.jsonl", list[str]()
    recording = Recording(path, growing=True)
    source = RecordingSource(Instant(), recording, on_trouble=told.append)
    async with source:
        await source.ask(ENDPOINT, {"n": 0}, "r0")
        path.unlink()
        assert (await source.ask(ENDPOINT, {"n": 0}, "r0")).status == 200
    assert len(told) == 1
    recording.close()
