"""A reply with several answers: the one that was accepted is the answer, whatever comes after."""

from typing import Any

from worlds import World

SPEC = """
from pydantic import BaseModel

class Out(BaseModel):
    v: int

def check(out: Out) -> None:
    if out.v in {bad}:
        raise ModelRetry("bad")

j = Job(model='openai:gpt-5-mini', rows=rows.inline([{{"id": "a"}}]), prompt='{{id}}',
        output=ToolOutput(Out), output_validators=[check], output_retries=0)
"""


def two(body: dict[str, Any]) -> Any:
    calls = [{"name": "final_result", "arguments": {"v": v}} for v in (1, 7)]
    return {"role": "assistant", "tool_calls": calls}


def shown(world: World) -> tuple[str | None, Any, bool]:
    with world.open() as project:
        (item,) = project.results("m.j")
        return item.outcome, item.output_json(), item.previous


def test_judging_again_keeps_the_answer_that_is_accepted_now(world: World) -> None:
    """Not the first that fits the type."""
    world.model = two
    world.spec(SPEC.format(bad="(1, 7)"))
    world.apply()
    assert shown(world)[0] == "failed"
    world.spec(SPEC.format(bad="(1,)"))
    world.apply()
    assert shown(world) == ("succeeded", {"v": 7}, False)
    world.spec(SPEC.format(bad="(7,)"))
    world.apply()
    assert shown(world) == ("succeeded", {"v": 1}, False)
    world.spec(SPEC.format(bad="(7, 8)"))
    world.apply()
    assert shown(world) == ("succeeded", {"v": 1}, False)


def test_an_answer_that_is_replaced_stays_what_it_was(world: World) -> None:
    """While its replacement is under way, where that fails, and once that is given up."""
    world.model = two
    world.spec(SPEC.format(bad="(1,)"))
    world.apply()
    assert shown(world) == ("succeeded", {"v": 7}, False)
    world.apply(replace=["m.j"], detach=True)
    assert shown(world) == ("succeeded", {"v": 7}, True)
    world.model = lambda body: "none"
    world.apply()
    assert shown(world) == ("succeeded", {"v": 7}, True)
    world.apply(replace=["m.j"], detach=True)
    with world.open() as project:
        project.cancel("m.j")
    assert shown(world)[:2] == ("succeeded", {"v": 7})
