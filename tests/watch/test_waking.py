"""Every reason for which a watcher that rests, or waits for batches, has something to do again."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from threading import Event as ThreadEvent
from typing import Any

import anyio
import anyio.to_thread
import pytest

from batchspec.plan.changes import Plan
from batchspec.plan.consent import Consent, Verdict
from batchspec.ports import Clock
from batchspec.project.pending import Pending
from batchspec.simulator import Pace
from batchspec.state.events import BatchObserved, BatchSubmitted, Event
from batchspec.watch.engine import Engine
from tests.worlds import START, Fault, World, failure

HOUR, DAY = 3600.0, 86_400.0
ALL = Consent(approve="all", max_cost=Decimal(1))
SLOW = Pace(validating=60, in_progress=5 * HOUR, finalizing=60, cancelling=60)


@dataclass
class Life:
    """An engine at work.

    Attributes:
        rests: Until when it rested, each time, in seconds after the beginning of the rest.
        plans: When it planned, in seconds after it began, and what was held.
    """

    world: World
    rests: list[float | None]
    plans: list[tuple[float, tuple[str, ...]]]
    engine: Engine | None = None

    def replan(self) -> None:
        assert self.engine is not None
        self.engine.replan()


def live(
    world: World,
    consent: Consent,
    *,
    rests: int,
    then: Callable[[Life], None] = lambda _life: None,
    gc_every: float = 0.0,
) -> Life:
    """Let an engine rest so often; `then` happens while it rests for the first time."""
    life = Life(world, [], [])
    with world.open() as project:
        project.pin()
        house = project.settings.watch.model_copy(update={"gc_every": gc_every})
        project.settings = project.settings.model_copy(update={"watch": house})
        life.engine = engine = Engine(project=project, consent=consent, hook=world.hook)

        def idle(until: float | None) -> None:
            life.rests.append(None if until is None else until - world.clock.now())
            if len(life.rests) == 1:
                then(life)
            if len(life.rests) >= rests:
                engine.drain()

        def planned(_plan: Plan, verdict: Verdict) -> None:
            moment = world.clock.now() - START
            life.plans.append((moment, tuple(one.code for one in verdict.held)))

        engine.idle, engine.planned = idle, planned
        anyio.run(engine.run)
    world.check()
    return life


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, pace=SLOW)
    yield world
    world.close()


def grow(world: World, *keys: str) -> None:
    (world.root / "t.csv").write_text("\n".join(["id", *keys, ""]))


def cost_of(world: World) -> Decimal:
    with world.open() as project:
        return project.plan().cost_at_most


def more_rows(life: Life) -> None:
    grow(life.world, "a", "b")
    life.replan()


def more_rows_unheard(life: Life) -> None:
    grow(life.world, "a", "b")


def approved(life: Life) -> None:
    (saved,) = Pending(life.world.state)
    Pending(life.world.state).approve(saved)
    life.replan()


@dataclass(frozen=True)
class Reason:
    """One reason.

    Attributes:
        first: Seconds it rests for the first time, at least and at most; None: until it is told.
        job: More arguments of the job.
        consent: By which it works.
        then: What happens while it rests.
        rests: How often it rests until it has done everything.
        created: Batches in the end.
        gc_every: Seconds between two times of housekeeping.
    """

    first: tuple[float, float] | None
    created: int
    consent: Consent = ALL
    job: dict[str, str] | None = None
    then: Callable[[Life], None] = lambda _life: None
    rests: int = 2
    gc_every: float = 0.0


REASONS = {
    "housekeeping, also after a round that did everything": Reason((DAY, DAY), 1, gc_every=DAY),
    "rows that are read again by the clock": Reason(
        # From when rows were read, which is some looks at a batch before it rests.
        (0.9 * HOUR - 60, 1.1 * HOUR),
        2,
        job={"refresh_every": "'1h'"},
        then=lambda life: grow(life.world, "a", "b"),
    ),
    "an answer that grows too old": Reason(
        (30 * DAY - HOUR, 30 * DAY + 1), 2, job={"expires_after": "'30d'"}
    ),
    "data that changed": Reason(None, 2, then=more_rows),
    "somebody approved": Reason(None, 1, Consent(), then=approved),
}


@pytest.mark.parametrize("why", REASONS)
def test_it_wakes(world: World, why: str) -> None:
    reason = REASONS[why]
    grow(world, "a")
    world.job(rows="rows.csv('t.csv')", **(reason.job or {}))
    life = live(
        world, reason.consent, rests=reason.rests, then=reason.then, gc_every=reason.gc_every
    )
    if reason.first is None:
        assert life.rests[0] is None
    else:
        assert life.rests[0] is not None
        assert reason.first[0] <= life.rests[0] <= reason.first[1]
    assert world.created == reason.created


def hourly(cost: Decimal, times: str) -> Consent:
    return Consent(approve="all", max_cost=Decimal(1), max_cost_per_hour=cost * Decimal(times))


def test_it_wakes_when_the_hour_has_room(world: World) -> None:
    grow(world, "a")
    world.job(rows="rows.csv('t.csv')")
    life = live(world, hourly(cost_of(world), "1.5"), rests=3, then=more_rows)
    assert [held for _, held in life.plans] == [(), ("MAX_COST_PER_HOUR",), ()]
    assert life.plans[-1][0] >= HOUR
    assert life.rests[1] is not None
    assert life.rests[1] <= HOUR + 1
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}


def test_what_fits_into_no_hour_is_not_looked_at_every_hour(world: World) -> None:
    grow(world, "a")
    world.job(rows="rows.csv('t.csv')")
    life = live(world, hourly(cost_of(world), "0.5"), rests=1)
    assert life.rests == [None]
    with world.open() as project, project.reader() as reader:
        (said,) = [c.message for c in reader.conditions() if c.type == "Consented"]
    assert "in any hour" in said


def growing(world: World) -> None:
    """Let data grow once a first batch is at the provider."""

    def react(event: Event) -> None:
        if isinstance(event, BatchSubmitted):
            grow(world, "a", "b")

    world.hook.react = react


def test_the_hour_has_room_while_a_batch_takes_its_time(slow: World) -> None:
    world = slow
    grow(world, "a")
    world.job(rows="rows.csv('t.csv')", refresh_every="'10m'")
    consent = hourly(cost_of(world), "1.5")
    growing(world)
    life = live(world, consent, rests=1)
    (until,) = [moment for moment, held in life.plans if moment > HOUR and not held][:1]
    assert until < HOUR + 700, "long before the batch has ended"
    assert world.lines == 2


def test_housekeeping_is_done_while_batches_take_their_time(slow: World) -> None:
    world = slow
    grow(world, "a")
    world.job(rows="rows.csv('t.csv')")
    life = live(world, ALL, rests=1, gc_every=HOUR)
    with world.open() as project, project.reader() as reader:
        row = reader.db.execute("SELECT value FROM meta WHERE key = 'watch_tidied'").fetchone()
    assert [moment for moment, _ in life.plans][:3] == [0.0, HOUR, 2 * HOUR]
    assert row[0] - START >= 4 * HOUR


def test_what_an_error_ended_is_tried_again(world: World) -> None:
    grow(world, "a")
    world.job(rows="rows.csv('t.csv')")
    world.wire.faults.append(Fault("POST", "/batches", status=403, body=failure("no"), times=1))
    life = live(world, ALL, rests=1)
    assert world.texts() == {"a": "SAY A"}
    assert [held for _, held in life.plans] == [()], "only what was refused rests"


def test_what_came_to_its_end_makes_room_at_once(slow: World) -> None:
    world = slow
    grow(world, "a")
    world.job(rows="rows.csv('t.csv')", refresh_every="'1h'")
    consent = Consent(approve="all", max_cost=cost_of(world) * Decimal("1.5"))
    growing(world)
    life = live(world, consent, rests=2)
    assert ("MAX_COST",) in [held for _, held in life.plans]
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}
    assert world.clock.now() - START < 12 * HOUR, "the second followed the first"


def test_calls_that_keep_it_from_planning_are_told(world: World) -> None:
    begun, end = ThreadEvent(), ThreadEvent()
    world.model = calls_once
    world.spec(
        f"""
        from {__name__} import GATE
        @tool
        def wait() -> str:
            "Wait."
            GATE[0].set()
            GATE[1].wait(20)
            return "so"
        j = Job(model="openai:gpt-5-mini", prompt="{{id}}", tools=[wait], max_turns=2,
                rows=rows.inline([{{"id": "a"}}]))
        """
    )
    GATE[:] = [begun, end]
    told: list[None] = []
    with world.open() as project:
        project.pin()
        house = project.settings.watch.model_copy(update={"drain_timeout": 0.1})
        project.settings = project.settings.model_copy(update={"watch": house})
        engine = Engine(project=project, consent=ALL, hook=world.hook)

        def stuck() -> None:
            told.append(None)
            end.set()

        async def run() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(engine.run)
                await anyio.to_thread.run_sync(begun.wait, 20)
                engine.replan()

        engine.stuck, engine.idle = stuck, lambda _until: engine.drain()
        anyio.run(run)
    assert told
    assert world.outcomes() == {"a": "succeeded"}


GATE: list[ThreadEvent] = []


def calls_once(body: dict[str, Any]) -> Any:
    if len(body["messages"]) > 1:
        return "Done."
    call = {"id": "c", "type": "function", "function": {"name": "wait", "arguments": "{}"}}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


class Wrong:
    """Implements `ports.Clock` by one that was wrong until now."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.behind = 0.0

    def now(self) -> float:
        return self.clock.now() - self.behind

    async def sleep_until(self, moment: float) -> None:
        while (left := moment - self.now()) > 0:
            await self.clock.sleep_until(self.clock.now() + min(left, 60.0))


def test_a_clock_that_is_set_back_puts_nothing_off_for_days(world: World) -> None:
    """As when a machine starts with a wrong time, and is corrected."""
    world.job("a", "b")
    began = world.clock.now()
    with world.open() as project:
        project.pin()
        project.clock = wrong = Wrong(world.clock)

        def react(event: Event) -> None:
            if isinstance(event, BatchObserved):
                wrong.behind = 3 * 86_400

        world.hook.react = react
        consent = Consent(approve="all", max_cost=Decimal(1))
        engine = Engine(project=project, consent=consent, hook=world.hook)
        engine.idle = lambda _until: engine.drain()
        anyio.run(engine.run)
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}
    assert world.clock.now() - began < 3600
