"""What was answered is paid: an item that was stopped in a later turn goes on there."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from worlds import PACE, Fault, World, failure

from batchspec.errors import ExitCode
from batchspec.simulator import HTTPFailure, Pace
from batchspec.state.events import BatchCollected, BatchSubmitted, Event, ToolsRun

SLOW = Pace(validating=5, in_progress=20_000, finalizing=2, cancelling=5)
BATCH, LIST = ("GET", "/batches/batch_[^/]*"), ("GET", "/batches")


class KilledError(Exception):
    """The process dies here."""


SPEC = """
RAN = []

@tool{marks}
def add(x: int, y: int) -> int:
    "Add two numbers."
    RAN.append(x)
    return x + y

j = Job(model='openai:gpt-5-mini', rows=rows.inline([{{"id": k}} for k in {keys!r}]),
        prompt='{verb} {{id}}', tools=[add])
"""


def spec(world: World, *keys: str, marks: str = "", verb: str = "do") -> None:
    world.spec(SPEC.format(keys=list(keys), marks=marks, verb=verb))


class Model:
    """Calls a tool in the first turn, tells what it said in the second, and counts both."""

    def __init__(self) -> None:
        self.turns = [0, 0]

    def __call__(self, body: dict[str, Any]) -> Any:
        results = [m["content"] for m in body["messages"] if m["role"] == "tool"]
        self.turns[len(results)] += 1
        if results:
            return results[0]
        call = {"name": "add", "arguments": {"x": 2, "y": 3}}
        return {"role": "assistant", "tool_calls": [call]}


@pytest.fixture
def model(world: World) -> Model:
    world.model = Model()
    return world.model


def in_the_second_turn(world: World, do: Callable[[], object]) -> None:
    """Do something once the second turn of a conversation is at the provider."""
    seen: list[Event] = []

    def react(event: Event) -> None:
        if isinstance(event, BatchSubmitted):
            seen.append(event)
            if len(seen) == 2:
                do()

    world.hook.react = react


def again(world: World) -> Any:
    """Ask once more for what failed."""
    with world.open() as project:
        return project.apply(project.plan(failed=True))


def slowly(world: World, then: Callable[[], object]) -> Callable[[], None]:
    def do() -> None:
        world.server.pace = SLOW
        then()
        world.server.pace = replace(SLOW, cancelling=0)

    return do


def test_an_item_cancelled_in_its_second_turn_goes_on_there(world: World, model: Model) -> None:
    spec(world, "a", "b")
    in_the_second_turn(world, slowly(world, world.server.cancel_batches))
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert world.outcomes() == {"a": "cancelled", "b": "cancelled"}
    world.server.pace = PACE
    assert world.apply().exit_code == ExitCode.DONE
    assert world.texts() == {"a": "5", "b": "5"}
    assert model.turns == [2, 2], "the first turn was paid once"
    assert {item.turns for item in world.items().values()} == {2}


def test_an_item_that_expired_in_its_second_turn_goes_on_there(world: World, model: Model) -> None:
    spec(world, "a")

    def expire() -> None:
        world.server.pace = Pace(validating=1, in_progress=9000, finalizing=1, window=50)

    world.hook.react = lambda event: expire() if isinstance(event, ToolsRun) else None
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert world.outcomes() == {"a": "expired"}
    world.server.pace = PACE
    assert world.apply().exit_code == ExitCode.DONE
    assert model.turns == [1, 1]


def test_an_item_lost_in_its_second_turn_goes_on_there(world: World, model: Model) -> None:
    spec(world, "a")

    def lose() -> None:
        (gone,) = [b["id"] for b in world.remote() if b["status"] != "completed"]
        world.wire.faults += [
            Fault("GET", f"/batches/{gone}", status=404, body=failure("No."), times=None),
            Fault(*LIST, rewrite=lambda _: b'{"data": [], "has_more": false}', times=None),
        ]

    in_the_second_turn(world, lose)
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert world.outcomes() == {"a": "lost"}
    world.wire.faults.clear()
    assert world.apply().exit_code == ExitCode.DONE
    assert model.turns[0] == 1


def test_an_item_whose_second_turn_failed_in_passing_goes_on_there(
    world: World, model: Model
) -> None:
    """Asked for with --failed; --replace begins anew."""
    spec(world, "a")

    def failing(body: dict[str, Any]) -> Any:
        if body["messages"][-1]["role"] == "tool":
            raise HTTPFailure(503, "Sorry.")
        return model(body)

    world.model = failing
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert world.outcomes() == {"a": "failed"}
    world.model = model
    assert again(world).exit_code == ExitCode.DONE
    assert model.turns == [1, 1]


def test_an_item_a_person_replaces_begins_anew(world: World, model: Model) -> None:
    spec(world, "a")
    in_the_second_turn(world, slowly(world, world.server.cancel_batches))
    world.apply()
    world.server.pace = PACE
    assert world.apply(replace=["m.j"]).exit_code == ExitCode.DONE
    assert model.turns == [2, 1]


def test_a_row_that_goes_while_its_tools_wait_comes_back_to_them(
    world: World, model: Model
) -> None:
    """Calls that were run before are not run again."""
    spec(world, "a", "b")

    def die(event: Event) -> None:
        if type(event).__name__ == "BatchCollected":
            world.hook.react = lambda _: None
            raise KilledError

    world.hook.react = die
    with pytest.raises(KilledError):
        world.apply()
    spec(world, "b", verb="do")
    world.apply()
    spec(world, "a", "b", verb="do")
    assert world.apply().exit_code == ExitCode.DONE
    assert world.texts() == {"a": "5", "b": "5"}
    assert model.turns == [2, 2]


def test_a_row_that_goes_between_turns_comes_back_to_the_second(world: World, model: Model) -> None:
    spec(world, "a", "b")

    def die(event: Event) -> None:
        if isinstance(event, ToolsRun):
            world.hook.react = lambda _: None
            raise KilledError

    world.hook.react = die
    with pytest.raises(KilledError):
        world.apply()
    spec(world, "b")
    world.apply()
    spec(world, "a", "b")
    assert world.apply().exit_code == ExitCode.DONE
    assert model.turns == [2, 2]


def test_tool_calls_that_came_for_a_row_that_had_gone_are_kept_for_it(
    world: World, model: Model
) -> None:
    """The reply was paid for; the row may come back."""
    spec(world, "a", "b")
    world.apply(detach=True)
    spec(world, "b")
    assert world.apply().exit_code == ExitCode.DONE
    assert model.turns == [2, 1]
    spec(world, "a", "b")
    assert world.apply().exit_code == ExitCode.DONE
    assert world.texts() == {"a": "5", "b": "5"}
    assert model.turns == [2, 2]


def test_an_item_that_was_refused_for_good_begins_anew(world: World, model: Model) -> None:
    """Nothing says that its turn would end otherwise now."""
    spec(world, "a")

    def refusing(body: dict[str, Any]) -> Any:
        if body["messages"][-1]["role"] == "tool":
            raise HTTPFailure(400, "Too long.")
        return model(body)

    world.model = refusing
    world.apply()
    world.model = model
    assert again(world).exit_code == ExitCode.DONE
    assert model.turns == [2, 1]


def test_feedback_is_not_paid_for_twice_either(world: World) -> None:
    """A model that was asked again is asked that again."""
    asked: list[int] = []

    def model(body: dict[str, Any]) -> str:
        asked.append(len(body["messages"]))
        return json.dumps({"x": 1 if len(body["messages"]) > 1 else "no"})

    world.model = model
    world.spec("""
        from pydantic import BaseModel

        class Out(BaseModel):
            x: int

        j = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}]), prompt="do", output=Out)
    """)
    in_the_second_turn(world, slowly(world, world.server.cancel_batches))
    world.apply()
    world.server.pace = PACE
    assert world.apply().exit_code == ExitCode.DONE
    assert asked == [1, 3]


@pytest.mark.parametrize("moment", [BatchCollected, ToolsRun])
@pytest.mark.parametrize("how", ["forget", "destroy"])
def test_an_item_that_is_forgotten_between_turns_goes_on_there(
    world: World, model: Model, moment: type, how: str
) -> None:
    """A person drops it from the state, and wants it all the same: the first turn was paid."""
    spec(world, "a", "b")

    def die(event: Event) -> None:
        if isinstance(event, moment):
            world.hook.react = lambda event: None
            raise KilledError

    world.hook.react = die
    with pytest.raises(KilledError):
        world.apply()
    if how == "forget":
        world.project().state.forget(['m.j["a"]'])
    else:
        world.project().destroy('m.j["a"]')
    world.check()
    world.apply()
    assert world.outcomes() == {"a": "succeeded", "b": "succeeded"}
    assert model.turns == [2, 2]
