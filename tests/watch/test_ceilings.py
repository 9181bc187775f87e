"""What plans said they may cost holds until they are at their end, whoever works on them."""

import sqlite3
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import from_thread

from batchspec.plan.changes import Plan
from batchspec.plan.consent import Consent, Verdict
from batchspec.project.pending import Pending
from batchspec.state.events import Event
from batchspec.state.watching import ConditionChanged
from batchspec.store.watching import paid
from batchspec.watch.engine import Engine
from tests.worlds import World

Step = Callable[[Engine], None]
TALKATIVE = """
    @tool
    def look() -> str:
        "Look."
        return "word " * 100_000

    dear = Job(
        model="openai:gpt-5-mini", prompt="{id}", tools=[look], max_turns=2,
        settings={"max_tokens": 10}, rows=rows.inline([{"id": "a"}]),
    )
    cheap = Job(
        model="openai:gpt-5-mini", prompt="tell {id}",
        settings={"max_tokens": 10}, rows=rows.inline([{"id": "b"}]),
    )
"""


def calls_once(body: dict[str, Any]) -> Any:
    if "tools" in body and len(body["messages"]) == 1:
        call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    return "Done."


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, model=calls_once)
    yield world
    world.close()


def watch(
    world: World,
    consent: Consent,
    *steps: Step,
    until: str = "",
    react: Callable[[Engine, Event], None] | None = None,
) -> list[str]:
    """Let an engine run, a step each time it has nothing to do; return what was held.

    `until`: drain it once something is held for this reason, whatever is under way.
    """
    left, held = list(steps), list[str]()
    with world.open() as project:
        project.pin()
        engine = Engine(project=project, consent=consent, hook=world.hook)

        def idle(_until: float | None) -> None:
            if left:
                left.pop(0)(engine)
            else:
                engine.drain()

        def planned(_plan: Plan, verdict: Verdict) -> None:
            held.extend(one.code for one in verdict.held)
            if until in held:
                from_thread.run_sync(engine.drain)

        engine.idle, engine.planned = idle, planned
        if react is not None:
            world.hook.react = partial(react, engine)
        anyio.run(engine.run)
    world.check()
    assert not left
    return held


def approve_now(world: World) -> None:
    pending = Pending(world.state)
    (saved,) = pending
    pending.approve(saved)


def approve(engine: Engine) -> None:
    pending = Pending(engine.project.directory)
    (saved,) = pending
    pending.approve(saved)
    engine.replan()


def waiting(world: World) -> list[tuple[int, Decimal]]:
    return [(saved.plan.requests, saved.plan.cost_at_most) for saved in Pending(world.state)]


def condition(world: World) -> tuple[str, str, str]:
    with world.open() as project, project.reader() as reader:
        (found,) = [c for c in reader.conditions() if c.type == "Consented"]
    return found.status, found.reason, found.message


def test_a_further_turn_that_exceeds_what_was_approved_asks_anew(world: World) -> None:
    world.spec(TALKATIVE)
    watch(world, Consent(), approve, until="BEYOND_AGREED")
    assert world.lines == 2, "the second turn was not sent"
    assert world.outcomes("m.cheap") == {"b": "succeeded"}
    ((requests, cost),) = waiting(world)
    assert requests == 1
    assert cost > Decimal("0.1")
    status, reason, message = condition(world)
    assert (status, reason) == ("False", "BeyondAgreed")
    assert "more than its plan said" in message
    # Another process holds it as well, and asks for the same.
    watch(world, Consent(), until="BEYOND_AGREED")
    assert world.lines == 2
    assert waiting(world) == [(requests, cost)]
    approve_now(world)
    assert watch(world, Consent()) == []
    assert world.lines == 3
    assert world.outcomes("m.dear") == {"a": "succeeded"}
    assert condition(world)[0] == "True"


@pytest.mark.parametrize(("budget", "lines"), [("1", 3), ("0.1", 2)])
def test_more_than_was_said_is_within_the_budget_or_waits(
    world: World, budget: str, lines: int
) -> None:
    world.spec(TALKATIVE)
    consent = Consent(approve="all", max_cost=Decimal(budget))
    held = watch(world, consent, until="MAX_COST")
    assert held == (["MAX_COST"] if lines == 2 else [])
    assert world.lines == lines


@pytest.mark.parametrize("noted", [True, False])
def test_what_apply_has_under_way_is_set_aside_and_told(world: World, *, noted: bool) -> None:
    world.job("a")
    world.apply(detach=True)
    if not noted:  # as in a state that was written before anybody counted
        with sqlite3.connect(world.state / "batchspec.db") as db:
            db.execute("DELETE FROM meta WHERE key = 'agreed'")
    world.job("b", name="n")
    with world.open() as project:
        cost = project.plan().cost_at_most
    told: list[str] = []

    def react(event: Event) -> None:
        if isinstance(event, ConditionChanged) and event.type == "Consented":
            told.append(event.message)

    world.hook.react = react
    consent = Consent(approve="all", max_cost=cost * Decimal("1.5"))
    # It waits for the first to be at its end, which has cost far less than it might have.
    assert watch(world, consent, lambda _engine: None) == ["MAX_COST"]
    assert "is set aside for what is under way" in told[0]
    assert world.texts("n.j") == {"b": "Done."}


def test_who_agrees_to_all_that_waits_agrees_to_what_exceeded_an_earlier_plan(
    world: World,
) -> None:
    world.spec(TALKATIVE)
    watch(world, Consent(), approve, until="BEYOND_AGREED")
    world.job("x", name="other", settings="{'max_tokens': 10}")
    watch(world, Consent(), until="BEYOND_AGREED")
    ((requests, _),) = waiting(world)
    assert requests == 2
    approve_now(world)
    assert watch(world, Consent()) == []
    assert world.outcomes("other.j") == {"x": "succeeded"}
    assert world.outcomes("m.dear") == {"a": "succeeded"}


SHARED = """
    @tool
    def look() -> str:
        "Look."
        return "word " * 100_000

    @tool
    def glance() -> str:
        "Glance."
        return "word"

    dear = Job(
        model="openai:gpt-5-mini", prompt="{id}", tools=[look], max_turns=2, max_cost=0.05,
        settings={"max_tokens": 10}, rows=rows.inline([{"id": "a"}]),
    )
    modest = Job(
        model="openai:gpt-5-mini", prompt="tell {id}", tools=[glance], max_turns=4,
        settings={"max_tokens": 10}, rows=rows.inline([{"id": "b"}]),
    )
"""


def calls_thrice(body: dict[str, Any]) -> Any:
    name = body["tools"][0]["function"]["name"]
    if len(body["messages"]) < (2 if name == "look" else 7):
        call = {"id": "c", "type": "function", "function": {"name": name, "arguments": "{}"}}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    return "Done."


@pytest.mark.parametrize("approved", [False, True])
def test_a_job_that_is_too_dear_holds_up_none_that_shares_its_batches(
    world: World, *, approved: bool
) -> None:
    """Neither by its own budget, nor by what was agreed to."""
    world.model = calls_thrice
    world.spec(SHARED.replace(", max_cost=0.05", "") if approved else SHARED)
    consent = Consent() if approved else Consent(approve="all", max_cost=Decimal(5))

    def done(engine: Engine, event: Event) -> None:
        if not isinstance(event, ConditionChanged):
            return
        if (event.job, event.type, event.status) == ("m.modest", "Converged", "True"):
            from_thread.run_sync(engine.drain)

    watch(world, consent, *([approve] if approved else []), react=done)
    assert world.outcomes("m.modest") == {"b": "succeeded"}
    assert world.outcomes("m.dear") == {"a": None}
    assert world.lines == 5


GROWING = """
    from pathlib import Path

    def some():
        more = range(int(Path("n").read_text()))
        return [{"id": "a"}, {"id": "%s"}] + [{"id": f"x{n}"} for n in more]

    j = Job(
        model="openai:gpt-5-mini", prompt="say {id}", rows=rows.iterable(some),
        settings={"max_tokens": 10},
    )
"""


def test_what_grows_between_two_plans_is_judged_once_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that is gone waits, so that a second plan is made, without it."""
    monkeypatch.chdir(world.root)
    (world.root / "n").write_text("0")
    world.spec(GROWING % "gone")
    world.apply()
    world.spec(GROWING % "b")
    before, held = world.lines, list[str]()
    with world.open() as project:
        project.pin()
        consent = Consent(approve="all", max_cost=Decimal("0.001"))
        engine = Engine(project=project, consent=consent, hook=world.hook)
        engine.idle = lambda _until: engine.drain()

        def planned(_plan: Plan, verdict: Verdict) -> None:
            held.extend(one.code for one in verdict.held)
            (world.root / "n").write_text("2000")

        engine.planned = planned
        anyio.run(engine.run)
    assert held == ["REMOVALS"]
    assert world.lines == before, "2,001 requests cost more than somebody agreed to"
    with world.open() as project, project.reader() as reader:
        (told,) = [c.message for c in reader.conditions() if c.type == "Consented"]
    assert "left of --max-cost" in told


def test_answers_that_are_deleted_stay_paid(world: World) -> None:
    """Else nobody's budget would ever be used up."""
    world.spec(TALKATIVE)
    world.apply()
    with world.open() as project, project.reader() as reader:
        spent = reader.spent()
    with world.open() as project:
        project.destroy("m.cheap", answers=True, hook=world.hook)
    with world.open() as project, project.reader() as reader:
        assert spent
        assert [reader.spent(), paid(reader.db)] == pytest.approx([spent, spent])
