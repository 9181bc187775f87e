"""Items of a job made of others' answers are forgotten only if a plan said so."""

from pathlib import Path
from typing import Any

import pytest
from worlds import World

from batchspec.errors import ExitCode, RefusedError
from batchspec.plan.changes import Kind, Plan

DOWN = "m.down"


def refuses(_: dict[str, Any]) -> Any:
    return {"role": "assistant", "content": None, "refusal": "no"}


def write(
    world: World, *keys: str, prompt: str = "say", source: str = "outputs_of(up)", template: str
) -> None:
    up = [{"id": key} for key in keys]
    world.spec(
        f"up = Job(model='openai:gpt-5-mini', rows=rows.inline({up}), prompt='{prompt} {{id}}')\n"
        f"down = Job(model='openai:gpt-5-mini', rows=rows.{source}, prompt='sum {template}')\n"
    )


def each(world: World, *keys: str, prompt: str = "say") -> None:
    write(world, *keys, prompt=prompt, template="{output}")


def at_most(plan: Plan) -> int:
    return next(job.forgets_at_most for job in plan.jobs if job.address == DOWN)


def test_a_where_that_takes_nothing_is_told_apart_from_no_answers(world: World) -> None:
    each(world, "a")
    world.apply()
    where = "outputs_of(up, where=lambda _: False)"
    text = (world.root / "specs" / "m.py").read_text()
    (world.root / "specs" / "m.py").write_text(text.replace("outputs_of(up)", where))
    with pytest.raises(RefusedError, match=r"answers of m\.up that `where` takes, and there are"):
        world.plan()


def test_forgetting_everything_is_told_in_the_plan_and_refused_when_it_is_known(
    world: World,
) -> None:
    """The rest of the run goes on, and whoever runs it sees that something was not done."""
    each(world, "a", "b")
    world.apply()
    answers = world.texts(DOWN)
    world.model = refuses
    each(world, "c", prompt="sing")
    assert at_most(world.plan()) == 2
    result = world.apply()
    assert result.exit_code == ExitCode.REFUSED
    assert len(result.refused) == 1
    assert "m.down has no rows now and 2 items on record" in result.refused[0]
    assert "answers of m.up, and there are none" in result.refused[0]
    assert "--allow-empty" in result.refused[0]
    assert world.texts(DOWN) == answers
    assert world.outcomes("m.up") == {"c": "refused"}
    with pytest.raises(RefusedError, match=r"m\.down has no rows now and 2 items"):
        world.plan()
    assert world.plan(allow_empty=True).counts[Kind.FORGET] == 2


def test_who_allows_it_forgets_everything(world: World) -> None:
    each(world, "a", "b")
    world.apply()
    world.model = refuses
    each(world, "c", prompt="sing")
    with world.open() as project:
        result = project.apply(project.plan(allow_empty=True), hook=world.hook)
    assert (result.exit_code, result.refused) == (ExitCode.FAILED_ITEMS, ())
    assert world.texts(DOWN) == {}


@pytest.mark.parametrize(
    ("keys", "prompt", "told"),
    [
        (("a",), "say", 1),
        (("a", "b", "c"), "say", 0),
        (("a", "c"), "say", 1),
        (("a", "b"), "sing", 2),
        (("c", "d"), "say", 2),
    ],
)
def test_a_plan_tells_how_many_items_may_be_forgotten(
    world: World, keys: tuple[str, ...], prompt: str, told: int
) -> None:
    """Those made of an answer that stays are not among them."""
    each(world, "a", "b")
    world.apply()
    each(world, *keys, prompt=prompt)
    assert at_most(world.plan()) == told
    assert world.apply().exit_code == ExitCode.DONE
    assert set(world.texts(DOWN)) == set(keys)


def test_an_item_of_a_job_that_has_not_run_since_may_be_forgotten(world: World) -> None:
    """Its rows changed in a run that ended too early to make anything of them."""
    each(world, "a", "b")
    world.apply()
    each(world, "c", "d", "e")
    world.apply(detach=True)
    assert at_most(world.plan()) == 2


@pytest.mark.parametrize(("kept", "told"), [("True", 0), ("item['key'] != 'a'", 1)])
def test_a_function_is_asked_about_the_answers_that_stay(
    world: World, kept: str, told: int
) -> None:
    each(world, "a", "b")
    world.apply()
    source = f"outputs_of(up, where=lambda item: {kept})"
    write(world, "a", "b", "c", source=source, template="{output}")
    assert at_most(world.plan()) == told


def test_the_one_row_of_all_answers_is_guarded_too(world: World) -> None:
    write(world, "a", "b", source="collect(up)", template="{outputs}")
    world.apply()
    answer = world.texts(DOWN)
    write(world, "a", "b", "c", source="collect(up)", template="{outputs}")
    assert at_most(world.plan()) == 0
    world.model = refuses
    write(world, "c", prompt="sing", source="collect(up)", template="{outputs}")
    assert at_most(world.plan()) == 1
    assert world.apply().exit_code == ExitCode.REFUSED
    assert world.texts(DOWN) == answer


@pytest.mark.parametrize("allowed", [False, True])
def test_a_saved_plan_says_whether_everything_may_be_forgotten(
    world: World, tmp_path: Path, *, allowed: bool
) -> None:
    each(world, "a", "b")
    world.apply()
    world.model = refuses
    each(world, "c", prompt="sing")
    file = tmp_path / "x.plan"
    with world.open() as project:
        saved = project.save_plan(project.plan(allow_empty=allowed), file)
    assert at_most(saved.plan) == 2
    with world.open() as project:
        result = project.apply(project.load_plan(file), hook=world.hook)
    assert bool(result.refused) is not allowed
    assert bool(world.texts(DOWN)) is not allowed


def test_a_job_that_may_not_forget_is_left_alone_and_the_others_go_on(world: World) -> None:
    """It is protected, which is known when its rows are."""
    each(world, "a", "b")
    world.apply()
    answers = world.texts(DOWN)
    spec = (
        "up = Job(model='openai:gpt-5-mini', rows=rows.inline([{'id': 'a'}]), prompt='say {id}')\n"
        "down = Job(model='openai:gpt-5-mini', rows=rows.outputs_of(up), prompt='sum {output}', "
        "protect=True)\n"
    )
    world.spec(spec)
    result = world.apply()
    assert (result.exit_code, len(result.refused)) == (ExitCode.REFUSED, 1)
    assert "m.down is protected" in result.refused[0]
    assert world.texts(DOWN) == answers
