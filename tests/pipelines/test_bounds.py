"""What a pipeline costs at most is known before its prompts are: apply does that and no more."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from worlds import World

from batchspec.errors import ExitCode, RefusedError
from batchspec.plan.changes import Plan

from .chains import MODEL

PIPELINE = f"""
def told(item):
    return f"about {{item['row']['row']['text']}}: {{item['output']}}"

ROWS = rows.inline([{{"id": str(n), "text": f"text {{n}} " * 20}} for n in range(3)])
up = Job(model={MODEL!r}, rows=ROWS, prompt="say {{text}}", MORE)
down = Job(model={MODEL!r}, rows=rows.outputs_of(up), prompt="{{row.text}} {{output}} {{output}}",
           MORE)
last = Job(model={MODEL!r}, rows=rows.outputs_of(down), prompt=told, MORE)
whole = Job(model={MODEL!r}, rows=rows.collect(down), prompt="Of {{count}}: {{items}} {{outputs}}",
            instructions="You sum up. " * 40, MORE)
"""


def pipeline(world: World, words: int, more: str = "") -> None:
    """Write four jobs, whose answers have so many words of four bytes."""
    n = iter(range(10**6))
    world.model = lambda _body: f"{next(n):03} " + 'so" ' * (words - 1)
    world.spec(PIPELINE.replace("MORE", more))


def spent(world: World) -> Decimal:
    with world.open() as project, project.reader() as reader:
        return reader.spent() or Decimal(0)


def applied(world: World, file: Path | None) -> Plan:
    """Apply a saved plan, or a plan with what it costs at most as the budget."""
    with world.open() as project:
        plan = project.plan()
        if file is None:
            result = project.apply(plan, hook=world.hook, max_cost=plan.cost_at_most)
        else:
            project.save_plan(plan, file)
            result = project.apply(project.load_plan(file), hook=world.hook)
        assert result.exit_code == ExitCode.DONE
    world.check()
    return plan


@pytest.mark.parametrize("saved", [True, False])
@pytest.mark.parametrize(
    ("words", "more"),
    [(1_500, ""), (1_500, "settings={'max_tokens': 2_000}"), (3, "settings={'max_tokens': 6}")],
)
def test_a_plan_of_a_pipeline_is_carried_out_to_the_end(
    world: World, tmp_path: Path, words: int, more: str, *, saved: bool
) -> None:
    """Also where answers are much longer than the estimate says."""
    pipeline(world, words, more)
    plan = applied(world, tmp_path / "x.plan" if saved else None)
    assert not world.plan().can_apply
    assert Decimal(0) < spent(world) <= plan.cost_at_most
    assert (spent(world) > 2 * plan.cost) == (not more)


@pytest.mark.parametrize("saved", [True, False])
def test_what_would_cost_more_than_the_plan_said_is_not_sent(
    world: World, tmp_path: Path, *, saved: bool
) -> None:
    """Every answer so far is kept, and whoever agrees to more goes on from there."""
    pipeline(world, 60_000)
    with pytest.raises(RefusedError, match=r"budget of \$.* does not suffice"):
        applied(world, tmp_path / "x.plan" if saved else None)
    assert world.lines == 3
    assert world.apply().exit_code == ExitCode.DONE
    assert world.lines == 3 + 3 + 3 + 1


def test_a_budget_is_held_against_expected_lengths_first(world: World) -> None:
    """Nobody has to allow the longest replies there may be, and none is paid beyond the budget."""
    pipeline(world, 40)
    plan = world.plan()
    assert plan.cost_of_all_turns < plan.cost_at_most / 4
    assert world.apply(max_cost=plan.cost_of_all_turns).exit_code == ExitCode.DONE


def test_rows_that_are_known_count_with_their_own_prompts(world: World) -> None:
    """They may be longer than anything the job above says of itself."""
    answers: dict[str, Any] = {"say a": "long " * 10_000}
    world.model = lambda body: answers.get(str(body["messages"][-1]["content"]), "short")
    text = f"""
        up = Job(model={MODEL!r}, rows=rows.inline([{{"id": k}} for k in "KEYS"]),
                 prompt="say {{id}}")
        down = Job(model={MODEL!r}, rows=rows.outputs_of(up), prompt="ONE {{output}}",
                   settings={{"max_tokens": 10}})
    """
    world.spec(text.replace("KEYS", "ab"))
    world.apply()
    world.spec(text.replace("KEYS", "abc").replace("ONE", "two"))
    plan = world.plan()
    before = spent(world)
    (down,) = (job for job in plan.jobs if job.address == "m.down")
    assert down.requests == 3
    assert down.estimate.input_tokens > 12_500
    assert world.apply(max_cost=plan.cost_at_most).exit_code == ExitCode.DONE
    assert spent(world) - before <= plan.cost_at_most


@pytest.mark.parametrize("answered", [True, False])
def test_rows_count_as_they_are_not_as_the_job_above_tells_them(
    world: World, *, answered: bool
) -> None:
    """A field the job above does not send, and rows that were answered before, count as well."""
    world.model = lambda _body: "sorted"
    long = [{"id": str(n), "text": "text " * 4_000 + str(n)} for n in range(4)]
    up = f"up = Job(model={MODEL!r}, rows=rows.inline(ROWS), prompt='sort {{id}}')\n"
    down = (
        f"down = Job(model={MODEL!r}, rows=rows.outputs_of(up), prompt='{{row.text}} {{output}}')\n"
        f"last = Job(model={MODEL!r}, rows=rows.outputs_of(down), prompt='{{row.row.text}}')\n"
    )
    if answered:
        world.spec(f"ROWS = {long!r}\n{up}")
        assert world.apply().exit_code == ExitCode.DONE
    before = spent(world) if answered else Decimal(0)
    world.spec(f"ROWS = {[*long, {'id': 'new', 'text': 'short'}]!r}\n{up}{down}")
    plan = applied(world, None)
    paid = spent(world) - before
    assert plan.cost_at_most / 10 < paid <= plan.cost_at_most
    assert plan.cost / 4 < paid < 2 * plan.cost


def test_one_more_row_below_many_answers_is_not_priced_as_all_of_them(world: World) -> None:
    data = [{"id": str(n), "text": f"text {n}"} for n in range(40)]
    jobs = (
        f"up = Job(model={MODEL!r}, rows=rows.inline(ROWS), prompt='sort {{text}}')\n"
        f"down = Job(model={MODEL!r}, rows=rows.outputs_of(up), prompt='{{row.text}} {{output}}')\n"
    )
    world.spec(f"ROWS = {data!r}\n{jobs}")
    all_of_them = applied(world, None).cost_at_most
    world.spec(f"ROWS = {[*data, {'id': 'new', 'text': 'text new'}]!r}\n{jobs}")
    assert applied(world, None).cost_at_most < all_of_them / 20
