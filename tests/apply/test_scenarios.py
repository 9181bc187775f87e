"""batchspec's own client under every scenario that ships: the same answers, each paid once."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI
from worlds import PACE, World

from batchspec.errors import BatchspecError
from batchspec.simulator import load_faults
from batchspec.simulator.faults.scenario import shipped
from batchspec.state.events import BatchObserved, Event

SCENARIOS = [scenario.name for scenario in shipped()]
ROWS = 6
SPEC = f"""
from pydantic import BaseModel

class City(BaseModel):
    name: str
    length: int

@tool
def add(x: int, y: int) -> int:
    "Add two numbers."
    return x + y

ROWS = [{{"id": str(number)}} for number in range({ROWS})]
M = "openai:gpt-5-mini"
plain = Job(model=M, rows=rows.inline(ROWS), prompt="say {{id}}")
typed = Job(model=M, rows=rows.inline(ROWS), prompt="about {{id}}", output=City, output_retries=4)
called = Job(model=M, rows=rows.inline(ROWS), prompt="add {{id}}", tools=[add], output_retries=4)
"""
JOBS = ("m.plain", "m.typed", "m.called")
UNHAPPY = {"refused", "truncated", "filtered", "failed"}
"""What a confused model may make of an item for good."""
ONCE = {
    "busy-account", "cancel-race", "expired", "flaky-network", "lost-answers", "messy-files",
    "slow-day", "stale-reads",
}  # fmt: skip
"""Scenarios that lose no answer, so that nothing may be paid for a second time."""


def answer(body: dict[str, Any]) -> Any:
    first = next(m["content"] for m in body["messages"] if m["role"] == "user")
    verb, _, number = first.partition(" ")
    if verb == "about":
        return {"role": "assistant", "content": json.dumps({"name": number, "length": 1})}
    results = [m["content"] for m in body["messages"] if m["role"] == "tool"]
    if verb == "add" and not any(text.isdecimal() for text in results):
        arguments = {"x": int(number), "y": 100}
        return {"role": "assistant", "tool_calls": [{"name": "add", "arguments": arguments}]}
    return f"{first}: {results[-1:]}"


@pytest.fixture
def under(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Callable[..., World]:
    """Makes a world in which a scenario holds."""
    # The SDK's own patience takes real time.
    monkeypatch.setattr(AsyncOpenAI, "_calculate_retry_timeout", lambda *_: 0.0)

    def make(*scenarios: str, seed: int = 0) -> World:
        asked: Counter[str] = Counter()

        def model(body: dict[str, Any]) -> Any:
            asked[json.dumps(body["messages"])] += 1
            return answer(body)

        world = World(
            tmp_path,
            model=model,
            pace=replace(PACE, window=10_000),
            faults=load_faults(scenarios, seed=seed),
        )
        world.asked = asked  # type: ignore[attr-defined]
        request.addfinalizer(world.close)
        world.spec(SPEC)
        return world

    return make


def apply(world: World) -> int:
    """Apply as a person does, who runs the command again when it says so; returns how often."""
    for runs in range(1, 10):
        try:
            world.apply()
        except BatchspecError as error:
            if "again" not in str(error):
                raise
        else:
            return runs
    raise AssertionError("it does not come to an end")


def outcomes(world: World) -> dict[str, tuple[str | None, str | None]]:
    return {
        f"{job}[{key}]": (item.outcome, item.text)
        for job in JOBS
        for key, item in world.items(job).items()
    }


def test_without_faults_everything_succeeds(under: Callable[..., World]) -> None:
    world = under()
    assert apply(world) == 1
    found = outcomes(world)
    assert len(found) == 3 * ROWS
    assert {outcome for outcome, _ in found.values()} == {"succeeded"}
    assert set(world.asked.values()) == {1}  # type: ignore[attr-defined]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_was_cancelled_too_late_is_kept(under: Callable[..., World], seed: int) -> None:
    """Somebody cancels all batches as soon as they run; what was answered all the same counts."""
    world = under("cancel-race", seed=seed)

    def cancel(event: Event) -> None:
        if isinstance(event, BatchObserved) and event.status == "in_progress":
            world.server.cancel_batches()

    world.hook.react = cancel
    apply(world)
    statuses = {batch["status"] for batch in world.remote()}
    assert statuses <= {"completed", "cancelled"}
    found = outcomes(world)
    assert {outcome for outcome, _ in found.values()} <= {"succeeded", "cancelled"}
    if statuses == {"completed"}:
        assert {outcome for outcome, _ in found.values()} == {"succeeded"}
    assert set(world.asked.values()) == {1}  # type: ignore[attr-defined]
    world.hook.react = lambda _: None
    apply(world)
    assert {outcome for outcome, _ in outcomes(world).values()} == {"succeeded"}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str | None, str | None]]:
    world = World(tmp_path_factory.mktemp("calm"), model=answer)
    world.spec(SPEC)
    world.apply()
    found = outcomes(world)
    world.close()
    return found


def _judged(key: str, got: tuple[str | None, str | None]) -> bool:
    """Tell whether an answer must be the right one: a text that is wrong is still a text."""
    assert got[0] == "succeeded" or got[0] in UNHAPPY
    return got[0] == "succeeded" and key.startswith("m.typed")


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_answers_are_those_of_a_calm_day(
    under: Callable[..., World],
    expected: dict[str, tuple[str | None, str | None]],
    scenario: str,
    seed: int,
) -> None:
    world = under(scenario, seed=seed)
    apply(world)
    found = outcomes(world)
    if scenario == "confused-model":
        found = {key: got for key, got in found.items() if _judged(key, got)}
    assert found == {key: expected[key] for key in found}
    assert found
    struck = sum(rule.hit for rule in world.app.state.engine.faults.rules())
    assert struck, "nothing happened"
    if scenario in ONCE:
        assert set(world.asked.values()) == {1}  # type: ignore[attr-defined]
