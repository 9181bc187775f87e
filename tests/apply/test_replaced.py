"""Answers that were replaced: kept with turns and calls, and counted where money is, no more."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from worlds import World

from batchspec.errors import ExitCode
from batchspec.messages import Usage
from batchspec.simulator import HTTPFailure
from batchspec.state.events import BatchCollected, Event

SPEC = """
@tool(limit=1)
def add(x: int, y: int) -> int:
    "Add two numbers."
    return x + y

j = Job(model='openai:gpt-5-mini', rows=rows.inline([{"id": "a"}]), prompt='do {id}', tools=[add])
"""


class Model:
    """Asks for a sum in the first turn and tells it in the second; `x` says of what."""

    def __init__(self) -> None:
        self.x = 1
        self.broken = False

    def __call__(self, body: dict[str, Any]) -> Any:
        told = [m["content"] for m in body["messages"] if m["role"] == "tool"]
        if told and self.broken:
            raise HTTPFailure(400, "No.")
        if told:
            return "sum " * self.x + told[0]
        call = {"name": "add", "arguments": {"x": self.x, "y": 0}}
        return {"role": "assistant", "tool_calls": [call]}


@pytest.fixture
def model(world: World) -> Model:
    world.spec(SPEC)
    world.model = Model()
    return world.model


def turns(world: World) -> list[tuple[int, bool, int, list[str | None]]]:
    """Return (answer, whether it was replaced, turn, results of its calls) of every turn."""
    with world.open() as project:
        return [
            (one.answer, one.replaced, one.number, [run.result for run in one.tool_calls])
            for one in project.turns('m.j["a"]')
        ]


def took(world: World) -> tuple[Usage, Decimal | None, int]:
    """Return what the item took, which is what its job took."""
    item = world.items()["a"]
    with world.open() as project:
        (one,) = project.compare("m.j").compared
        assert (one.usage, one.cost, one.turns) == (item.usage, item.cost, item.turns)
    return item.usage, item.cost, item.turns


def paid(world: World) -> Decimal | None:
    with world.open() as project:
        (job,) = project.status().jobs
        return job.cost


def replace(world: World, **options: Any) -> ExitCode:
    return world.apply(replace=["m.j"], **options).exit_code


def stopped(world: World) -> None:
    """Replace the answer, die once its first turn is answered, and cancel."""

    def die(event: Event) -> None:
        if isinstance(event, BatchCollected):
            world.hook.react = lambda _: None
            raise KeyboardInterrupt

    world.hook.react = die
    with pytest.raises(KeyboardInterrupt):
        replace(world)
    with world.open() as project:
        project.cancel("m.j")
    world.check()


FIRST = [(1, False, 1, ["1"]), (1, False, 2, [])]


def test_every_answer_keeps_its_turns_and_calls_and_the_last_one_counts(
    world: World, model: Model
) -> None:
    world.apply()
    assert turns(world) == FIRST
    first = took(world)
    seen: list[object] = []

    def asked(body: dict[str, Any]) -> Any:
        seen.append((took(world), [t[:3] for t in turns(world)][:2]))
        return model(body)

    world.model = asked
    model.x = 20
    assert replace(world) == ExitCode.DONE
    before = (first, [(1, False, 1), (1, False, 2)])
    assert seen == [before, before], "the old answer is shown, with what it took"
    world.model = model
    second = took(world)
    assert second[0].output_tokens > first[0].output_tokens + 15
    model.x = 1
    assert replace(world) == ExitCode.DONE
    assert took(world) == first
    assert turns(world) == [
        (1, True, 1, ["1"]),
        (1, True, 2, []),
        (2, True, 1, ["20"]),
        (2, True, 2, []),
        (3, False, 1, ["1"]),
        (3, False, 2, []),
    ]
    costs = [one[1] for one in (first, second, first)]
    assert paid(world) == sum(cost for cost in costs if cost is not None), "money spent is spent"


def test_an_answer_that_could_not_be_replaced_counts_as_what_it_took(
    world: World, model: Model
) -> None:
    """The second attempt fails, and a third one takes its place."""
    world.apply()
    first = took(world)
    model.broken, model.x = True, 20
    assert replace(world) == ExitCode.FAILED_ITEMS
    item = world.items()["a"]
    assert (item.previous, item.text, took(world)) == (True, "sum 1", first)
    assert [turn[:2] for turn in turns(world)] == [(1, False)] * 2 + [(2, False)] * 2
    with world.open() as project:
        (failed,) = project.results("m.j", failed=True)
        assert (failed.outcome, failed.usage != first[0]) == ("failed", True)
    assert replace(world) == ExitCode.FAILED_ITEMS
    assert took(world) == first
    assert [turn[:2] for turn in turns(world)][2:] == [(2, True)] * 2 + [(3, False)] * 2
    model.broken, model.x = False, 1
    assert replace(world) == ExitCode.DONE
    assert took(world) == first
    assert [turn[:2] for turn in turns(world)][-2:] == [(4, False)] * 2


def test_what_is_given_up_leaves_the_old_answer_with_its_own(world: World, model: Model) -> None:
    world.apply()
    first = took(world)
    waited = latency(world)
    model.x = 20
    stopped(world)
    item = world.items()["a"]
    assert (item.previous, item.text, took(world)) == (False, "sum 1", first)
    assert latency(world) == waited
    given_up = (2, True, 1, ["20"])
    assert [*turns(world)] in ([*FIRST, given_up], [*FIRST, (2, True, 1, [None])])
    model.x = 1
    stopped(world)
    assert replace(world) == ExitCode.DONE
    assert took(world) == first
    assert [turn[:2] for turn in turns(world)] == [
        *[(1, True)] * 2,
        (2, True),
        (3, True),
        *[(4, False)] * 2,
    ]


def latency(world: World) -> float | None:
    with world.open() as project:
        return project.compare("m.j").compared[0].latency


def test_an_item_that_goes_on_was_not_replaced(world: World, model: Model) -> None:
    """Asked for with --failed it goes on at its turn, so that all of its turns are one answer."""
    world.model = _once_broken(model)
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    with world.open() as project:
        project.apply(project.plan(failed=True))
    world.check()
    told = turns(world)
    assert (told[0], told[-1]) == tuple(FIRST)
    assert {turn[:2] for turn in told} == {(1, False)}
    assert took(world)[1] == paid(world)


def _once_broken(model: Model) -> Callable[[dict[str, Any]], Any]:
    left = [HTTPFailure(503, "Sorry.")] * 9

    def answer(body: dict[str, Any]) -> Any:
        if body["messages"][-1]["role"] == "tool" and left and not model.broken:
            raise left.pop()
        return model(body)

    return answer


def test_a_taint_alone_changes_nothing(world: World, model: Model) -> None:
    world.apply()
    first = took(world)
    with world.open() as project:
        project.taint("m.j")
    assert (took(world), turns(world)) == (first, FIRST)
    with world.open() as project:
        project.taint("m.j", undo=True)
    world.apply()
    assert (took(world), turns(world)) == (first, FIRST)
    with world.open() as project:
        project.taint("m.j")
    model.x = 20
    world.apply()
    assert [turn[:2] for turn in turns(world)] == [(1, True)] * 2 + [(2, False)] * 2


def test_a_change_forth_and_back_has_each_answer_with_its_own(world: World) -> None:
    """Requests that differ are conversations of their own; the one that comes back is reused."""
    world.model = Model()
    world.spec(SPEC)
    world.apply()
    first = took(world)
    world.spec(SPEC.replace("do {id}", "please do {id}"))
    world.apply()
    assert took(world)[0].input_tokens > first[0].input_tokens
    world.spec(SPEC)
    world.apply()
    assert (took(world), turns(world)) == (first, FIRST)


def test_turns_of_replaced_answers_count_where_their_cost_does(world: World, model: Model) -> None:
    """Those of the answer under way count once they are answered."""

    def counted() -> int:
        with world.open() as project:
            (job,) = project.status().jobs
            return job.turns

    world.apply()
    assert counted() == 2
    model.x = 2
    replace(world, detach=True)
    assert counted() == 2
    world.apply()
    assert counted() == 4
