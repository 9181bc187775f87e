"""Triggers: rows are asked again because somebody says so, and the provider sees nothing of it."""

from typing import Any

import pytest
from worlds import World

from batchspec.errors import SpecError
from batchspec.messages import Contract
from batchspec.plan.changes import Difference, Kind, Plan, Reason

SEEN: list[dict[str, Any]] = []


def counting(body: dict[str, Any]) -> str:
    """Answer each time with another number."""
    SEEN.append(body)
    return f"{body['messages'][-1]['content']} {len(SEEN)}"


@pytest.fixture(autouse=True)
def _nothing_seen(world: World) -> None:
    SEEN.clear()
    world.model = counting


def reasons(plan: Plan, job: str = "m.j") -> list[Reason]:
    return [reason for each in plan.jobs if each.address == job for reason in each.reasons]


def test_a_contract_without_triggers_is_what_it_was() -> None:
    named = {"provider": "openai", "endpoint": "/v1/chat/completions", "model": "m"}
    plain = Contract(**named)
    assert "triggers" not in plain.to_json()
    triggered = Contract(**named, triggers={"a": [1, None]})
    assert Contract.from_json(triggered.to_json()) == triggered
    assert triggered.canonical() != plain.canonical()


def test_a_changed_trigger_asks_every_row_again_and_is_never_sent(world: World) -> None:
    world.job("a", "b")
    world.apply()
    world.job("a", "b", triggers="{'refresh': '2026-09'}")
    with world.open() as project:
        plan = project.plan()
        assert plan.requests == 2
        (reason,) = reasons(plan)
    assert (reason.kind, reason.code, reason.rows) == (Kind.RESUBMIT, "TRIGGERED", 2)
    assert reason.difference == Difference("triggers.refresh", "absent", '"2026-09"')
    world.apply()
    assert world.apply().nothing
    world.job("a", "b", triggers="{'refresh': '2026-10'}")
    with world.open() as project:
        (reason,) = reasons(project.plan())
    assert reason.difference == Difference("triggers.refresh", '"2026-09"', '"2026-10"')
    world.apply()
    assert sorted(world.texts().values(), key=str) == ["say a 5", "say b 6"]
    assert not any("2026" in str(body) for body in SEEN)


def test_an_earlier_trigger_has_its_answers_back(world: World) -> None:
    world.job("a")
    world.apply()
    world.job("a", triggers="{'n': 1}")
    world.apply()
    world.job("a", triggers="{}")
    with world.open() as project:
        (reason,) = reasons(project.plan())
    assert (reason.kind, reason.code) == (Kind.REUSE, "SAME_REQUEST")
    world.apply()
    assert world.texts() == {"a": "say a 1"}
    assert len(SEEN) == 2


def test_no_list_of_ignored_changes_holds_a_trigger_back(world: World) -> None:
    world.job("a")
    world.apply()
    ignored = "['prompt', 'model', 'settings']"
    world.job("a", ignore_changes=ignored, prompt="'tell {id}'")
    assert world.apply().nothing
    world.job("a", ignore_changes=ignored, prompt="'tell {id}'", triggers="{'n': 1}")
    world.apply()
    assert world.texts() == {"a": "tell a 2"}


def test_a_renamed_job_keeps_what_its_triggers_asked_for(world: World) -> None:
    world.job("a", triggers="{'n': 1}")
    world.apply()
    world.job("a", triggers="{'n': 1}", variable="renamed")
    world.apply()
    assert world.texts("m.renamed") == {"a": "say a 1"}
    assert len(SEEN) == 1


def test_a_variant_has_triggers_of_its_own(world: World) -> None:
    variants = "{'plain': {}, 'again': {'triggers': {'n': 1}}}"
    world.job("a", variants=variants)
    world.apply()
    world.job("a", variants=variants.replace("1", "2"))
    with world.open() as project:
        plan = project.plan()
    assert {job.address: job.requests for job in plan.jobs} == {"m.j@plain": 0, "m.j@again": 1}


def test_jobs_below_follow_and_a_saved_plan_does_it(world: World) -> None:
    spec = """
    up = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}]), prompt="say {id}",
             triggers={"n": %s})
    down = Job(model="openai:gpt-5-mini", rows=rows.outputs_of(up), prompt="again {output}")
    """
    world.spec(spec % 1)
    world.apply()
    world.spec(spec % 2)
    with world.open() as project:
        saved = project.save_plan(project.plan(), world.root / "p.plan")
        assert project.apply(saved, hook=world.hook).done
    world.check()
    assert world.texts("m.down") == {"a": "again say a 3 4"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("'2026'", '`triggers` is a dict such as {"refresh": "2026-09"}; got \'2026\'.'),
        ("{1: 2}", "`triggers` has names that are texts; got 1."),
        ("{'day': object}", "`triggers` 'day' is no JSON value, such as a text or a number"),
        ("{'x': float('nan')}", "`triggers` 'x' is no JSON value, such as a text or a number"),
    ],
)
def test_a_trigger_that_is_no_json_is_told_with_its_line(
    world: World, given: str, told: str
) -> None:
    world.job("a", triggers=given)
    with world.open() as project, pytest.raises(SpecError) as raised:
        project.plan()
    (problem,) = raised.value.diagnostics
    assert told in problem.detail
    assert problem.source is not None
    assert (problem.source.file, problem.source.line) == ("specs/m.py", 3)
