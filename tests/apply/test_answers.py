"""From rows to outcomes, through every kind of answer a model can give."""

import json
from typing import Any

import pytest
from worlds import World

from batchspec.errors import ExitCode
from batchspec.simulator import HTTPFailure

TYPED = """
    from pydantic import BaseModel

    class City(BaseModel):
        name: str
        people: int

    j = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}, {"id": "b"}]),
            prompt="about {id}", output=City, output_retries=2)
"""


def said(body: dict[str, Any]) -> str:
    """Return the text of the first message of the user."""
    return next(m["content"] for m in body["messages"] if m["role"] == "user")


def turn(body: dict[str, Any]) -> int:
    return 1 + sum(m["role"] == "assistant" for m in body["messages"])


def test_rows_become_answers(world: World) -> None:
    world.job("a", "b", instructions="'Shout.'")
    result = world.apply()
    assert (result.exit_code, result.failed) == (ExitCode.DONE, 0)
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}
    assert world.outcomes() == {"a": "succeeded", "b": "succeeded"}
    assert world.created == 1


def test_what_was_paid_is_counted_per_row_and_in_all(world: World) -> None:
    world.job("a", "b")
    (progress,) = world.apply().jobs
    items = world.items().values()
    assert progress.usage.input_tokens == sum(item.usage.input_tokens for item in items) > 0
    assert progress.cost is not None
    assert float(progress.cost) == pytest.approx(sum(float(item.cost or 0) for item in items))


def test_typed_answers_are_validated(world: World) -> None:
    world.spec(TYPED)
    world.model = lambda body: {"name": said(body)[-1], "people": 7}
    world.apply()
    item = world.items()["b"]
    assert (item.output.name, item.output.people) == ("b", 7)
    assert type(item.output).__name__ == "City"


def test_an_answer_that_does_not_fit_is_asked_for_again(world: World) -> None:
    """The model sees its own answer and what was wrong with it."""
    world.spec(TYPED)
    seen: list[Any] = []

    def model(body: dict[str, Any]) -> Any:
        if said(body) == "about a" and turn(body) < 3:
            return {"name": "a", "people": "many"}
        seen.append(body["messages"])
        return {"name": "x", "people": 7}

    world.model = model
    result = world.apply()
    assert result.exit_code == ExitCode.DONE
    assert {key: item.turns for key, item in world.items().items()} == {"a": 3, "b": 1}
    last = next(messages for messages in seen if messages[0]["content"] == "about a")
    assert [m["role"] for m in last] == ["user", "assistant", "user", "assistant", "user"]
    assert "people" in last[-1]["content"]
    assert json.loads(last[1]["content"]) == {"name": "a", "people": "many"}


def test_an_answer_that_never_fits_fails_its_item_only(world: World) -> None:
    world.spec(TYPED)
    world.model = lambda body: (
        {"name": 1} if said(body) == "about a" else {"name": "b", "people": 7}
    )
    result = world.apply()
    assert (result.exit_code, result.failed) == (ExitCode.FAILED_ITEMS, 1)
    items = world.items()
    assert (items["a"].outcome, items["a"].turns, items["a"].output) == ("failed", 3, None)
    assert "was not accepted" in (items["a"].reason or "")
    assert items["b"].outcome == "succeeded"


def test_a_validator_can_send_an_answer_back(world: World) -> None:
    world.spec("""
        def loud(ctx: RunContext, value: str) -> str:
            if not value.endswith("!"):
                raise ModelRetry(f"Shout at {ctx.row['id']} of {ctx.job}, key {ctx.key}.")
            return value * 2

        j = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}]), prompt="hi",
                output_validators=[loud])
    """)
    feedback: list[str] = []

    def model(body: dict[str, Any]) -> str:
        if turn(body) == 1:
            return "hm"
        feedback.append(body["messages"][-1]["content"])
        return "ho!"

    world.model = model
    assert world.apply().exit_code == ExitCode.DONE
    assert feedback[0].endswith("\nShout at a of m.j, key a.")
    assert world.items()["a"].output == "ho!ho!", "what a validator returns is the output"


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        ({"role": "assistant", "refusal": "I can't help with that."}, "refused"),
        ({"role": "assistant", "content": "trunc", "finish_reason": "length"}, "truncated"),
        ({"role": "assistant", "content": "", "finish_reason": "content_filter"}, "filtered"),
    ],
)
def test_what_is_no_answer_has_its_own_outcome(
    world: World, message: dict[str, Any], outcome: str
) -> None:
    """It ran and is paid: the next plan does not send it again."""
    world.job("a", "b")
    world.model = lambda body: message if body["messages"][0]["content"] == "say a" else "fine"
    result = world.apply()
    assert result.exit_code == ExitCode.FAILED_ITEMS
    assert world.outcomes() == {"a": outcome, "b": "succeeded"}
    assert world.items()["a"].reason
    assert not world.plan().can_apply


def test_a_rejected_line_is_final_with_the_provider_s_words(world: World) -> None:
    def model(body: dict[str, Any]) -> str:
        if body["messages"][0]["content"] == "say a":
            raise HTTPFailure(400, "Too long.", code="context_length_exceeded")
        return "fine"

    world.model = model
    world.job("a", "b")
    world.apply()
    assert world.outcomes() == {"a": "failed", "b": "succeeded"}
    assert world.items()["a"].reason == "context_length_exceeded: Too long."
    assert world.created == 1


@pytest.mark.parametrize("status", [429, 500])
def test_a_line_that_failed_in_passing_goes_again(world: World, status: int) -> None:
    tries: list[str] = []

    def model(body: dict[str, Any]) -> str:
        tries.append(said(body))
        if tries.count("say a") == 1 and said(body) == "say a":
            raise HTTPFailure(status, "Not now.")
        return "fine"

    world.model = model
    world.job("a", "b")
    assert world.apply().exit_code == ExitCode.DONE
    assert sorted(tries) == ["say a", "say a", "say b"]
    assert world.created == 2


def test_a_line_that_always_fails_is_capped(world: World) -> None:
    """Sent once and again as often as `retries` says."""
    tries: list[str] = []

    def model(body: dict[str, Any]) -> str:
        tries.append(said(body))
        raise HTTPFailure(500, "Not today.")

    world.model = model
    world.job("a")
    assert world.apply().failed == 1
    assert len(tries) == 1 + world.settings.retries
    assert "Not today." in (world.items()["a"].reason or "")


def test_no_retries_means_one_try(world: World) -> None:
    tries: list[str] = []

    def model(body: dict[str, Any]) -> str:
        tries.append(said(body))
        raise HTTPFailure(500, "Not today.")

    world.model = model
    world.settings = world.settings.model_copy(update={"retries": 0})
    world.job("a")
    assert world.apply().failed == 1
    assert len(tries) == 1


def test_answers_of_one_job_are_rows_of_the_next(world: World) -> None:
    """And all of them are one row of the last."""
    world.spec("""
        first = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}, {"id": "b"}]),
                    prompt="say {id}")
        second = Job(model="openai:gpt-5-mini", rows=rows.outputs_of(first),
                     prompt="then {output}")
        report = Job(model="openai:gpt-5-mini", rows=rows.collect(second),
                     prompt=lambda row: f"{row['count']}: " + " and ".join(row["outputs"]))
    """)
    result = world.apply()
    assert (result.exit_code, result.waiting) == (ExitCode.DONE, ())
    assert world.texts("m.second") == {"a": "THEN SAY A", "b": "THEN SAY B"}
    assert world.texts("m.report") == {"all": "2: THEN SAY A AND THEN SAY B"}
    assert world.created == 3
    assert not world.plan().can_apply


def test_a_failed_answer_is_no_row_of_the_next_job(world: World) -> None:
    world.spec("""
        first = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}, {"id": "b"}]),
                    prompt="say {id}")
        second = Job(model="openai:gpt-5-mini", rows=rows.outputs_of(first), prompt="{output}")
    """)
    world.model = lambda body: (
        {"role": "assistant", "refusal": "no"} if said(body) == "say a" else said(body).upper()
    )
    assert world.apply().failed == 1
    assert world.texts("m.second") == {"b": "SAY B"}


def test_a_schema_is_sent_in_the_order_it_was_written(world: World) -> None:
    """A model writes fields in the order of the schema: the reasoning before the answer."""
    world.spec("""
        from pydantic import BaseModel

        class Thought(BaseModel):
            why: str
            answer: str

        j = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}]), prompt="x",
                output=Thought)
    """)
    orders: list[list[str]] = []

    def model(body: dict[str, Any]) -> Any:
        orders.append(list(body["response_format"]["json_schema"]["schema"]["properties"]))
        return {"why": "w", "answer": "a"}

    world.model = model
    assert world.apply().exit_code == ExitCode.DONE
    assert orders == [["why", "answer"]]
