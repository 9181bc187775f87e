"""A variant that is switched off leaves what was made of its answers as it is."""

from typing import Any

import pytest
from worlds import World

from batchspec.errors import ExitCode
from batchspec.plan.changes import Kind

from .chains import Asked, limit

SPEC = """
judge = Job(model="openai:gpt-5-mini", prompt="judge {output}", output=bool)
src = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "r,0"}, {"id": "r1"}]),
          prompt="say {id}", variants={"a": {}, "b": {"instructions": "x", OFF}}, grade=judge)
nxt = Job(model="openai:gpt-5-mini", rows=rows.outputs_of(src), prompt="next {key} {output}")
whole = Job(model="openai:gpt-5-mini", rows=rows.collect(src), prompt="all {outputs}")
"""
OFF = '"enabled": False'


def write(world: World, off: str, **changes: str) -> None:
    text = SPEC.replace("OFF", off)
    for old, new in changes.items():
        text = text.replace(old, new)
    world.spec(text)


@pytest.fixture
def asked(world: World) -> Asked:
    world.model = model = Asked()
    model.answers = {f"judge SAY {key}": '{"response": true}' for key in ("R,0", "R1")}
    model.answers |= {text.replace("SAY", "TELL"): answer for text, answer in model.answers.items()}
    return model


def grades(world: World) -> dict[str, Any]:
    with world.open() as project:
        return {one.name: one.grade and one.grade.mean for one in project.compare("m.src").compared}


@pytest.mark.parametrize("off", [OFF, f'{OFF}, "model": "gone:model"'])
def test_nothing_of_it_is_planned_or_forgotten(world: World, asked: Asked, off: str) -> None:
    """Also where it cannot be put together any more."""
    write(world, "")
    assert world.apply().exit_code == ExitCode.DONE
    asked.taken()
    write(world, off)
    plan = world.plan()
    assert not plan.can_apply, plan.counts
    assert not plan.counts.get(Kind.FORGET)
    graded = {"a": 1.0, "b": 1.0 if off == OFF else None}
    assert grades(world) == graded
    assert len(world.texts("m.nxt")) == len(world.texts("m.judge")) == 4
    write(world, "")
    assert not world.plan().can_apply
    assert asked.taken() == []


def test_a_change_below_is_made_for_its_answers_too(world: World, asked: Asked) -> None:
    write(world, "")
    world.apply()
    asked.taken()
    write(world, OFF, next="then")
    world.apply()
    assert asked.taken() == [
        "then r1,a SAY R1",
        "then r1,b SAY R1",
        "then r\\,0,a SAY R,0",
        "then r\\,0,b SAY R,0",
    ]


def test_one_that_was_never_sent_has_no_rows(world: World, asked: Asked) -> None:
    write(world, OFF)
    assert world.apply().exit_code == ExitCode.DONE
    assert len(world.texts("m.nxt")) == 2
    asked.taken()
    write(world, "")
    assert world.apply().exit_code == ExitCode.DONE
    assert len(asked.taken()) == 2 + 2 + 2 + 1 - 2, "judged alike; only what is new, and the whole"


def test_what_it_has_under_way_comes_in_and_goes_on(world: World, asked: Asked) -> None:
    limit(world, max_requests=1)
    write(world, "")
    world.apply(detach=True)
    write(world, OFF)
    assert world.apply().exit_code == ExitCode.DONE
    assert len(world.texts("m.nxt")) == 4


def test_a_plan_of_a_job_that_waits_bounds_its_answers_too(world: World, asked: Asked) -> None:
    write(world, "")
    world.apply()
    asked.taken()
    write(world, OFF, say="tell")
    plan = world.plan()
    bound = {job.address: job.requests for job in plan.jobs}
    assert (bound["m.src@a"], bound["m.nxt"]) == (2, 4)
    assert world.apply().exit_code == ExitCode.DONE
    assert len([text for text in asked.taken() if text.startswith("next")]) == 2
