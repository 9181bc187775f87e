"""`tool_choice` over the turns of a conversation: what each request says, and how it ends."""

from dataclasses import replace
from typing import Any

import pytest
from worlds import World

from batchspec.errors import ExitCode, SpecError
from batchspec.messages import Contract

from .test_tools import ADD, job

NAMED = {"type": "function", "function": {"name": "add"}}
TOOLS = [NAMED]


def obedient(seen: list[Any]) -> Any:
    """Return a model that calls a tool whenever it has to, as a real one does."""

    def model(body: dict[str, Any]) -> Any:
        choice = body.get("tool_choice")
        seen.append(choice)
        if choice is None or _mode(choice) == "auto":
            return "done"
        call = {"name": "add", "arguments": {"x": 1, "y": 1}}
        return {"role": "assistant", "tool_calls": [call]}

    return model


def _mode(choice: str | dict[str, Any]) -> str:
    if isinstance(choice, str):
        return choice
    return str(choice.get("allowed_tools", {}).get("mode", "required"))


@pytest.mark.parametrize(
    ("choice", "later"),
    [
        ("required", "auto"),
        (NAMED, "auto"),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": TOOLS}},
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": TOOLS}},
        ),
    ],
    ids=["required", "named", "allowed"],
)
def test_a_demand_to_call_a_tool_holds_for_the_first_turn(
    world: World, choice: Any, later: Any
) -> None:
    world.spec(job(ADD, "add", more=f"settings={{'tool_choice': {choice!r}}}"))
    seen: list[Any] = []
    world.model = obedient(seen)
    assert world.apply().exit_code == ExitCode.DONE
    assert seen == [choice, later]
    with world.open() as project:
        requests = [turn.request for turn in project.turns('m.j["a"]')]
    assert [request["tool_choice"] for request in requests] == seen


CONTRACT = Contract(provider="p", endpoint="e", model="m", settings={"tool_choice": "required"})


def test_an_output_that_is_a_call_itself_may_demand_calls_in_every_turn() -> None:
    kept = replace(CONTRACT, later_tool_choice="required")
    assert kept.at(1) is kept
    assert kept.at(3).settings == {"tool_choice": "required"}
    assert Contract.from_json(kept.to_json()) == kept
    assert "later_tool_choice" not in CONTRACT.to_json(), "requests of before stay what they are"


@pytest.mark.parametrize("choice", ["auto", "none", None])
def test_what_demands_nothing_stays(choice: Any) -> None:
    given = replace(CONTRACT, settings={"tool_choice": choice})
    assert given.at(2) is given


@pytest.mark.parametrize(
    ("tools", "choice", "told"),
    [
        ("add", {"type": "function", "function": {"name": "ad"}}, "Did you mean 'add'?"),
        ("add", {"type": "function", "name": "add"}, "write {"),
        ("add", {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [
            {"type": "function", "function": {"name": "sub"}}]}}, "'sub', which is no tool"),
        ("", "required", "the job has no tools"),
        ("", "auto", "the job has no tools"),
    ],
)  # fmt: skip
def test_a_choice_that_cannot_be_is_told_before_anything_is_sent(
    world: World, tools: str, choice: Any, told: str
) -> None:
    world.spec(job(ADD, tools, more=f"settings={{'tool_choice': {choice!r}}}"))
    with pytest.raises(SpecError, match="tool choice is not possible") as caught:
        world.apply()
    assert told in str(caught.value)
    assert world.lines == 0
