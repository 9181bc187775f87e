"""What one apply may spend is held in every turn and before every submission, for each ceiling."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from worlds import Fault, World

from batchspec.errors import ExitCode, ProviderError, RefusedError

MakeWorld = Callable[..., World]
TWO_JOBS = """
    @tool
    def look() -> str:
        "Look."
        return "word " * 100_000

    dear = Job(
        model="openai:gpt-5-mini", prompt="{id}", tools=[look], max_turns=2, max_cost=MAX_COST,
        settings={"max_tokens": 10}, rows=rows.inline([{"id": "a"}]),
    )
    cheap = Job(
        model="openai:gpt-5-mini", prompt="tell {id}", max_cost=0.05,
        settings={"max_tokens": 10}, rows=rows.inline([{"id": "b"}]),
    )
"""


def calls_once(body: dict[str, Any]) -> Any:
    if "tools" in body and len(body["messages"]) == 1:
        call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    return "Done."


def test_a_jobs_own_budget_is_held_in_every_turn(make_world: MakeWorld) -> None:
    """The plan could not know how long the tool's result is. Nothing is lost by the refusal."""
    world = make_world(model=calls_once)
    world.spec(TWO_JOBS.replace("MAX_COST", "0.05"))
    with pytest.raises(RefusedError, match=r"budget of \$0\.05 for job m\.dear .* raise its max"):
        world.apply(max_cost=Decimal(5))
    assert world.lines == 2
    assert world.outcomes("m.dear") == {"a": None}
    assert world.outcomes("m.cheap") == {"b": "succeeded"}
    world.spec(TWO_JOBS.replace("MAX_COST", "0.5"))
    assert world.apply().exit_code == ExitCode.DONE
    assert world.lines == 3, "only the turn that was refused"


def test_the_lowest_ceiling_counts(make_world: MakeWorld) -> None:
    world = make_world(model=calls_once)
    world.spec(TWO_JOBS.replace("MAX_COST", "5"))
    with pytest.raises(
        RefusedError, match=r"budget of \$0\.05 does not suffice.*larger --max-cost"
    ):
        world.apply(max_cost=Decimal("0.05"))
    assert world.apply(max_cost=Decimal(5)).exit_code == ExitCode.DONE


def test_what_an_earlier_run_put_together_is_held_against_the_budget_of_this_one(
    world: World,
) -> None:
    """Rows of a job that is not even in the plan are in the batch; before its first byte leaves."""
    world.job("a", settings="{'max_tokens': 100_000}", name="large")
    world.job("b", settings="{'max_tokens': 10}", name="small")
    world.wire.faults.append(Fault("POST", "/files", times=None))
    with pytest.raises(ProviderError, match="cannot be reached"):
        world.apply()
    world.wire.faults.clear()
    world.wire.calls.clear()
    with pytest.raises(RefusedError, match=r"under way or about to be\. What would exceed it"):
        world.apply(targets=["small.j"], max_cost=Decimal("0.01"))
    assert world.wire.count("POST", ".*") == 0
    assert world.apply(max_cost=Decimal(5)).exit_code == ExitCode.DONE
    assert world.lines == 2


def test_batches_that_are_under_way_count(world: World) -> None:
    """They will be paid for in this run."""
    world.job("a", settings="{'max_tokens': 100_000}")
    world.apply(detach=True)
    world.job("a", "b", settings="{'max_tokens': 100_000}")
    with pytest.raises(RefusedError, match=r"\$0\.21 is under way"):
        world.apply(max_cost=Decimal("0.3"))
    assert world.apply(max_cost=Decimal("0.5")).exit_code == ExitCode.DONE
    assert world.lines == 2
