import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from batchspec.simulator import CallableModel
from batchspec.simulator.jobs import lines as lines_module
from batchspec.simulator.jobs.engine import Engine

from .conftest import PACE, Simulation, request_line

pytestmark = pytest.mark.anyio
NAMES = [f"r{number}" for number in range(50)]


def lines_of(path: Path) -> list[str]:
    return [json.loads(line)["custom_id"] for line in path.read_bytes().splitlines()]


async def test_a_dead_server_goes_on_where_it_stopped(
    start: Callable[..., Simulation],
) -> None:
    simulation = start()
    first = await simulation.submit(*map(request_line, NAMES))
    batch = await simulation.after(60, first)
    assert batch.request_counts is not None
    assert batch.request_counts.completed == 20
    # What a run that died between writing and committing leaves behind.
    record = simulation.engine.database.batch(batch.id)
    assert record is not None
    for file_id in (record.output_file_id, record.error_file_id):
        with simulation.engine.database.path(file_id).open("ab") as file:
            file.write(b'{"custom_id":"r20","half a li')

    again = start()
    found = await again.client.batches.retrieve(batch.id)
    assert found == batch
    done = await again.after(100, batch)
    assert (done.status, done.error_file_id) == ("completed", None)
    results = await again.lines(done.output_file_id)
    assert Counter(line["custom_id"] for line in results) == Counter(NAMES)
    assert not again.engine.database.path(record.error_file_id).exists()


class Killed(BaseException):
    pass


@pytest.mark.parametrize("moment", ["before the write", "after the write"])
async def test_killed_in_every_chunk_each_line_comes_once(
    start: Callable[..., Simulation], monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    monkeypatch.setattr("batchspec.simulator.jobs.runner.CHUNK_LINES", 7)
    monkeypatch.setattr(lines_module, "CHUNK_LINES", 7)
    simulation = start(pace=PACE.times(0))
    asked = [
        request_line(name, **({"bad": 1} if n % 3 == 0 else {})) for n, name in enumerate(NAMES)
    ]
    batch = await simulation.submit(*asked)
    original = Engine._commit
    kills = 0

    def dying(self: Engine, batch: Any, chunk: Any) -> bool:
        nonlocal kills
        kills += 1
        if kills % 2:
            return original(self, batch, chunk)
        if moment == "after the write":
            paths = (self.database.path(i) for i in (batch.output_file_id, batch.error_file_id))
            lines_module.write_chunk(chunk, *paths, shuffle=True)
        raise Killed

    monkeypatch.setattr(Engine, "_commit", dying)
    simulation.clock.advance(1)
    done = False
    while not done:
        try:
            simulation.engine.advance(simulation.clock())
            done = True
        except Killed:
            simulation = start(pace=PACE.times(0))
    assert kills > 8
    batch = await simulation.client.batches.retrieve(batch.id)
    assert batch.status == "completed"
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (33, 17)
    good = [line["custom_id"] for line in await simulation.lines(batch.output_file_id)]
    bad = [line["custom_id"] for line in await simulation.lines(batch.error_file_id)]
    assert Counter([*good, *bad]) == Counter(NAMES)
    assert batch.usage is not None
    sums = sum(
        line["response"]["body"]["usage"]["total_tokens"]
        for line in await simulation.lines(batch.output_file_id)
    )
    assert batch.usage.total_tokens == sums


async def test_a_cancel_during_a_chunk_wins(
    start: Callable[..., Simulation], monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = start()
    batch = await simulation.after(20, await simulation.submit(*map(request_line, NAMES)))
    original = Engine._commit

    def late(self: Engine, record: Any, chunk: Any) -> bool:
        self.cancel(record.id, self.clock())
        return original(self, record, chunk)

    monkeypatch.setattr(Engine, "_commit", late)
    assert (await simulation.after(50, batch)).status == "cancelling"
    monkeypatch.setattr(Engine, "_commit", original)
    batch = await simulation.after(60, batch)
    assert batch.status == "cancelled"
    assert batch.output_file_id is None
    assert len(await simulation.lines(batch.error_file_id)) == len(NAMES)


async def test_a_thread_works_when_requests_come(start: Callable[..., Simulation]) -> None:
    clock = start().clock
    simulation = start(background=True)
    batch = await simulation.submit(*map(request_line, NAMES))
    clock.advance(1_000)
    while batch.status != "completed":
        batch = await simulation.client.batches.retrieve(batch.id)
    assert len(await simulation.lines(batch.output_file_id)) == len(NAMES)
    # Nothing is open any more, so that nobody needs the thread.
    thread = simulation.engine._thread
    if thread is not None:
        thread.join(5)
        assert not thread.is_alive()


async def test_the_input_is_copied_where_links_are_not_possible(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(os, "link", refuse)
    batch = await simulation.finish(request_line("a"))
    assert batch.status == "completed"


async def test_a_batch_whose_input_is_deleted_fails_alone(simulation: Simulation) -> None:
    lost = await simulation.submit(*map(request_line, NAMES))
    other = await simulation.submit(*map(request_line, NAMES))
    await simulation.after(50, lost)
    simulation.engine.database.path(f"{lost.id}.input").unlink()
    lost = await simulation.after(100, lost)
    assert (lost.status, lost.output_file_id) == ("failed", None)
    assert lost.errors is not None
    assert lost.errors.data is not None
    assert lost.errors.data[0].code == "server_error"
    assert (await simulation.after(100, other)).status == "completed"


@pytest.mark.parametrize("background", [False, True])
async def test_what_nobody_expected_fails_one_batch_alone(
    start: Callable[..., Simulation],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    background: bool,
) -> None:
    simulation = start(background=background)
    broken = await simulation.submit(*map(request_line, NAMES))
    other = await simulation.submit(*map(request_line, NAMES))
    original = Engine._commit

    def odd(self: Engine, batch: Any, chunk: Any) -> bool:
        if batch.id == broken.id:
            raise SystemExit(3)
        return original(self, batch, chunk)

    monkeypatch.setattr(Engine, "_commit", odd)
    simulation.clock.advance(1_000)
    with anyio.fail_after(60):
        while other.status != "completed":
            other = await simulation.client.batches.retrieve(other.id)
    broken = await simulation.client.batches.retrieve(broken.id)
    assert broken.status == "failed"
    assert broken.errors is not None
    assert broken.errors.data is not None
    assert broken.errors.data[0].code == "server_error"
    assert "SystemExit(3)" in (broken.errors.data[0].message or "")
    assert f"the batch {broken.id} cannot go on" in caplog.text


async def test_an_answering_function_that_exits_fails_its_line(
    start: Callable[..., Simulation],
) -> None:
    def answer(body: dict[str, Any]) -> str:
        if "Marianne" in body["messages"][0]["content"]:
            raise SystemExit(3)
        return "Fine."

    simulation = start(model=CallableModel(answer))
    answers = await simulation.answers(request_line("a"), request_line("b", "Hello"))
    assert "SystemExit(3)" in answers["a"]["error"]["message"]
    assert answers["b"]["choices"][0]["message"]["content"] == "Fine."
