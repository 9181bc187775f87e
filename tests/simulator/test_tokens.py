"""Token counts against what the tokenizer of current models counts."""

from typing import Any

import pytest

from batchspec.simulator import Answer
from batchspec.simulator.endpoints.answering import settle
from batchspec.simulator.endpoints.models import is_reasoning
from batchspec.simulator.endpoints.tokens import (
    prompt_tokens,
    reasoning_tokens,
    text_tokens,
)

JSON = '{"city":"Paris","population":2100000,"districts":["Le Marais","Montmartre"],"river":null}'
DUCKS = (
    "Janet\u2019s ducks lay 16 eggs per day. She eats three for breakfast every morning and bakes "
    "muffins for her friends every day with four. She sells the remainder at the farmers' market "
    "daily for $2 per fresh duck egg. How much in dollars does she make every day at the farmers' "
    "market?"
)


RUSSIAN = "\u041f\u0440\u0438\u0432\u0435\u0442, \u043a\u0430\u043a \u0434\u0435\u043b\u0430?"
CHINESE = "\u4eba\u4eba\u751f\u800c\u81ea\u7531\uff0c\u5728\u5c0a\u4e25\u548c\u6743\u5229\u4e0a"
PIVOT = "This late pivot means we don't have time to boil the ocean for the client deliverable."


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("Hello!", 2),
        ("You are a helpful assistant.", 6),
        (PIVOT, 18),
        (RUSSIAN, 6),
        (CHINESE, 11),
        (JSON, 27),
        (DUCKS, 63),
    ],
)
def test_estimates_are_near_the_tokenizer(text: str, counted: int) -> None:
    assert text_tokens(text) == pytest.approx(counted, rel=0.25, abs=1)


def test_messages_cost_what_surrounds_them() -> None:
    """The example of the service's own reference counts 19 tokens."""
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Hello!"},
    ]
    assert prompt_tokens({"messages": messages}) == pytest.approx(19, abs=2)
    picture = {"type": "image_url", "image_url": {"url": "data:" + "x" * 100_000}}
    messages.append({"role": "user", "content": [picture]})  # type: ignore[dict-item]
    assert prompt_tokens({"messages": messages}) < 400


@pytest.mark.parametrize("odd", [{}, {"messages": 3}, {"messages": [3, {"content": 3}, {}]}])
def test_odd_requests_are_counted_too(odd: dict[str, Any]) -> None:
    assert prompt_tokens(odd) < 20


def test_models_that_reason_are_known_by_name() -> None:
    reasoning = ("o1", "o3-mini", "o4-mini-2025-04-16", "gpt-5", "gpt-5.4-pro", "gpt-6-luna")
    assert all(map(is_reasoning, reasoning))
    plain = ("gpt-4o", "gpt-4.1-mini", "gpt-5-chat-latest", "qwen3", "gpt-oss-20b", "omni")
    assert not any(map(is_reasoning, plain))


def test_thoughts_come_in_steps_and_by_effort() -> None:
    def drawn(effort: str | None) -> list[int]:
        body = {"model": "gpt-5-mini", "reasoning_effort": effort}
        return [reasoning_tokens(body, draw) for draw in range(256)]

    assert {tokens % 64 for tokens in drawn(None)} == {0}
    assert drawn("minimal") == drawn("none") == [0] * 256
    means = [sum(drawn(effort)) for effort in ("low", "medium", "high")]
    assert means == sorted(means)
    assert drawn(None) == drawn("medium")
    assert len(set(drawn("medium"))) > 8


def test_a_limit_leaves_less_to_think_and_then_less_to_say() -> None:
    chat = {"model": "gpt-5-mini", "messages": [], "max_completion_tokens": 100}
    answer = Answer(content="word " * 40)
    spoken = text_tokens(answer.content or "")
    whole, usage = settle(answer, chat, 255)
    assert (whole, usage.output_tokens, usage.reasoning_tokens) == (answer, 100, 100 - spoken)
    cut, usage = settle(answer, {**chat, "max_completion_tokens": 10}, 255)
    assert (cut.finish_reason, usage.output_tokens, usage.reasoning_tokens) == ("length", 10, 0)
    assert text_tokens(cut.content or "") <= 10


@pytest.mark.parametrize(
    ("stop", "said"), [("two", "one "), (["three", "two "], "one "), ("nine", None), ("", None)]
)
def test_a_stop_sequence_ends_the_answer(stop: Any, said: str | None) -> None:
    chat = {"model": "gpt-4o", "messages": [], "stop": stop}
    cut, _ = settle(Answer(content="one two three"), chat, 0)
    assert cut.content == (said or "one two three")
