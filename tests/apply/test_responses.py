"""Conversations over `/v1/responses`: stateless turns, with everything that was said."""

import itertools
import json
from typing import Any

import pytest
from worlds import World

from batchspec.errors import ExitCode
from batchspec.simulator import Answer

Body = dict[str, Any]
MODEL = "openai-responses:gpt-5-mini"
TOOLED = """
from pydantic import BaseModel

@tool
def add(x: int, y: int) -> int:
    "Add two numbers."
    return x + y

class Sum(BaseModel):
    total: int

def not_small(value: Sum) -> None:
    if value.total < 5:
        raise ModelRetry("Larger, please.")

j = Job(model={model!r}, rows=rows.inline([{{"id": "a"}}, {{"id": "b"}}]), prompt="do {{id}}",
        instructions="Count.", tools=[add], output=Sum, output_validators=[not_small], {more})
"""


def spec(world: World, text: str = TOOLED, model: str = MODEL, more: str = "") -> None:
    world.spec(text.format(model=model, more=more))


def kinds(body: Body) -> list[str]:
    return [item.get("type") or item["role"] for item in body["input"]]


def counting(seen: list[Body]) -> Any:
    """Return a model that calls twice, says too little, and then enough."""

    def model(body: Body) -> Any:
        seen.append(body)
        outputs = [item for item in body["input"] if item.get("type") == "function_call_output"]
        if not outputs:
            calls = [{"name": "add", "arguments": {"x": n, "y": 1}} for n in (1, 2)]
            return {"role": "assistant", "content": "I count.", "tool_calls": calls}
        return {"total": 9 if body["input"][-1].get("role") == "user" else len(outputs)}

    return model


def test_turns_hold_all_that_was_said(world: World) -> None:
    """The server refuses calls without outputs, and what comes without its thoughts."""
    spec(world)
    seen: list[Body] = []
    world.model = counting(seen)
    assert world.apply().exit_code == ExitCode.DONE
    assert {key: item.output.total for key, item in world.items().items()} == {"a": 9, "b": 9}
    assert {batch["endpoint"] for batch in world.remote()} == {"/v1/responses"}
    last = seen[-1]
    assert kinds(last) == [
        "system", "user", "reasoning", "message", "function_call", "function_call",
        "function_call_output", "function_call_output", "reasoning", "message", "user",
    ]  # fmt: skip
    assert all(i["encrypted_content"] for i in last["input"] if i.get("type") == "reasoning")
    assert [i["output"] for i in last["input"] if i.get("type", "").endswith("output")] == [
        "2",
        "3",
    ]
    assert (last["store"], last["include"]) == (False, ["reasoning.encrypted_content"])
    assert "Larger, please." in last["input"][-1]["content"]


def test_turns_are_read_back_as_they_were(world: World) -> None:
    spec(world)
    seen: list[Body] = []
    world.model = counting(seen)
    world.apply()
    with world.open() as project:
        turns = project.turns('m.j["b"]')
        assert [turn.request for turn in turns] == seen[1::2]
        assert [turn.number for turn in turns] == [1, 2, 3]
        assert all(turn.usage.output_tokens for turn in turns)
        assert project.render('m.j["a"]').request["body"] == seen[0]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(refusal="I will not."), "refused"),
        (Answer(content="half", finish_reason="length"), "truncated"),
        (Answer(content=None, finish_reason="content_filter"), "filtered"),
        (Answer(error={"code": "server_error", "message": "Oh."}), "failed"),
        (Answer(error={"code": "invalid_prompt", "message": "No."}), "failed"),
        (Answer(content="fine"), "succeeded"),
    ],
)
def test_every_way_a_response_ends_has_its_outcome(
    world: World, answer: Answer, outcome: str
) -> None:
    spec(world, "j = Job(model={model!r}, rows=rows.inline([{{'id': 'a'}}]), prompt='x'{more})")
    world.model = lambda body: answer
    world.apply()
    (item,) = world.items().values()
    assert item.outcome == outcome
    code = (answer.error or {}).get("code", "")
    assert code in (item.reason or "")
    # What fails in passing inside of a 200 is asked for again, what never works is not.
    assert world.created == (4 if code == "server_error" else 1)


def test_an_empty_answer_of_a_model_that_thought_is_asked_for_again(world: World) -> None:
    """Thoughts that nothing follows are refused by the service, so they stay behind."""
    spec(world)
    seen: list[Body] = []

    def model(body: Body) -> Any:
        seen.append(body)
        return {"total": 9} if len(seen) > 2 else {"role": "assistant", "content": ""}

    world.model = model
    assert world.apply().exit_code == ExitCode.DONE
    assert "reasoning" not in kinds(seen[-1]) or kinds(seen[-1])[-1] != "reasoning"


def test_another_endpoint_is_another_request_unless_it_is_ignored(world: World) -> None:
    """Old replies stay readable, and are judged again by what they are."""
    spec(world, model="openai:gpt-5-mini", more="ignore_changes=['model'],")
    world.model = lambda body: {"total": 9}
    world.apply()
    assert world.created == 1
    again = TOOLED.replace("< 5", "< 10")
    spec(world, again, more="ignore_changes=['model'],")
    world.apply()
    assert world.created == 1, "nothing was sent"
    assert set(world.outcomes().values()) == {"failed"}, "the replies of chats were judged"
    spec(world, more="ignore_changes=['model'],")
    world.apply()
    assert {item.output.total for item in world.items().values()} == {9}
    spec(world)
    with world.open() as project:
        assert project.plan().jobs[0].reasons[0].code == "MODEL_CHANGED"
    world.apply()
    assert world.created == 2
    assert {item.output.total for item in world.items().values()} == {9}


def test_settings_that_the_endpoint_does_not_have_are_told_before(world: World) -> None:
    spec(world, more="settings={'seed': 1, 'stop': 'x', 'max_tokens': 5},")
    with world.open() as project:
        problems = project.validate().diagnostics
    told = "\n".join(str(problem) for problem in problems)
    assert told.count("setting does not fit the endpoint") == 3
    assert "'seed' is a setting that /v1/responses does not have" in told
    assert "takes no limit below 16" in told


def test_what_is_recorded_is_replayed(world: World) -> None:
    """A canary, too few requests for a batch, and answers kept in a file."""
    own = world.settings.providers["openai-responses"]
    limits = own.limits.model_copy(update={"canary": 1})
    own = own.model_copy(update={"limits": limits, "record": "kept.jsonl"})
    providers = {**world.settings.providers, "openai-responses": own}
    world.settings = world.settings.model_copy(update={"providers": providers})
    spec(world)
    world.model = counting([])
    assert world.apply().exit_code == ExitCode.DONE
    kept = [json.loads(line) for line in (world.root / "kept.jsonl").read_text().splitlines()]
    assert sum("function_call" in json.dumps(one) for one in kept) >= 2
    assert world.created == 4, "one row first, then the other, in every turn of the canary alone"


def test_both_providers_of_an_account_share_the_queue_of_a_model(world: World) -> None:
    """A bound on prompt tokens is that of the account, whatever endpoint asks."""
    providers = {
        name: own.model_copy(
            update={"limits": own.limits.model_copy(update={"max_enqueued_tokens": {"*": 80}})}
        )
        for name, own in world.settings.providers.items()
    }
    world.settings = world.settings.model_copy(update={"providers": providers})
    data = [{"id": str(n), "text": f"{n} " + "word " * 30} for n in range(2)]
    for name, provider in {"m": "openai", "n": "openai-responses"}.items():
        world.spec(
            f"j = Job(model='{provider}:gpt-5-mini', rows=rows.inline({data}), prompt='{{text}}')",
            name,
        )
    world.model = lambda body: "x"
    world.apply()
    assert world.texts("m.j") == world.texts("n.j") == {"0": "x", "1": "x"}
    spans = sorted((b["created_at"], b["completed_at"]) for b in world.remote())
    assert {b["endpoint"] for b in world.remote()} == {"/v1/responses", "/v1/chat/completions"}
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
