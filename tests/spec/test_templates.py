"""Templates: strict fields, through dicts, lists and models."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, computed_field

from batchspec.desired.attached import Attaching
from batchspec.spec.prompt import PromptInvalid, Template, as_messages, as_text


class Colour(Enum):
    RED = "red"


class Author(BaseModel):
    name: str
    age: int = 3


class Post(BaseModel):
    title: str
    author: Author
    colour: Colour = Colour.RED

    @computed_field
    def words(self) -> int:
        return len(self.title.split())

    @property
    def shout(self) -> str:
        return self.title.upper()


ROW = {
    "text": "hello",
    "n": 3,
    "price": 1.5,
    "yes": True,
    "none": None,
    "Customer Name": "Ann",
    "output": {"summary": "short", "tags": ["a", "é"]},
    "items": [{"key": "k1"}],
    "percent": "100%",
}
POST = Post(title="a b", author=Author(name="Ann"))


@pytest.mark.parametrize(
    ("template", "row", "text"),
    [
        ("plain", ROW, "plain"),
        ("{{literal}} {text}", ROW, "{literal} hello"),
        ("{text}", ROW, "hello"),
        ("{text}|{n}|{price}|{yes}|{none}|", ROW, "hello|3|1.5|True||"),
        ("100% {text} %s", ROW, "100% hello %s"),
        ("{percent}", ROW, "100%"),
        ("{Customer Name}", ROW, "Ann"),
        ("{output.summary} {output[summary]}", ROW, "short short"),
        ("{output}", ROW, '{"summary": "short", "tags": ["a", "é"]}'),
        ("{output.tags[1]}", ROW, "é"),
        ("{output.tags}", ROW, '["a", "é"]'),
        ("{items[0].key}", ROW, "k1"),
        ("{items[-1].key}", ROW, "k1"),
        ("{price:.2f}", ROW, "1.50"),
        ("{text:>7}", ROW, "  hello"),
        ("{text!r}", ROW, "'hello'"),
        ("{title}", POST, "a b"),
        ("{title} {words} {shout} {colour}", POST, "a b 2 A B red"),
        ("{author.name} {author}", POST, 'Ann {"name": "Ann", "age": 3}'),
    ],
)
def test_a_template_is_filled(template: str, row: Any, text: str) -> None:
    model = type(row) if isinstance(row, BaseModel) else None
    assert Template(template).compile(model)(row) == text


@pytest.mark.parametrize(
    ("template", "row", "told"),
    [
        ("{txt}", ROW, "{txt}: the row has no 'txt'. Did you mean 'text'?"),
        ("{output.sumary}", ROW, "{output[sumary]}: 'output' has no 'sumary'."),
        ("{items[3]}", ROW, "{items[3]}: 'items' has no '3'. Known: 0."),
        ("{text.upper}", ROW, "{text[upper]}: 'text' has no 'upper'. There are none."),
        ("{text:.2f}", ROW, "A `row_type` turns text into numbers."),
        ("{none:.2f}", ROW, "{none} cannot be written as '.2f'"),
        ("{titel}", POST, "{titel}: the row has no 'titel'. Did you mean 'title'?"),
        ("{model_fields}", POST, "{model_fields}: the row has no 'model_fields'."),
        ("{__class__}", POST, "the row has no '__class__'"),
        ("{author.nme}", POST, "'author' has no 'nme'. Did you mean 'name'?"),
    ],
)
def test_a_row_that_does_not_fit_is_told(template: str, row: Any, told: str) -> None:
    model = type(row) if isinstance(row, BaseModel) else None
    with pytest.raises(PromptInvalid) as caught:
        Template(template).compile(model)(row)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{", "Literal braces are doubled"),
        ("}", "Literal braces are doubled"),
        ("{}", "The template holds {}, which names no field."),
        ("{a..b}", "The template holds {a..b}, which names no field."),
        ("{a[}", "cannot be read: expected '}'"),
        ("{a:{width}}", "A format spec cannot hold a field: '{width}'."),
        ("{a:>10000000000}", "cannot make a text of more than 10_485_760 characters: '>1000"),
    ],
)
def test_a_template_that_is_none_is_told(template: str, told: str) -> None:
    with pytest.raises(PromptInvalid) as caught:
        Template(template)
    assert told in str(caught.value)


def test_unknown_fields_are_known_before_any_row() -> None:
    template = Template("{text} {custmer} {text.a}")
    assert template.fields == ("text", "custmer")
    (problem,) = template.problems(["text", "customer"])
    assert problem == (
        "{custmer} names a field the rows do not have. Did you mean 'customer'?"
        " Literal braces are doubled: {{ and }}."
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (False, "False"),
        (0.1, "0.1"),
        (date(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00Z"),
        (Decimal("1.10"), "1.10"),
        (Colour.RED, "red"),
        ([1, "é"], '[1, "é"]'),
    ],
)
def test_values_are_inserted_as_a_person_would_write_them(value: Any, text: str) -> None:
    assert as_text(value) == text


@given(st.text(), st.text(), st.text())
def test_any_text_survives(before: str, value: str, after: str) -> None:
    def escape(text: str) -> str:
        return text.replace("{", "{{").replace("}", "}}")

    template = Template(escape(before) + "{x}" + escape(after))
    assert template.compile()({"x": value}) == before + value + after


@dataclass
class Said:
    role: str
    content: str


@pytest.mark.parametrize(
    ("result", "messages"),
    [
        ("hi", [{"role": "user", "content": "hi"}]),
        ([{"role": "user", "content": "hi"}], [{"role": "user", "content": "hi"}]),
        (
            [Said("system", "be brief"), Said("user", "hi")],
            [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
        ),
        (
            [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
            [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        ),
    ],
)
def test_what_a_prompt_function_may_return(result: Any, messages: Any) -> None:
    assert as_messages(result, Attaching(".")) == messages


CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def calling(calls: Any) -> list[Any]:
    return [{"role": "assistant", "content": "a", "tool_calls": calls}]


def test_calls_of_tools_and_their_answers_may_be_in_a_prompt() -> None:
    messages = [*calling([CALL]), {"role": "tool", "content": "1", "tool_call_id": "a"}]
    assert as_messages(messages, Attaching(".")) == messages


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (None, "A prompt function returns a text or a list of messages, at least one; got None."),
        ([], "at least one; got []."),
        (
            [{"role": "user", "content": "a"}, "hi"],
            'A message is a dict such as {"role": "user", "content": "…"}; got \'hi\'.',
        ),
        ([{"role": "robot", "content": ""}], "The role of a message is one of system, user"),
        ([{"role": "user", "contents": ""}], "A message has no field 'contents'. Did you mean"),
        ([{"role": "user", "content": 3}], "The content of a message is a text or a list of parts"),
        ([{"role": "user", "content": "a", "tool_call_id": 5}], "a text; got 5."),
        ([{"role": "tool", "content": "a"}], "names the call it answers: set `tool_call_id`."),
        ([{"role": "assistant", "content": "a", "refusal": 5}], "`refusal` is a text; got 5."),
        ([{"role": "user", "content": "a", "tool_calls": []}], "of messages of the assistant"),
        (calling(5), "`tool_calls` is a list of calls such as"),
        (calling([5]), "A call in `tool_calls` is a dict such as"),
        (calling([{"id": "a"}]), "A call in `tool_calls` is a dict such as"),
        (calling([CALL | {"id": 1}]), "The id of a call in `tool_calls` is a text; got 1."),
        (calling([CALL | {"type": "custom"}]), "The type of a call in `tool_calls` is"),
        (calling([CALL | {"function": {}}]), "The name of a called function is a text; got None."),
        (calling([CALL | {"function": {"name": "f"}}]), "JSON as text, see `json.dumps`; got None"),
    ],
)
def test_what_a_prompt_function_may_not_return(result: Any, told: str) -> None:
    with pytest.raises(PromptInvalid) as caught:
        as_messages(result, Attaching("."))
    assert told in str(caught.value)
