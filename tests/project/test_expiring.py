"""Answers that grow too old for their job: asked again when somebody agrees, and once."""

from datetime import timedelta
from typing import Any

import pytest
from worlds import World

from batchspec.cli.views.documents import job_plan
from batchspec.cli.views.plan import plan_lines
from batchspec.cli.views.words import money
from batchspec.errors import ExitCode, SpecError
from batchspec.plan.changes import Kind, Plan

DAY = 86_400.0
SAID: list[str] = []


def counting(body: dict[str, Any]) -> str:
    """Answer each time with another number."""
    SAID.append(body["messages"][-1]["content"])
    return f"{SAID[-1]} {len(SAID)}"


@pytest.fixture(autouse=True)
def _nothing_said(world: World) -> None:
    SAID.clear()
    world.model = counting


def told(plan: Plan) -> dict[str, tuple[Kind, str, int]]:
    """Return the reason of each job that has one."""
    return {
        job.address: (reason.kind, reason.code, reason.rows)
        for job in plan.jobs
        for reason in job.reasons
    }


def look(world: World) -> Plan:
    with world.open() as project:
        return project.plan()


EXPIRED = (Kind.RESUBMIT, "ANSWER_EXPIRED", 1)
AGE = "'30d'"


def test_an_answer_is_asked_again_once_it_is_too_old_and_only_then(world: World) -> None:
    world.job("a", expires_after=AGE)
    world.apply()
    world.clock.advance(30 * DAY - 3600)
    assert world.apply().nothing
    world.job("a", "b", expires_after=AGE)
    world.apply()
    world.clock.advance(3600)
    plan = look(world)
    assert told(plan) == {"m.j": EXPIRED}
    assert plan.requests == 1
    assert plan.cost_at_most > 0
    assert world.texts() == {"a": "say a 1", "b": "say b 2"}, "it is readable until then"
    world.apply()
    assert world.texts() == {"a": "say a 3", "b": "say b 2"}
    assert world.apply().nothing


def test_the_old_answer_stays_until_the_new_one_is_in(world: World) -> None:
    world.job("a", expires_after=AGE)
    world.apply()
    world.clock.advance(31 * DAY)
    world.apply(detach=True)
    assert world.texts() == {"a": "say a 1"}
    assert told(look(world)) == {"m.j": (Kind.CONTINUE, "BATCH_IN_PROGRESS", 1)}
    world.apply()
    assert world.texts() == {"a": "say a 2"}


def test_what_failed_does_not_expire(world: World) -> None:
    world.model = lambda body: {"role": "assistant", "content": None, "refusal": "no"}
    world.job("a", expires_after=AGE)
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    world.clock.advance(31 * DAY)
    assert look(world).requests == 0


def test_of_two_jobs_with_one_answer_the_shorter_age_asks_for_both(world: World) -> None:
    world.job("a", expires_after="'2d'")
    world.job("a", name="n", expires_after="'20d'")
    world.apply()
    assert SAID == ["say a"]
    world.clock.advance(3 * DAY)
    assert told(look(world)) == {"m.j": EXPIRED}
    world.apply()
    assert world.texts() == world.texts("n.j") == {"a": "say a 2"}
    assert world.apply().nothing
    world.clock.advance(21 * DAY)
    plan = look(world)
    assert told(plan) == {"m.j": EXPIRED, "n.j": EXPIRED}
    assert plan.requests == 1


def test_an_answer_of_others_that_is_too_old_is_not_taken_over(world: World) -> None:
    world.job("a")
    world.apply()
    world.clock.advance(31 * DAY)
    world.job("a", name="n", expires_after=AGE)
    assert told(look(world)) == {"n.j": EXPIRED}
    world.apply()
    assert world.texts("n.j") == {"a": "say a 2"}


def test_what_only_changed_in_parts_that_are_ignored_expires_as_well(world: World) -> None:
    world.job("a", ignore_changes="['prompt']", expires_after=AGE)
    world.apply()
    world.job("a", ignore_changes="['prompt']", expires_after=AGE, prompt="'tell {id}'")
    assert world.apply().nothing
    world.clock.advance(31 * DAY)
    assert told(look(world)) == {"m.j": EXPIRED}
    world.apply()
    assert world.texts() == {"a": "tell a 2"}
    assert world.apply().nothing


def test_samples_and_variants_have_ages_of_their_own(world: World) -> None:
    variants = "{'plain': {}, 'short': {'expires_after': '1d'}}"
    world.job("a", variants=variants, samples="2", expires_after=AGE)
    world.apply()
    world.clock.advance(2 * DAY)
    assert told(look(world)) == {"m.j@short": EXPIRED, "m.j@short#2": EXPIRED}


BELOW = """
    up = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}]), prompt="say {id}",
             expires_after="30d")
    down = Job(model="openai:gpt-5-mini", rows=rows.outputs_of(up), prompt="again {row[id]}"%s)
"""


def test_jobs_below_follow_and_are_asked_only_where_something_changed(world: World) -> None:
    world.spec(BELOW % "")
    world.apply()
    world.clock.advance(31 * DAY)
    plan = look(world)
    assert told(plan)["m.up"] == EXPIRED
    assert [job.waits_for for job in plan.jobs] == [(), ("m.up",)]
    world.apply()
    assert SAID == ["say a", "again a", "say a"]
    assert world.apply().nothing


def test_a_job_that_waits_is_bounded_with_what_expires_and_does_it_in_one_apply(
    world: World,
) -> None:
    world.spec(BELOW % ', expires_after="30d"')
    world.apply()
    world.clock.advance(31 * DAY)
    plan = look(world)
    assert [job.requests for job in plan.jobs] == [1, 1]
    world.apply()
    assert SAID == ["say a", "again a", "say a", "again a"]
    assert world.apply().nothing


def test_a_saved_plan_asks_again_once(world: World) -> None:
    world.job("a", expires_after=AGE)
    world.apply()
    world.clock.advance(31 * DAY)
    with world.open() as project:
        saved = project.save_plan(project.plan(), world.root / "p.plan")
        assert project.apply(saved, hook=world.hook).done
    world.check()
    assert world.texts() == {"a": "say a 2"}
    assert world.apply().nothing


def test_a_plan_that_was_saved_before_the_answer_came_again_leaves_it(world: World) -> None:
    world.job("a", expires_after=AGE)
    world.apply()
    world.clock.advance(31 * DAY)
    with world.open() as project:
        saved = project.save_plan(project.plan(), world.root / "p.plan")
    world.apply()
    with world.open() as project:
        assert project.replan(saved, later=True).requests == 0


def test_a_clock_that_was_set_back_makes_nothing_expire(world: World) -> None:
    world.job("a", expires_after=AGE)
    world.clock.advance(31 * DAY)
    world.apply()
    with world.open() as project:
        project.clock = type(world.clock)(world.clock.now() - 31 * DAY)
        assert project.plan().requests == 0


def test_a_timedelta_is_a_duration(world: World) -> None:
    world.job("a", expires_after="__import__('datetime').timedelta(days=1)")
    world.apply()
    world.clock.advance(timedelta(days=1))
    assert told(look(world)) == {"m.j": EXPIRED}


def price(plan: Plan, job: str = "m.j") -> float | None:
    """Return the price of what expires in a job, as `plan --json` has it."""
    (found,) = [one for one in plan.jobs if one.address == job]
    prices = [one["cost_usd"] for one in job_plan(found)["reasons"] if one["cost_usd"] is not None]
    return sum(prices) if prices else None


def test_what_expires_has_a_price_of_its_own(world: World) -> None:
    world.job("a", "b", expires_after=AGE)
    world.apply()
    assert price(look(world)) is None
    world.clock.advance(31 * DAY)
    alone = look(world)
    assert price(alone) == float(alone.cost) > 0
    world.job("a", "b", "c", "d", expires_after=AGE)
    plan = look(world)
    assert told(plan)["m.j"][1] == "NEW_ROWS"
    assert price(plan) == price(alone)
    assert float(plan.cost) == pytest.approx(2 * float(alone.cost))
    (line,) = [str(one) for one in plan_lines(plan) if "expires_after" in str(one)]
    assert ": 2 rows to resubmit, est. $" in line
    with world.open() as project:
        saved = project.save_plan(project.plan(), world.root / "p.plan")
        assert price(saved.plan) == price(alone)
    world.spec(world_spec_without_price(world))
    assert look(world).jobs[0].reasons[0].cost is None


def world_spec_without_price(world: World) -> str:
    text = (world.root / "specs" / "m.py").read_text()
    return text.replace("gpt-5-mini", "gpt-unheard-of")


def test_an_answer_of_two_jobs_is_paid_for_in_one_of_them(world: World) -> None:
    world.job("a", expires_after=AGE)
    world.job("a", name="n", expires_after=AGE)
    world.apply()
    world.clock.advance(31 * DAY)
    plan = look(world)
    prices = [price(plan), price(plan, "n.j")]
    assert sorted(one or 0 for one in prices) == [0, float(plan.cost)]


def test_variants_that_stand_together_have_one_price(world: World) -> None:
    variants = "{'x': {'prompt': 'x {id}'}, 'y': {'prompt': 'y {id}'}}"
    world.job("a", variants=variants, samples="2", expires_after=AGE)
    world.apply()
    world.clock.advance(31 * DAY)
    plan = look(world)
    (line,) = [str(one) for one in plan_lines(plan) if "expires_after" in str(one)]
    assert plan.requests == 4
    assert f"est. {money(plan.cost)}" in line


def test_a_trigger_that_changed_meanwhile_is_the_reason(world: World) -> None:
    world.job("a", expires_after=AGE, triggers="{'month': 1}")
    world.apply()
    world.clock.advance(31 * DAY)
    world.job("a", expires_after=AGE, triggers="{'month': 2}")
    plan = look(world)
    assert told(plan) == {"m.j": (Kind.RESUBMIT, "TRIGGERED", 1)}
    assert plan.requests == 1
    world.apply()
    assert world.apply().nothing
    # The answer of before is too old to be taken over when its trigger comes back.
    world.job("a", expires_after=AGE, triggers="{'month': 1}")
    assert told(look(world)) == {"m.j": EXPIRED}
    world.apply()
    assert world.texts() == {"a": "say a 3"}


JUDGED = """
    judge = Job(model="openai:gpt-5-mini", prompt="is it good? {output}", output=float%s)
    j = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}]), prompt="say {id}",
            grade=judge%s)
"""


def grading(body: dict[str, Any]) -> str:
    text = counting(body)
    return '{"response": 0.5}' if text.startswith("is it good?") else text


@pytest.mark.parametrize(
    ("judge", "judged"), [(', expires_after="30d"', ""), ("", ', expires_after="30d"')]
)
def test_a_judge_and_what_it_judges_expire_by_themselves(
    world: World, judge: str, judged: str
) -> None:
    world.model = grading
    world.spec(JUDGED % (judge, judged))
    world.apply()
    assert len(SAID) == 2
    world.clock.advance(31 * DAY)
    plan = look(world)
    whose = "m.judge" if judge else "m.j"
    assert told(plan)[whose] == EXPIRED
    world.apply()
    # Another answer is another thing to judge.
    assert len(SAID) == (3 if judge else 4)
    assert world.apply().nothing


def test_a_vector_expires_as_an_answer_does(world: World) -> None:
    world.model = lambda body: [[1.0, 0.5, 0.5]]
    world.spec(
        """
        j = EmbeddingJob(model="openai:text-embedding-3-small", input="say {id}", dimensions=3,
                         rows=rows.inline([{"id": "a"}]), expires_after="30d")
        """
    )
    world.apply()
    world.clock.advance(31 * DAY)
    plan = look(world)
    assert told(plan) == {"m.j": EXPIRED}
    assert price(plan) == float(plan.cost)
    created = world.created
    world.apply()
    assert world.created == created + 1
    assert world.apply().nothing


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"expires_after": "'soon'"}, '`expires_after` is a duration such as "1h" or "30d"'),
        ({"expires_after": "3"}, "`expires_after` is a duration such as"),
        ({"expires_after": "'-1d'"}, "`expires_after` is a duration such as"),
        ({"expires_after": "'9999999d'"}, "`expires_after` is a duration such as"),
        ({"expires_after": "'0s'"}, "`expires_after` is a minute at least; got '0s'."),
        ({"refresh_every": "'hourly'"}, "`refresh_every` is a duration such as"),
        ({"refresh_every": "'0'"}, "`refresh_every` is a second at least"),
        ({"refresh_every": "'1h'"}, "`refresh_every`: rows.inline(…) is what it was"),
        ({"expires_after": "'1d'", "protect": "True"}, "`protect` refuses to pay for an answer"),
        (
            {"variants": "{'x': {'expires_after': '1d'}}", "protect": "True"},
            "`protect` refuses to pay for an answer",
        ),
        ({"variants": "{'x': {'refresh_every': '1d'}}"}, "`refresh_every` is the same in all"),
        (
            {"refresh_every": "'1d'", "rows": "rows.outputs_of('m.k')"},
            "`refresh_every`: rows made of answers follow the answers; leave it out.",
        ),
    ],
)
def test_what_cannot_be_is_told_with_its_line(
    world: World, given: dict[str, str], problem: str
) -> None:
    world.job("a", **given)
    with world.open() as project, pytest.raises(SpecError) as raised:
        project.plan()
    found = [one for one in raised.value.diagnostics if problem in one.detail]
    assert found, raised.value
    assert found[0].source is not None
    assert (found[0].source.file, found[0].source.line) == ("specs/m.py", 3)
