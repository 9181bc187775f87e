"""Batches whose lines are answered by a live endpoint in another process."""

import sqlite3
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Self

import anyio
import httpx2
import openai
import psutil
import pytest
from openai.types import Batch
from starlette.applications import Starlette
from upstream import Rule, UpstreamProcess

from batchspec.simulator import AppTransport, Pace, Upstream, create_app
from batchspec.simulator.endpoints.port import Reply

from .conftest import Simulation as SimulationBase
from .conftest import request_line

pytestmark = pytest.mark.anyio
AT_ONCE = Pace(validating=0, in_progress=0, finalizing=0, cancelling=0)
NAMES = [f"r{number}" for number in range(40)]


class Simulation(SimulationBase):
    async def until(self, batch: Batch, *statuses: str) -> Batch:
        """Look until the batch has one of the statuses; each look is a call of its own."""
        with anyio.fail_after(60):
            while batch.status not in statuses:
                batch = await self.client.batches.retrieve(batch.id)
        return batch

    async def counts(self, batch: Batch, completed: int) -> Batch:
        with anyio.fail_after(60):
            while batch.request_counts is None or batch.request_counts.completed < completed:
                batch = await self.client.batches.retrieve(batch.id)
        return batch


@pytest.fixture
async def run(
    tmp_path: Path, server: UpstreamProcess, anyio_backend: str
) -> AsyncIterator[Callable[..., Simulation]]:
    """Starts simulators over one directory, each in place of the one before."""
    clients: list[openai.AsyncOpenAI] = []
    apps: list[Starlette] = []

    def begin(**options: Any) -> Simulation:
        for app in apps:
            app.state.engine.close()
        apps.clear()
        pace = options.pop("pace", AT_ONCE)
        source = Upstream(server.base_url, **options)
        apps.append(create_app(tmp_path / "simulator", source=source, pace=pace))
        http = httpx2.AsyncClient(transport=AppTransport(apps[-1]))
        client = openai.AsyncOpenAI(
            base_url="http://simulator/v1", api_key="simulated", http_client=http, max_retries=0
        )
        clients.append(client)
        return Simulation(apps[-1], client, None)  # type: ignore[arg-type]

    yield begin
    for app in apps:
        app.state.engine.runner._grace = 0
        app.state.engine.close()
    for client in clients:
        await client.close()


Run = Callable[..., Simulation]


def lines(names: list[str] = NAMES) -> list[dict[str, Any]]:
    return [request_line(name, f"Say {name}.") for name in names]


async def test_a_batch_is_answered_by_the_upstream(run: Run, server: UpstreamProcess) -> None:
    server.rules(Rule(match="r7.", status=400, body='{"error":{"message":"too long"}}'))
    simulation = run(concurrency=4)
    batch = await simulation.until(await simulation.submit(*lines()), "completed")
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (39, 1)
    results = await simulation.lines(batch.output_file_id)
    (failed,) = await simulation.lines(batch.error_file_id)
    assert Counter(line["custom_id"] for line in [*results, failed]) == Counter(NAMES)
    assert failed["response"]["body"] == {"error": {"message": "too long"}}
    assert batch.usage is not None
    tokens = sum(line["response"]["body"]["usage"]["total_tokens"] for line in results)
    assert batch.usage.total_tokens == tokens > 0
    assert batch.completed_at is not None
    assert batch.in_progress_at is not None
    assert batch.created_at <= batch.in_progress_at <= batch.completed_at
    assert simulation.engine.database.replied(batch.id) == set()


async def test_lines_of_all_batches_take_turns(run: Run, server: UpstreamProcess) -> None:
    server.rules(Rule(match="Say r0.", hold=True), Rule(match="Say r1.", hold=True))
    simulation = run(concurrency=2)
    long = await simulation.submit(*lines())
    await to_thread(lambda: server.wait(active=2))
    short = await simulation.submit(*lines(["s1", "s2"]))
    with anyio.fail_after(60):
        while short.id not in simulation.engine.runner._batches:  # type: ignore[attr-defined]
            await simulation.client.batches.list()
    await to_thread(server.release)
    await simulation.until(short, "completed")
    await simulation.until(long, "completed")
    assert server.seen["answered"].index("Say s2.") < 8
    assert server.seen["most"] == 2


async def to_thread(function: Callable[[], Any]) -> Any:
    return await anyio.to_thread.run_sync(function)


async def test_counts_move_with_every_line(run: Run, server: UpstreamProcess) -> None:
    server.rules(Rule(times=5), Rule(hold=True))
    simulation = run(concurrency=2)
    batch = await simulation.counts(await simulation.submit(*lines()), 5)
    assert batch.request_counts is not None
    assert (batch.status, batch.request_counts.completed) == ("in_progress", 5)
    assert batch.usage is not None
    assert batch.usage.output_tokens > 0
    assert batch.output_file_id is None


async def test_a_closed_server_asks_no_finished_line_again(
    run: Run, server: UpstreamProcess
) -> None:
    server.rules(Rule(times=15), Rule(hold=True))
    simulation = run(concurrency=3)
    batch = await simulation.counts(await simulation.submit(*lines()), 15)
    simulation.engine.runner._grace = 0  # type: ignore[attr-defined]
    # What hangs is dropped; whoever is asked again is answered.
    again = run(concurrency=3)
    server.reset()
    batch = await again.until(batch, "completed")
    results = await again.lines(batch.output_file_id)
    assert Counter(line["custom_id"] for line in results) == Counter(NAMES)
    assert server.seen["calls"] == len(NAMES) - 15


async def test_running_calls_end_within_the_grace(run: Run, server: UpstreamProcess) -> None:
    server.rules(Rule(hold=True))
    simulation = run(concurrency=3)
    batch = await simulation.submit(*lines())
    await to_thread(lambda: server.wait(active=3))
    closing = threading.Thread(target=simulation.engine.close)
    closing.start()
    stopping = simulation.engine.runner._stopping  # type: ignore[attr-defined]
    with anyio.fail_after(60):
        while not stopping.is_set():
            await simulation.client.batches.list()
    await to_thread(server.release)
    await to_thread(closing.join)
    assert server.seen["calls"] == 3
    again = run()
    assert len(again.engine.database.replied(batch.id)) == 3


async def test_a_cancelled_batch_keeps_what_was_answered(run: Run, server: UpstreamProcess) -> None:
    server.rules(Rule(times=10), Rule(hold=True))
    simulation = run(concurrency=3)
    batch = await simulation.counts(await simulation.submit(*lines()), 10)
    await to_thread(lambda: server.wait(active=3))
    await simulation.client.batches.cancel(batch.id)
    batch = await simulation.until(batch, "cancelled")
    assert len(await simulation.lines(batch.output_file_id)) == 10
    rest = await simulation.lines(batch.error_file_id)
    assert {line["error"]["code"] for line in rest} == {"batch_cancelled"}
    assert len(rest) == 30
    # The calls that were running are gone, and the slots are free.
    server.reset()
    other = await simulation.until(await simulation.submit(*lines(["x"])), "completed")
    assert other.request_counts is not None
    assert other.request_counts.completed == 1


async def test_an_expired_batch_keeps_what_was_answered(run: Run, server: UpstreamProcess) -> None:
    server.rules(Rule(times=10), Rule(hold=True))
    simulation = run(concurrency=3, pace=Pace(in_progress=0, window=1.0))
    batch = await simulation.until(await simulation.submit(*lines()), "expired")
    assert len(await simulation.lines(batch.output_file_id)) == 10
    rest = await simulation.lines(batch.error_file_id)
    assert {line["error"]["code"] for line in rest} == {"batch_expired"}


async def test_a_live_request_goes_to_the_upstream(run: Run, server: UpstreamProcess) -> None:
    simulation = run()
    completion = await simulation.client.chat.completions.create(
        model="llama", messages=[{"role": "user", "content": "Hello"}]
    )
    assert completion.choices[0].message.content
    assert server.seen["answered"] == ["Hello"]
    server.kill()
    with pytest.raises(openai.InternalServerError, match="nothing answers"):
        await simulation.client.chat.completions.create(
            model="llama", messages=[{"role": "user", "content": "Hello"}]
        )
    server.start()


async def test_the_models_are_those_of_the_upstream(run: Run, server: UpstreamProcess) -> None:
    simulation = run()
    assert [model.id for model in (await simulation.client.models.list()).data] == ["llama3.2"]
    server.kill()
    with pytest.raises(openai.InternalServerError, match="cannot be listed: nothing answers at"):
        await simulation.client.models.list()
    server.start()


async def test_an_upstream_that_was_down_fails_no_line(run: Run, server: UpstreamProcess) -> None:
    server.kill()
    simulation = run(concurrency=2, retries=0)
    batch = await simulation.submit(*lines())
    with anyio.fail_after(60):
        while simulation.engine.runner.outage is None:  # type: ignore[attr-defined]
            batch = await simulation.client.batches.retrieve(batch.id)
    assert batch.request_counts is not None
    assert batch.request_counts.failed == 0
    server.start()
    batch = await simulation.until(batch, "completed")
    assert batch.request_counts is not None
    assert batch.request_counts.completed == len(NAMES)
    assert simulation.engine.runner.outage is None  # type: ignore[attr-defined]


async def test_a_line_that_cannot_be_sent_fails_alone(
    run: Run, server: UpstreamProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Upstream.ask

    async def odd(self: Upstream, endpoint: str, body: Any, *rest: Any, **more: Any) -> Any:
        if "r3." in body["messages"][0]["content"]:
            raise ZeroDivisionError
        return await original(self, endpoint, body, *rest, **more)

    monkeypatch.setattr(Upstream, "ask", odd)
    simulation = run()
    batch = await simulation.until(await simulation.submit(*lines()), "completed")
    assert batch.request_counts is not None
    assert batch.request_counts.failed == 1


async def test_a_full_disk_holds_everything_and_loses_nothing(
    run: Run, server: UpstreamProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = run(concurrency=3)
    database = simulation.engine.database
    original, failures = database.add_replies, [sqlite3.OperationalError("disk is full")] * 2

    def failing(*values: Any) -> None:
        if failures:
            raise failures.pop()
        original(*values)

    monkeypatch.setattr(database, "add_replies", failing)
    monkeypatch.setattr("batchspec.simulator.jobs.live._SAVE_AGAIN", 0.01)
    batch = await simulation.until(await simulation.submit(*lines()), "completed")
    assert server.seen["calls"] == len(NAMES)
    assert len(await simulation.lines(batch.output_file_id)) == len(NAMES)


async def test_faults_strike_answers_of_an_upstream(run: Run) -> None:
    simulation = run(concurrency=4)
    simulation.engine.faults.add("line_error", status=503, custom_id="r7")
    simulation.engine.faults.add("refusal", custom_id="r8")
    simulation.engine.faults.add("doubled_line", custom_id="r9")
    batch = await simulation.until(await simulation.submit(*lines()), "completed")
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (39, 1)
    results = await simulation.lines(batch.output_file_id)
    (failed,) = await simulation.lines(batch.error_file_id)
    assert (failed["custom_id"], failed["response"]["status_code"]) == ("r7", 503)
    found = Counter(line["custom_id"] for line in results)
    assert found == Counter([*(name for name in NAMES if name != "r7"), "r9"])
    (refused,) = [line for line in results if line["custom_id"] == "r8"]
    assert refused["response"]["body"]["choices"][0]["message"]["refusal"]


class Instant:
    """A source that answers at once, with some kilobytes."""

    concurrency, outage = 64, None
    reply = Reply(200, {"choices": [], "text": "x" * 4_000})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None: ...

    async def turn(self) -> None: ...

    async def ask(self, *request: object, patient: bool = True) -> Reply:
        await anyio.lowlevel.checkpoint()
        return self.reply

    def stop(self) -> None: ...


async def test_twenty_thousand_lines_take_no_more_memory_than_a_few(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "Upstream", lambda *_: Instant())
    simulation = run()
    names = [f"r{n}" for n in range(20_000)]
    await simulation.until(await simulation.submit(*lines(names[:1_000])), "completed")
    batch = await simulation.submit(*lines(names))
    process = psutil.Process()
    before = most = process.memory_info().rss
    with anyio.fail_after(120):
        while batch.status != "completed":
            batch = await simulation.client.batches.retrieve(batch.id)
            most = max(most, process.memory_info().rss)
    assert batch.request_counts is not None
    assert batch.request_counts.completed == 20_000
    assert (most - before) / 2**20 < 40  # the replies have 80


async def test_an_upstream_that_fails_and_drops_connections_costs_time_only(
    run: Run, server: UpstreamProcess
) -> None:
    server.rules(
        Rule(match="Say r1.", status=429, times=1, headers={"retry-after": "30"}),
        Rule(match="Say r2.", status=500, times=2),
        Rule(match="Say r3.", drop=True, times=1),
        Rule(match="Say r4.", body="<html>", times=1),
    )
    clock = StandingClock()
    simulation = run(concurrency=4, clock=clock, sleep=clock.sleep)
    batch = await simulation.until(await simulation.submit(*lines()), "completed")
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (40, 0)
    assert server.seen["calls"] == 45
    # The pause is everybody's, and nobody asked in it.
    assert clock.now >= 30


class StandingClock:
    """A clock that whoever sleeps moves on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        await anyio.lowlevel.checkpoint()
        self.now = max(self.now, until)
