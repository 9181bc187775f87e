"""What going on costs is what its plan says, whether the last turn was answered or not."""

from typing import Any

import pytest
from worlds import World

from batchspec.errors import ExitCode
from batchspec.plan.changes import Kind
from batchspec.simulator import HTTPFailure

SPEC = """
@tool(retries=0)
def look(n: int) -> str:
    {look}
    return "x" * 20

j = Job(model="openai:gpt-5-mini", rows=rows.inline([{{"id": k}} for k in "abcd"]),
        prompt="do {{id}} " + "word " * 400, tools=[look], max_turns=3,
        settings={{"max_completion_tokens": 50}})
"""


class Model:
    """Calls a tool in two turns, then answers; the second turn fails while it is down."""

    def __init__(self, *, down: bool) -> None:
        self.down = down

    def __call__(self, body: dict[str, Any]) -> Any:
        turn = 1 + sum(m["role"] == "assistant" for m in body["messages"])
        if turn == 2 and self.down:
            return HTTPFailure(500, "oops")
        if turn == 3:
            return "done"
        return {"role": "assistant", "tool_calls": [{"name": "look", "arguments": {"n": turn}}]}


@pytest.mark.parametrize("answered", [False, True])
def test_going_on_costs_at_most_what_the_plan_says(world: World, answered: bool) -> None:
    world.model = model = Model(down=not answered)
    world.spec(SPEC.format(look="if n == 1: raise ValueError('bug')" if answered else "pass"))
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    model.down = False
    world.spec(SPEC.format(look="pass"))
    with world.open() as project:
        plan = project.plan(failed=True)
        paid = project.status().jobs[0].cost
        project.apply(plan, hook=world.hook)
        more = project.status().jobs[0].cost - paid
    world.check()
    assert set(world.outcomes().values()) == {"succeeded"}
    (job,) = plan.jobs
    assert job.estimate.cost_at_most is not None
    assert job.estimate.cost_at_most / 2 < more <= job.estimate.cost_at_most


def test_a_row_that_is_sent_again_is_priced_by_the_turn_it_goes_on_from(world: World) -> None:
    """Its request holds what a tool told, however short the first one was."""
    world.model = Model(down=False)
    world.spec(
        SPEC.replace('"x" * 20', '"word " * 8_000')
        .replace('"do {{id}} " + "word " * 400', '"{{id}}"')
        .replace("max_turns=3", "max_turns=2")
        .format(look="pass")
    )
    world.apply(detach=True)
    world.clock.advance(3600)
    with world.open() as project:
        project.refresh()
    world.apply(detach=True)
    with world.open() as project:
        project.cancel("m.j")
    assert set(world.outcomes().values()) == {"cancelled"}
    with world.open() as project:
        plan = project.plan()
        before = project.status().jobs[0].cost
        project.apply(plan, hook=world.hook)
        paid = project.status().jobs[0].cost - before
    world.check()
    assert plan.counts[Kind.RESUBMIT] == 4
    assert paid <= plan.cost_at_most < 3 * paid
