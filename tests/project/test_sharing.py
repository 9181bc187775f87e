"""One answer serves several rows only where nothing that runs on this machine tells them apart."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from worlds import Fault, World, failure

from batchspec.errors import ExitCode, ProviderError, RefusedError
from batchspec.plan.changes import Kind

SEES_ROWS = """
    def mine(ctx: RunContext, value: str) -> str:
        if ctx.row["gold"] != "yes":
            raise ModelRetry("not mine")
        return value

    j = Job(
        model="openai:m", prompt="same", output_retries=0, output_validators=[mine],
        rows=rows.inline([{"id": "a", "gold": "yes"}, {"id": "b", "gold": "no"}]),
    )
"""


def test_rows_with_equal_requests_are_apart_where_validators_see_the_row(world: World) -> None:
    world.spec(SEES_ROWS)
    world.apply()
    assert world.outcomes() == {"a": "succeeded", "b": "failed"}
    assert world.lines == 2


def test_rows_with_equal_requests_share_an_answer_otherwise(world: World) -> None:
    world.job("a", "b", prompt="'same'")
    world.apply()
    assert world.outcomes() == {"a": "succeeded", "b": "succeeded"}
    assert world.lines == 1


STRICT = """
    def never(value: str) -> str:
        raise ModelRetry("no")

    {name} = Job(
        model="openai:m", prompt="same", output_retries=0, output_validators=[{check}],
        rows=rows.inline([{{"id": "a"}}]),
    )
"""


def test_two_jobs_that_judge_one_answer_differently_are_refused(world: World) -> None:
    world.spec(STRICT.format(name="j", check=""), "m")
    assert world.apply().done
    world.spec(STRICT.format(name="k", check="never"), "n")
    with pytest.raises(RefusedError, match="different tools, validators"):
        world.apply()
    assert world.outcomes() == {"a": "succeeded"}
    assert world.lines == 1


def test_a_renamed_job_judges_the_answers_it_takes_over_by_its_own_rules(world: World) -> None:
    world.spec(STRICT.format(name="j", check=""))
    assert world.apply().done
    world.spec(STRICT.format(name="renamed", check="never"))
    world.apply()
    assert world.outcomes("m.renamed") == {"a": "failed"}
    assert world.lines == 1


def test_replies_wait_while_their_job_is_away_and_are_judged_by_it(world: World) -> None:
    world.spec(STRICT.format(name="j", check="never"))
    world.job("x", name="other", variable="o")
    world.apply(detach=True)
    text = (world.root / "specs" / "m.py").read_text()
    world.remove("m")
    with world.project() as project:
        plan = project.plan(targets=["other.*"])
        assert project.apply(plan, hook=world.hook).exit_code == ExitCode.IN_PROGRESS
    assert any("not in the specs now" in warning for warning in world.hook.warnings)
    (world.root / "specs" / "m.py").write_text(text)
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert world.outcomes() == {"a": "failed"}
    assert world.lines == 2


def test_an_old_answer_stays_when_its_replacement_fails(world: World) -> None:
    world.spec(STRICT.format(name="j", check=""))
    assert world.apply().done
    world.spec(STRICT.format(name="j", check="never").replace('"same"', '"other"'))
    assert world.apply().failed == 1
    item = world.items()["a"]
    assert (item.text, item.previous) == ("SAME", True)
    assert "no" in (item.reason or "")
    with world.project() as project:
        (failed,) = project.results("m.j", failed=True)
        assert (failed.outcome, failed.text) == ("failed", "OTHER")


def test_a_disabled_job_is_left_alone(world: World) -> None:
    world.job("a")
    assert world.apply().done
    world.job("a", enabled="False")
    assert not world.plan().can_apply
    assert world.texts() == {"a": "SAY A"}


def test_what_was_agreed_and_not_sent_has_a_price_and_a_budget(world: World) -> None:
    world.job("a", "b", settings="{'max_tokens': 10}")
    refused = Fault("POST", "/files", status=401, body=failure("no"), times=1)
    world.wire.faults.append(refused)
    with pytest.raises(ProviderError):
        world.apply()
    plan = world.plan()
    assert plan.counts == {Kind.CONTINUE: 2}
    assert plan.requests == 2
    assert plan.cost_at_most > 0
    with world.project() as project, pytest.raises(RefusedError):
        project.apply(project.plan(), max_cost=Decimal(0))
    assert world.lines == 0


LONG_RESULTS = """
    @tool
    def look() -> str:
        "Look."
        return "word " * 100_000

    j = Job(
        model="openai:gpt-5-mini", prompt="{id}", tools=[look], max_turns=3,
        settings={"max_tokens": 10}, rows=rows.inline([{"id": "a"}]),
    )
"""


def test_a_budget_is_held_before_every_turn(make_world: Callable[..., World]) -> None:
    """No plan knows how long a tool's result is; the next turn is not sent when it is too dear."""

    def model(body: dict[str, Any]) -> Any:
        call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        return {"role": "assistant", "content": None, "tool_calls": [call]}

    world = make_world(model=model)
    world.spec(LONG_RESULTS)
    with pytest.raises(RefusedError, match="budget of"):
        world.apply(max_cost=Decimal("0.05"))
    assert world.lines == 1
    assert world.outcomes() == {"a": None}
