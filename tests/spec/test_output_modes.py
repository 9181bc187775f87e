"""Output modes: what the provider is asked for, and how its answer is read."""

import json
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from batchspec.messages import Reply
from batchspec.spec.output import (
    NativeOutput,
    OrNothing,
    OutputInvalid,
    PromptedOutput,
    TextMode,
    ToolOutput,
    output_mode,
)


class Triage(BaseModel):
    """How a ticket is routed."""

    queue: Literal["billing", "bug"]
    urgency: int = Field(ge=1, le=5, alias="Urgency")


class Movie(TypedDict):
    name: str


@dataclass
class Point:
    x: int


@pytest.mark.parametrize("output", [None, str])
def test_text_is_read_as_it_is(output: Any) -> None:
    mode = output_mode(output)
    assert isinstance(mode, TextMode)
    assert mode.contract is None
    assert mode.parse(" hi ") == " hi "
    assert mode.dump("hi") == "hi"
    with pytest.raises(OutputInvalid, match="The answer was empty"):
        mode.parse(" \n")


@pytest.mark.parametrize(
    ("output", "text", "value", "name"),
    [
        (Triage, '{"queue": "bug", "Urgency": 2}', Triage(queue="bug", Urgency=2), "Triage"),
        (Movie, '{"name": "x"}', {"name": "x"}, "Movie"),
        (Point, '{"x": 1}', Point(1), "Point"),
        (int, '{"response": 3}', 3, "final_result"),
        (list[str], '{"response": ["a"]}', ["a"], "final_result"),
        (Literal["a", "b"], '{"response": "a"}', "a", "final_result"),
        (Triage | Movie, '{"response": {"name": "x"}}', {"name": "x"}, "final_result"),
        (NativeOutput(dict[str, int], strict=False), '{"a": 1}', {"a": 1}, "final_result"),
        (NativeOutput(Triage, name="t"), '{"queue": "bug", "Urgency": 2}', None, "t"),
    ],
    ids=str,
)
def test_a_type_is_asked_for_and_read(output: Any, text: str, value: Any, name: str) -> None:
    mode = output_mode(output)
    assert mode.contract is not None
    assert mode.contract.name == name
    assert mode.contract.schema["type"] == "object"
    assert mode.problems == ()
    parsed = mode.parse(text)
    assert value is None or parsed == value
    written = json.loads(text)
    assert mode.dump(parsed) == written.get("response", written)


@pytest.mark.parametrize(
    ("output", "text"),
    [
        (str, "hi"),
        (Triage, '{"queue": "bug", "Urgency": 2}'),
        ([ToolOutput(Point), str], "hi"),
        (ToolOutput(Point), '{"x": 1}'),
        (PromptedOutput(Point), '{"x": 1}'),
    ],
    ids=str,
)
def test_nothing_is_an_answer_only_where_it_is_allowed(output: Any, text: str) -> None:
    empty = Reply("")
    with pytest.raises(OutputInvalid):
        output_mode(output).read(empty)
    mode = output_mode(OrNothing(output))
    assert mode.typed
    assert mode.read(empty) == ""
    assert mode.parse("") is None
    assert mode.dump(None) is None
    assert mode.dump(mode.parse(text)) == output_mode(output).dump(output_mode(output).parse(text))
    with pytest.raises(OutputInvalid):
        mode.parse(" ")


def test_a_wrong_answer_becomes_feedback_for_the_model() -> None:
    with pytest.raises(OutputInvalid) as caught:
        output_mode(Triage).parse('{"queue": "sales", "Urgency": 9}')
    message = caught.value.message
    assert message.startswith("This is automated feedback about your last answer")
    assert "Input should be 'billing' or 'bug'" in message
    assert '"loc":["Urgency"]' in message
    assert "errors.pydantic.dev" not in message
    assert '"ctx"' not in message


@pytest.mark.parametrize("text", ["", "no json", '{"queue": "bug"', "[]"])
def test_what_is_no_json_becomes_feedback_too(text: str) -> None:
    with pytest.raises(OutputInvalid):
        output_mode(Triage).parse(text)


def test_a_markdown_fence_is_forgiven() -> None:
    assert output_mode(int).parse('```json\n{"response": 3}\n```') == 3


def test_without_strict_every_schema_passes() -> None:
    assert output_mode(dict[str, int]).problems
    mode = output_mode(NativeOutput(dict[str, int], strict=False, description="Counts."))
    assert mode.problems == ()
    assert mode.contract is not None
    assert mode.contract.strict is False
    assert mode.contract.description == "Counts."
