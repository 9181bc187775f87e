"""How many calls it takes: one look for many batches, and a rate that is kept."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchspec.config import Limits, OpenAISettings
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
