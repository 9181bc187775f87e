"""How many calls it takes: one look for many batches, and a rate that is kept."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from batchspec.apply.pacing import PacedClient, Rate
from batchspec.config import Limits, OpenAISettings
from batchspec.project.pacing import paced
from batchspec.state.events import BatchSubmitted, CallFailed
from tests.worlds import PRICES, Fault, World, failure

LIST, ONE = ("GET", "/batches"), ("GET", r"/batches/\w+")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def limit(world: World, **limits: Any) -> None:
    own = OpenAISettings(prices={"gpt-5-mini": PRICES}, limits=Limits(**limits))
    world.settings = world.settings.model_copy(update={"providers": {"openai": own}})


def calls(world: World) -> tuple[int, int]:
    """Return how often the list was asked, and single batches."""
    return world.wire.count(*LIST), world.wire.count(*ONE)


def _cost(world: World, batches: int) -> tuple[int, int]:
    """Return the calls that an apply makes to look at some batches."""
    limit(world, max_requests=1)
    world.job(*map(str, range(batches)))
    assert world.apply().done
    assert set(world.outcomes().values()) == {"succeeded"}
    # Each batch is once looked for in the list whether it has a double.
    listed, single = calls(world)
    return listed - batches, single


def test_many_batches_are_looked_at_in_few_lists(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed, single = _cost(world, 20)
    monkeypatch.setattr("batchspec.reconcile.glance.pages", lambda _due: 0)
    monkeypatch.setattr("batchspec.apply.glancing.pages", lambda _due: 0)
    (tmp_path / "other").mkdir()
    other = World(tmp_path / "other")
    none, each = _cost(other, 20)
    other.close()
    assert none == 0
    assert listed > 0
    # That a batch has ended is asked of itself; everything before is told by a few lists.
    assert single == 20
    assert listed <= (each - 20) / 2


def test_few_batches_are_looked_at_one_by_one(world: World) -> None:
    assert _cost(world, 3)[0] == 0


def _half(body: bytes) -> bytes:
    page = json.loads(body)
    page["data"] = page["data"][::2]
    return json.dumps({**page, "has_more": False}).encode()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(*LIST, rewrite=_half, times=None),
        Fault(*LIST, status=500, body=failure("no list"), times=None),
        Fault(*LIST, status=404, body=failure("no list"), times=None),
        Fault(*LIST, status=429, body=failure("slow down"), headers={"retry-after": "3"}, times=3),
    ],
    ids=["incomplete", "broken", "unknown", "throttled"],
)
def test_what_the_list_does_not_say_is_asked_of_each(world: World, fault: Fault) -> None:
    limit(world, max_requests=1)
    world.wire.faults.append(fault)
    world.job(*map(str, range(8)))
    assert world.apply().done
    assert set(world.outcomes().values()) == {"succeeded"}
    assert world.created == 8


def test_calls_keep_to_a_rate_and_a_long_wait_is_told(world: World) -> None:
    limit(world, max_requests=1, requests_per_minute=6)
    world.job("a", "b", "c", "d")
    began = world.clock.now()
    assert world.apply().done
    minutes = (world.clock.now() - began) / 60
    assert len(world.wire.calls) <= 6 * minutes + 2
    assert sum("requests_per_minute" in warning for warning in world.hook.warnings) >= 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/files"),
        ("POST", "/batches"),
        ("GET", r"/batches/\w+"),
        ("GET", r"/files/[\w-]+/content"),
        ("DELETE", r"/files/[\w-]+"),
    ],
)
def test_retry_after_is_heeded_everywhere(world: World, method: str, path: str) -> None:
    wait = 1234.0
    refused: list[float] = []
    again: list[float] = []
    fault = Fault(method, path, status=429, body=failure("slow"), headers={"retry-after": "1234"})
    world.wire.faults.append(fault)
    app = world.wire.app

    async def noted(scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == method and not again and refused:
            again.append(world.clock.now())
        await app(scope, receive, send)

    def react(_event: Any) -> None:
        if fault.times == 0 and not refused:
            refused.append(world.clock.now())

    world.wire.app, world.hook.react = noted, react
    world.job("a")
    assert world.apply().done
    assert again
    assert again[0] - refused[0] >= wait - 1


def test_retry_after_of_a_list_is_heeded_by_who_asked(world: World) -> None:
    limit(world, max_requests=1)
    fault = Fault(*LIST, status=429, body=failure("slow"), headers={"retry-after": "1234"})
    world.wire.faults.append(fault)
    world.job(*map(str, range(8)))
    assert world.apply().done
    assert fault.times == 0
    waits = [e.next_at - e.at for e in world.hook.events if isinstance(e, CallFailed)]
    assert [wait >= 1234 for wait in waits] == [True], "and the others ask for themselves"


def test_repetitions_of_the_sdk_keep_to_the_rate(world: World) -> None:
    world.job("a")
    world.apply(detach=True)
    (batch,) = [e.remote_id for e in world.hook.events if isinstance(e, BatchSubmitted)]
    again = {"x-should-retry": "true", "retry-after-ms": "1"}
    world.wire.faults.append(Fault(*ONE, status=500, body=failure("no"), headers=again, times=2))
    rate = Rate("'openai'", 6, world.clock)

    async def look() -> None:
        client = PacedClient(world.client(), rate, world.hook.warning)
        await client.retrieve(batch)
        await client.close()

    began = world.clock.now()
    anyio.run(look)
    assert world.wire.count(*ONE) == 3
    assert world.clock.now() - began >= 20, "two of the three calls waited for ten seconds"


def test_providers_of_one_account_have_one_rate(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "one")
    monkeypatch.setenv("OTHER_KEY", "another")
    own = {
        "openai": OpenAISettings(limits=Limits(requests_per_minute=60)),
        "openai-responses": OpenAISettings(endpoint="/v1/responses"),
        "slow": OpenAISettings(limits=Limits(requests_per_minute=30)),
        "other": OpenAISettings(api_key_env="OTHER_KEY"),
    }
    world.settings = world.settings.model_copy(update={"providers": own})
    with world.open() as project:
        clients = {
            name: paced(project, provider, world.hook.warning).client
            for name, provider in project.providers.items()
        }
    kinds = {name: isinstance(client, PacedClient) for name, client in clients.items()}
    assert kinds == {"openai": True, "openai-responses": True, "slow": True, "other": False}
    assert len(project.rates) == 1
