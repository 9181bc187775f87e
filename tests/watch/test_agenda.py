"""What a watcher does by the clock: it reads rows again, and tells of answers that grow too old."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest

from batchspec.cli.views.watch import watching_lines
from batchspec.plan.consent import Consent
from batchspec.project.pending import Pending
from batchspec.simulator import Pace
from batchspec.state.events import BatchCollected, BatchIntended, Event
from batchspec.store.ages import next_expiry
from batchspec.watch.agenda import lifetimes, read_again, told
from batchspec.watch.engine import Engine
from tests.worlds import START, World

HOUR, DAY = 3600.0, 86_400.0
ALL = Consent(approve="all", max_cost=Decimal(1))
Step = Callable[[float | None], None]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def watch(world: World, consent: Consent, *steps: Step) -> list[int]:
    """Let an engine run: a step each time it has nothing to do; return the requests of plans."""
    left, plans = list(steps), list[int]()
    with world.open() as project:
        project.pin()
        # Nothing but what is tested wakes it.
        quiet = project.settings.watch.model_copy(update={"gc_every": 0})
        project.settings = project.settings.model_copy(update={"watch": quiet})
        engine = Engine(project=project, consent=consent, hook=world.hook)

        def idle(until: float | None) -> None:
            if left:
                left.pop(0)(until)
            else:
                engine.drain()

        engine.idle = idle
        engine.planned = lambda plan, _verdict: plans.append(plan.requests)
        anyio.run(engine.run)
    world.check()
    assert not left
    return plans


# --- rows that are read again


@dataclass(frozen=True)
class Declared:
    refresh_every: str | timedelta | None = None
    expires_after: str | timedelta | None = None


@dataclass(frozen=True)
class Given:
    job: Declared
    address: str = "m.j"


@pytest.mark.parametrize(
    ("every", "seconds"),
    [
        ((), None),
        ((None,), None),
        (("1h",), HOUR),
        (("1d", None, timedelta(hours=2)), 2 * HOUR),
    ],
)
def test_rows_are_read_again_as_the_most_eager_job_says(
    every: tuple[str | timedelta | None, ...], seconds: float | None
) -> None:
    jobs: list[Any] = [Given(Declared(refresh_every=one)) for one in every]
    found = {read_again(jobs, START, name) for name in map(str, range(50))}
    if seconds is None:
        assert found == {None}
        return
    moments = [moment for moment in found if moment is not None]
    assert len(moments) == len(found) > 20, "projects do not do it all at once"
    assert START + 0.9 * seconds <= min(moments) < max(moments) <= START + 1.1 * seconds


def test_only_jobs_that_say_so_have_answers_that_grow_too_old() -> None:
    jobs: list[Any] = [Given(Declared(), "m.a"), Given(Declared(expires_after="1h"), "m.b")]
    assert lifetimes(jobs) == {"m.b": HOUR}


def test_what_is_done_by_the_clock_is_told_once_for_all_variants() -> None:
    hourly = Declared(refresh_every="1h", expires_after=timedelta(days=2))
    jobs: list[Any] = [Given(hourly, "m.a@x"), Given(hourly, "m.a@y"), Given(Declared(), "m.b")]
    assert told(jobs) == (
        "rows of m.a are read again every 1h; answers of m.a grow too old after 2 days, 0:00:00"
    )
    many: list[Any] = [Given(Declared(refresh_every="1h"), f"m.j{n}") for n in range(7)]
    assert told(many).endswith("; and 2 more")
    assert not told([])


def grow(world: World, *keys: str) -> None:
    (world.root / "t.csv").write_text("\n".join(["id", *keys, ""]))


def test_rows_that_grow_are_found_by_the_clock_alone(world: World) -> None:
    grow(world, "a")
    world.job(rows="rows.csv('t.csv')", refresh_every="'1h'")
    until: list[float | None] = []

    def more(moment: float | None) -> None:
        until.append(moment)
        grow(world, "a", "b")

    began = world.clock.now()
    plans = watch(world, ALL, more)
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}
    assert until[0] is not None
    assert 0.9 * HOUR <= until[0] - began <= 1.1 * HOUR
    assert [requests for requests in plans if requests] == [1, 1]
    with world.open() as project:
        status = project.status()
    (line,) = [str(text) for text in watching_lines(status, 0.0, "") if "every" in str(text)]
    assert line == "  rows of m.j are read again every 1h."


def test_rows_are_read_again_while_a_batch_takes_its_time(slow: World) -> None:
    world = slow
    grow(world, "a")
    world.job(rows="rows.csv('t.csv')", refresh_every="'1h'")

    def react(event: Event) -> None:
        if isinstance(event, BatchIntended):
            grow(world, "a", "b")

    world.hook.react = react
    watch(world, ALL)
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}
    kinds = [e for e in world.hook.events if isinstance(e, BatchIntended | BatchCollected)]
    assert [type(e) for e in kinds[:2]] == [BatchIntended, BatchIntended]
    assert world.created == world.lines == 2, "and nothing was sent twice"


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[World]:
    world = World(
        tmp_path, pace=Pace(validating=60, in_progress=5 * HOUR, finalizing=60, cancelling=60)
    )
    yield world
    world.close()


# --- answers that grow too old


def expiring(world: World, *keys: str, age: str = "30d") -> None:
    world.job(*keys, expires_after=repr(age))


def test_the_next_answer_to_expire_is_found_in_the_state(world: World) -> None:
    expiring(world, "a")
    world.apply()
    first = world.clock.now()
    world.clock.advance(DAY)
    expiring(world, "a", "b")
    world.apply()
    with world.open() as project, project.reader() as reader:

        def after(now: float) -> float | None:
            return next_expiry(reader.db, {project.desired.addresses[0]: 30 * DAY}, now)

        project.load()
        moment = after(first)
        assert moment is not None
        assert 30 * DAY - HOUR <= moment - first <= 30 * DAY
        later = after(moment)
        assert later is not None
        assert later - moment >= DAY, "what is too old already is no reason to wake"
        assert after(later) is None
        assert next_expiry(reader.db, {}, first) is None


def test_it_wakes_when_an_answer_expires_and_waits_for_consent(world: World) -> None:
    expiring(world, "a")
    world.apply()
    answered = world.clock.now()
    told: list[float | None] = []

    def asked(until: float | None) -> None:
        told.append(until)

    plans = watch(world, Consent(), asked)
    assert world.created == 1
    assert told[0] is not None
    assert 30 * DAY - HOUR < told[0] - answered <= 30 * DAY + 1
    assert world.clock.now() == told[0]
    assert plans == [0, 1], "once before, once after, and no more"
    assert [saved.plan.requests for saved in Pending(world.state)] == [1]
    assert world.texts() == {"a": "SAY A"}


def test_within_the_budget_it_asks_again_by_itself_each_time(world: World) -> None:
    expiring(world, "a")
    world.apply()
    nothing: list[Step] = [lambda _until: None] * 2
    watch(world, ALL, *nothing)
    assert world.created == world.lines == 3
    assert world.clock.now() - START > 60 * DAY


def test_rows_of_answers_need_consent_for_that_too(world: World) -> None:
    world.spec(
        """
        up = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}]), prompt="say {id}")
        down = Job(model="openai:gpt-5-mini", rows=rows.outputs_of(up), prompt="again {output}",
                   expires_after="30d")
        """
    )
    world.apply()
    watch(world, Consent(), lambda _until: None)
    assert world.created == 2
    assert [saved.plan.requests for saved in Pending(world.state)] == [1]


def test_what_expires_is_proposed_once_while_the_job_above_moves(slow: World) -> None:
    world = slow
    world.spec(
        """
        up = Job(model="openai:gpt-5-mini", rows=rows.csv("t.csv"), prompt="say {id}")
        down = Job(model="openai:gpt-5-mini", rows=rows.outputs_of(up), prompt="again {output}",
                   expires_after="30d")
        """
    )
    grow(world, "a")
    world.apply()
    world.clock.advance(31 * DAY)
    # The job above was agreed to with another row, which is under way for hours.
    grow(world, "a", "b")
    with world.open() as project:
        project.apply(project.plan(), detach=True, hook=world.hook)
    assert world.created == 3
    plans = watch(world, Consent())
    # What the new row makes was agreed to; what expired shows once that is in, and waits.
    assert world.created == 4
    assert plans == [2, 1]
    (saved,) = Pending(world.state)
    (job,) = [one for one in saved.plan.jobs if one.requests]
    assert [(one.code, one.rows) for one in job.reasons] == [("ANSWER_EXPIRED", 1)]


def test_what_expires_below_a_job_that_waits_for_consent_is_no_reason_to_plan_for_ever(
    world: World,
) -> None:
    world.spec(
        """
        up = Job(model="openai:gpt-5-mini", rows=rows.csv("t.csv"), prompt="say {id}")
        down = Job(model="openai:gpt-5-mini", rows=rows.outputs_of(up), prompt="again {output}",
                   expires_after="30d")
        """
    )
    grow(world, "a")
    world.apply()
    world.clock.advance(31 * DAY)
    grow(world, "a", "b")
    plans = watch(world, Consent())
    assert world.created == 2
    assert len(plans) <= 2
    assert len(list(Pending(world.state))) == 1
