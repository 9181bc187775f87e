"""What changes at one end of a graph runs again only what is made of it; all else is kept."""

import pytest
from worlds import World

from batchspec.errors import ExitCode
from batchspec.plan.changes import Kind

from .chains import MODEL, Asked

GRAPH = """
{more}
DATA = {data!r}
up = Job(model={model!r}, rows=rows.inline(DATA), prompt="say {{text}}"{up})
LEFT = rows.outputs_of(up, eager={eager}{where})
left = Job(model={model!r}, rows=LEFT, prompt="left {{output}}")
right = Job(model={model!r}, rows=rows.outputs_of(up), prompt="right {{output}}")
deep = Job(model={model!r}, rows=rows.outputs_of(left, eager={eager}), prompt="deep {{output}}")
whole = Job(model={model!r}, rows=rows.collect(deep), prompt="whole {{outputs}}")
"""


def graph(
    world: World,
    *,
    eager: bool = False,
    where: str = "",
    more: str = "",
    up: str = "",
    **texts: str,
) -> None:
    """Write a diamond with a tail: two jobs made of one, a third of one of them, one of all."""
    data = [{"id": key, "text": text} for key, text in texts.items()]
    world.spec(GRAPH.format(model=MODEL, data=data, eager=eager, where=where, more=more, up=up))


@pytest.fixture
def asked(world: World) -> Asked:
    """A graph over three rows whose answers are in."""
    world.model = found = Asked()
    graph(world, a="x", b="y", c="z")
    assert world.apply().exit_code == ExitCode.DONE
    assert len(found.taken()) == 3 * 4 + 1
    return found


@pytest.mark.parametrize("eager", [False, True])
def test_one_changed_row_runs_its_own_descendants(
    world: World, asked: Asked, *, eager: bool
) -> None:
    graph(world, a="x", b="Y2", c="z", eager=eager)
    assert world.apply().exit_code == ExitCode.DONE
    assert asked.taken() == [
        "deep LEFT SAY Y2",
        "left SAY Y2",
        "right SAY Y2",
        "say Y2",
        'whole ["DEEP LEFT SAY X", "DEEP LEFT SAY Y2", "DEEP LEFT SAY Z"]',
    ]
    world.apply()
    assert asked.taken() == []


def test_an_answer_that_comes_out_the_same_stops_there(world: World, asked: Asked) -> None:
    """Another request, the same answer: what is below is kept."""
    asked.answers["say y!"] = "SAY Y"
    graph(world, a="x", b="y!", c="z")
    assert world.apply().exit_code == ExitCode.DONE
    assert asked.taken() == ["say y!"]


@pytest.mark.parametrize("eager", [False, True])
def test_a_judgement_that_changes_one_answer_runs_its_own_descendants(
    world: World, asked: Asked, *, eager: bool
) -> None:
    """The replies of the job itself are paid for; only what is made of the new value is sent."""
    more = "def loud(value):\n    return value + '!' if value == 'SAY Y' else value\n"
    graph(world, a="x", b="y", c="z", more=more, up=", output_validators=[loud]", eager=eager)
    assert world.apply().exit_code == ExitCode.DONE
    assert asked.taken() == [
        "deep LEFT SAY Y!",
        "left SAY Y!",
        "right SAY Y!",
        'whole ["DEEP LEFT SAY X", "DEEP LEFT SAY Y!", "DEEP LEFT SAY Z"]',
    ]


def test_a_row_that_where_leaves_out_is_forgotten_by_name_and_found_again(
    world: World, asked: Asked
) -> None:
    """What comes back is free, and so is other code for the same rows."""
    graph(world, a="x", b="y", c="z", where=", where=lambda item: item['key'] != 'b'")
    left = next(job for job in world.plan().jobs if job.address == "m.left")
    assert left.counts[Kind.FORGET] == 1
    assert [reason.code for reason in left.reasons if reason.kind is Kind.FORGET] == ["ROW_REMOVED"]
    assert set(world.texts("m.left")) == set("abc")
    assert world.apply().exit_code == ExitCode.DONE
    assert asked.taken() == ['whole ["DEEP LEFT SAY X", "DEEP LEFT SAY Z"]']
    assert set(world.texts("m.deep")) == set("ac")
    graph(world, a="x", b="y", c="z", where=", where=lambda item: item['key'] in 'ac'", eager=True)
    assert not world.plan().can_apply
    graph(world, a="x", b="y", c="z")
    assert world.apply().exit_code == ExitCode.DONE
    # Answers are collected in the order in which their rows were seen first.
    assert asked.taken() == ['whole ["DEEP LEFT SAY X", "DEEP LEFT SAY Z", "DEEP LEFT SAY Y"]']
    assert set(world.texts("m.deep")) == set("abc")


def test_asking_for_one_row_above_anew_runs_what_follows(world: World, asked: Asked) -> None:
    """The target of a job below takes what is above along."""
    asked.answers["say y"] = "BETTER"
    assert world.apply(replace=['m.up["b"]'], targets=["m.left"]).exit_code == ExitCode.DONE
    assert asked.taken() == ["left BETTER", "say y"]
    assert world.apply().exit_code == ExitCode.DONE
    assert [text.partition(" ")[0] for text in asked.taken()] == ["deep", "right", "whole"]


def at_most(world: World) -> dict[str, tuple[int, int, int]]:
    """Return requests at most, rows that stay, and items forgotten at most, of jobs that wait."""
    return {
        job.address: (job.requests, job.counts.get(Kind.KEEP, 0), job.forgets_at_most)
        for job in world.plan().jobs
        if job.waits_for
    }


@pytest.mark.usefixtures("asked")
def test_a_plan_knows_what_stays_below_and_bounds_the_rest(world: World) -> None:
    """One changed row of three, through every job below."""
    graph(world, a="x", b="Y2", c="z")
    assert at_most(world) == {
        "m.left": (1, 2, 1),
        "m.right": (1, 2, 1),
        "m.deep": (1, 2, 1),
        "m.whole": (1, 0, 1),
    }
    graph(world, a="x", b="y", c="z", d="new", where=", where=lambda item: item['key'] != 'a'")
    assert at_most(world) == {
        "m.left": (1, 2, 1),
        "m.right": (1, 3, 0),
        "m.deep": (1, 2, 1),
        "m.whole": (1, 0, 1),
    }


@pytest.mark.usefixtures("asked")
def test_nothing_is_known_below_what_is_judged_anew(world: World) -> None:
    more = "def loud(value):\n    return value\n"
    graph(world, a="x", b="y", c="z", more=more, up=", output_validators=[loud]")
    assert at_most(world)["m.left"] == (3, 0, 3)
    assert at_most(world)["m.deep"] == (3, 0, 3)


@pytest.mark.parametrize("eager", [False, True])
def test_a_run_sends_no_more_than_its_plan_said(world: World, asked: Asked, *, eager: bool) -> None:
    graph(world, a="x", b="y", c="z", d="new", eager=eager)
    plan = world.plan()
    assert plan.requests == 1 + 1 + 1 + 1 + 1
    with world.open() as project:
        saved = project.plan()
        result = project.apply(saved, hook=world.hook, max_cost=saved.cost_at_most)
    assert result.exit_code == ExitCode.DONE
    assert len(asked.taken()) == plan.requests
