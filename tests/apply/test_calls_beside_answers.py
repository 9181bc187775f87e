"""Calls of tools beside an answer in one reply: what becomes of both when rules change."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from worlds import World

from batchspec.errors import ExitCode
from batchspec.plan.changes import Kind
from batchspec.simulator import HTTPFailure

SPEC = """
from pydantic import BaseModel
from batchspec import ToolOutput

class Out(BaseModel):
    v: int

@tool(retries=0, concurrency=1)
def look(n: int) -> int:
    {look}
    return n

def check(o):
    if o.v < {least}:
        raise ModelRetry("bad")

j = Job(model="openai:gpt-5-mini", rows=rows.inline([{{"id": "a"}}]), prompt="do {{id}}",
        tools=[look], output=ToolOutput(Out), output_validators=[check], max_turns=5{more})
"""
BROKEN = "raise ValueError('bug')"


class Model:
    """Looks twice and answers in one reply, then answers alone."""

    def __init__(self, second: int = 7) -> None:
        self.second = second
        self.asked = 0

    def __call__(self, body: dict[str, Any]) -> Any:
        self.asked += 1
        again = any(m["role"] == "assistant" for m in body["messages"])
        out = {"name": "final_result", "arguments": {"v": self.second if again else 1}}
        looks = [{"name": "look", "arguments": {"n": n}} for n in (1, 2)]
        return {"role": "assistant", "tool_calls": [out] if again else [*looks, out]}


@pytest.fixture
def model(world: World) -> Model:
    world.model = Model()
    return world.model


def spec(world: World, *, least: int, look: str = "pass", more: str = "") -> None:
    world.spec(SPEC.format(least=least, look=look, more=more))


def calls(world: World) -> list[tuple[str, str, int]]:
    with closing(sqlite3.connect(world.state / "batchspec.db")) as db:
        return db.execute(
            "SELECT name, status, attempts FROM tool_calls ORDER BY conversation, turn, position"
        ).fetchall()


def again(world: World) -> Any:
    with world.open() as project:
        result = project.apply(project.plan(failed=True), hook=world.hook)
    world.check()
    return result


def test_calls_that_never_began_are_none_beside_an_answer_that_is_accepted(
    world: World, model: Model
) -> None:
    spec(world, least=5, look=BROKEN)
    world.apply()
    assert world.outcomes() == {"a": "failed"}
    first, last = ("look", "failed", 1), ("final_result", "done", 0)
    assert calls(world) == [first, ("look", "waiting", 0), last]
    spec(world, least=0, look=BROKEN)
    assert world.apply().exit_code == ExitCode.DONE
    assert (world.outcomes(), model.asked) == ({"a": "succeeded"}, 1)
    assert calls(world) == [first, last]


def test_an_answer_that_is_refused_again_is_lost_and_goes_on_with_all_of_its_calls(
    world: World, model: Model
) -> None:
    spec(world, least=5, look=BROKEN)
    world.apply()
    spec(world, least=0, look=BROKEN)
    world.apply()
    spec(world, least=5)
    assert world.apply().jobs[0].resumable == 1
    item = world.items()["a"]
    assert (item.outcome, item.reason) == ("failed", "The output is not accepted any more: bad")
    assert again(world).exit_code == ExitCode.DONE
    assert (model.asked, world.items()["a"].output.v) == (2, 7)
    assert [name for name, status, _ in calls(world) if status == "done"] == [
        "look",
        "look",
        "final_result",
    ]


@pytest.mark.parametrize("retries", [1, 2])
def test_a_reply_that_is_judged_again_costs_no_retry_of_its_own(
    world: World, model: Model, retries: int
) -> None:
    """Its calls are on record, and so is that the next turn asks again."""
    more = f", output_retries={retries}"
    spec(world, least=5, look=BROKEN, more=more)
    world.apply()
    told = world.items()["a"].reason
    assert told == "tool 'look' raised ValueError: bug"
    spec(world, least=6, look=BROKEN, more=more)
    assert world.apply().jobs[0].resumable == 1
    assert world.items()["a"].reason == told
    spec(world, least=6, more=more)
    with world.open() as project:
        assert project.plan(whole=False, failed=True).counts == {Kind.CONTINUE: 1}
    assert again(world).exit_code == ExitCode.DONE
    assert (model.asked, world.items()["a"].output.v) == (2, 7)


def test_a_lower_bound_and_a_higher_one_count_it_once_as_well(world: World, model: Model) -> None:
    spec(world, least=5, look=BROKEN)
    world.apply()
    spec(world, least=5, look=BROKEN, more=", output_retries=0")
    assert world.apply().jobs[0].resumable == 0
    assert world.items()["a"].reason == "The output was not accepted: bad"
    spec(world, least=5)
    with world.open() as project:
        assert project.plan(whole=False, failed=True).counts == {Kind.CONTINUE: 1}
    assert again(world).exit_code == ExitCode.DONE
    assert (model.asked, world.items()["a"].output.v) == (2, 7)


def test_what_goes_on_is_asked_again_as_often_as_its_bound_says(world: World, model: Model) -> None:
    model.second = 2
    spec(world, least=5, look=BROKEN)
    world.apply()
    spec(world, least=5, look=BROKEN, more=", output_retries=0")
    world.apply()
    spec(world, least=5)
    assert again(world).exit_code == ExitCode.FAILED_ITEMS
    assert model.asked == 2


def test_an_output_that_is_accepted_by_now_ends_what_would_go_on(
    world: World, model: Model
) -> None:
    """The change and the wish come in one plan: no call runs, no turn is sent."""
    spec(world, least=5, look=BROKEN)
    world.apply()
    spec(world, least=0)
    assert again(world).exit_code == ExitCode.DONE
    assert (model.asked, world.items()["a"].output.v) == (1, 1)
    assert calls(world) == [("look", "failed", 1), ("final_result", "done", 0)]


def test_what_no_model_replied_to_is_asked_for_whatever_the_rules(world: World) -> None:
    """There is nothing to judge: what is stored is an error."""
    world.model = lambda _: HTTPFailure(400, "no such thing")
    spec(world, least=5)
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    spec(world, least=6)
    with world.open() as project:
        assert project.plan(whole=False, failed=True).counts == {Kind.RESUBMIT: 1}
