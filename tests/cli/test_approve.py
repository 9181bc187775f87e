"""`batchspec approve`: what names a plan, and what is told of one that does not wait."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.conftest import Run
from watch.test_engine import watch

from batchspec.plan.consent import Consent
from batchspec.project.pending import Pending
from tests.worlds import World

USAGE = 64


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def pending(world: World) -> str:
    """Have a plan wait, and return its id."""
    world.job("a", "b")
    watch(world, Consent())
    (saved,) = Pending(world.state)
    return saved.plan.id


@pytest.mark.parametrize("length", [0, 3, 11])
def test_too_little_of_an_id_agrees_to_nothing(world: World, run: Run, length: int) -> None:
    plan = pending(world)
    ended = run("approve", plan[:length])
    assert ended.code == USAGE
    assert "at least the first 12 characters" in ended.err
    assert not Pending(world.state).approved()


def test_what_is_agreed_to_is_told_job_by_job(world: World, run: Run) -> None:
    plan = pending(world)
    ended = run("approve", plan[:12])
    assert ended.code == 0
    assert f"Agreed: plan {plan[:12]}, 2 requests" in ended.out
    assert "m.j  2 to submit" in ended.out
    assert "Nobody watches" in ended.out
    assert "Agreed to, and done as soon as somebody watches" in run("status").out


def test_a_plan_can_be_read_before_it_is_agreed_to(world: World, run: Run) -> None:
    plan = pending(world)
    ended = run("approve", plan, "--show")
    assert ended.code == 0
    assert "Plan: 2 to submit" in ended.out
    assert not Pending(world.state).approved()
    assert f"approve {plan[:12]}" in run("status").out


def test_a_plan_of_another_environment_is_named(world: World, run: Run) -> None:
    plan = pending(world)
    ended = run("approve", plan[:12], "--env", "other")
    assert ended.code == USAGE
    assert "not wait in environment 'other' but in 'default'" in ended.err


def test_what_was_agreed_to_before_is_told_with_its_time(world: World, run: Run) -> None:
    plan = pending(world)
    (saved,) = Pending(world.state)
    Pending(world.state).approve(saved)
    watch(world, Consent())
    assert "was agreed to" in run("approve", plan[:12]).err


def test_a_plan_that_was_replaced_is_told_with_those_that_wait(world: World, run: Run) -> None:
    old = pending(world)
    world.job("a", "b", "c")
    watch(world, Consent())
    (saved,) = Pending(world.state)
    ended = run("approve", old)
    assert ended.code == USAGE
    assert f"These wait: {saved.plan.id[:12]}" in ended.err
    assert not Pending(world.state).approved()
