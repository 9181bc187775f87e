"""Outputs that are chosen among, and what a mode makes of whole replies."""

from typing import Any, Literal

import pytest
from pydantic import BaseModel
from spec.outputs import Cat, Dog, Node

from batchspec import Job, NativeOutput, PromptedOutput, RunContext, TextOutput, ToolOutput, rows
from batchspec.errors import SpecError
from batchspec.messages import Reply, ToolCall
from batchspec.spec.output import (
    FEEDBACK,
    OutputInvalid,
    PromptedMode,
    TextMode,
    ToolMode,
    finished,
    output_mode,
)


def call(name: str, arguments: str, number: int = 1) -> ToolCall:
    return ToolCall(f"call_{number}", name, arguments)


def reply(*calls: ToolCall, text: str | None = None) -> Reply:
    return Reply(text, "tool_calls" if calls else "stop", tool_calls=calls)


def value(mode: Any, said: Reply, context: Any = None) -> Any:
    return finished(mode.parse(mode.read(said)), context)


def add(x: int, y: int = 1) -> int:
    """Add two numbers.

    Args:
        x: The first.
        y: The second.
    """
    return x + y


async def praise(ctx: RunContext[str], cat: Cat) -> str:
    """Praise a cat."""
    return f"{ctx.deps} {cat.meows}"


CONTEXT: RunContext[str] = RunContext(deps="good", job="m.j", key="k", row={})


# --- tools


def test_a_lone_output_is_the_tool_final_result() -> None:
    mode = output_mode(ToolOutput(Cat))
    (tool,) = mode.tools
    assert (tool.name, tool.description, tool.strict) == ("final_result", "A cat.", True)
    assert "description" not in tool.parameters, "it is said once"
    assert (mode.tool_choice, mode.contract, mode.json_mode) == ("required", None, False)
    assert value(mode, reply(call("final_result", '{"meows": true}'))) == Cat(meows=True)


def test_what_is_no_object_is_wrapped() -> None:
    mode = output_mode(ToolOutput(Literal["a", "b"]))
    (tool,) = mode.tools
    assert list(tool.parameters["properties"]) == ["response"]
    assert tool.description == "The final answer. Calling this ends the conversation."
    assert value(mode, reply(call("final_result", '{"response": "b"}'))) == "b"


def test_several_outputs_are_a_tool_each() -> None:
    class Cat(BaseModel):
        """Another cat."""

    mode = output_mode(
        [ToolOutput(globals()["Cat"]), Dog, ToolOutput(Cat), ToolOutput(int, name="n")]
    )
    assert [(tool.name, tool.description) for tool in mode.tools] == [
        ("final_result_Cat", "Cat: A cat."),
        ("final_result_Dog", "Dog: A dog."),
        ("final_result_Cat_2", "Cat_2: Another cat."),
        ("n", "int: The final answer. Calling this ends the conversation."),
    ]
    assert value(mode, reply(call("final_result_Dog", '{"barks": 2}'))) == Dog(barks=2)
    assert value(mode, reply(call("n", '{"response": 2}'))) == 2


def test_what_the_state_keeps_says_which_tool_it_was() -> None:
    mode = output_mode([ToolOutput(Cat), Dog])
    kept = mode.read(reply(call("final_result_Dog", ' {"barks": 1} ')))
    assert kept == '{"tool":"final_result_Dog","arguments":{"barks": 1}}'
    assert mode.parse(kept) == Dog(barks=1)


def test_the_first_call_that_fits_has_the_last_word() -> None:
    mode = output_mode([ToolOutput(Cat), Dog])
    bad, good = call("final_result_Cat", "{}"), call("final_result_Dog", '{"barks": 1}', 2)
    other = call("final_result_Dog", '{"barks": 7}', 3)
    assert value(mode, reply(bad, good, other)) == Dog(barks=1)


def test_a_call_that_does_not_fit_is_told_in_its_answer() -> None:
    mode = output_mode(ToolOutput(Dog))
    with pytest.raises(OutputInvalid) as caught:
        mode.read(reply(call("final_result", '{"barks": "x"}')))
    assert caught.value.call == "call_1"
    assert caught.value.message.startswith('{"error": [{"type": "int_parsing", "loc": ["barks"]')


@pytest.mark.parametrize("said", [reply(), reply(text="It barks."), reply(call("other", "{}"))])
def test_a_reply_without_the_call_is_told_what_to_call(said: Reply) -> None:
    with pytest.raises(OutputInvalid) as caught:
        output_mode(ToolOutput(Dog)).read(said)
    assert caught.value.call is None
    assert caught.value.message == (
        f"{FEEDBACK}\nPlease give your answer by calling the tool 'final_result'."
    )


# --- text among them


def test_text_is_allowed_where_it_is_listed() -> None:
    mode = output_mode([Cat, str])
    assert isinstance(mode, ToolMode)
    assert mode.tool_choice is None, "no tool has to be called"
    assert value(mode, reply(text="Neither.")) == "Neither."
    assert value(mode, reply(call("final_result", '{"meows": true}'))) == Cat(meows=True)
    with pytest.raises(OutputInvalid, match="return text, or give your answer by calling"):
        mode.read(reply(text=" "))


def test_a_function_makes_the_output_of_text() -> None:
    mode = output_mode(TextOutput(str.split))
    assert isinstance(mode, TextMode)
    assert value(mode, reply(text="a b")) == ["a", "b"]
    assert mode.dump(["a", "b"]) == ["a", "b"]
    assert value(output_mode([Cat, TextOutput(str.split)]), reply(text="a b")) == ["a", "b"]


# --- functions


@pytest.mark.parametrize("marker", [lambda f: f, NativeOutput, ToolOutput, PromptedOutput])
def test_the_parameters_of_a_function_are_what_is_asked_for(marker: Any) -> None:
    mode = output_mode(marker(add))
    text = '{"x": 2, "y": 3}'
    said = reply(call("final_result", text)) if isinstance(mode, ToolMode) else reply(text=text)
    assert value(mode, said) == 5
    assert mode.problems == ()


def test_a_function_is_described_by_its_docstring() -> None:
    (tool,) = output_mode(ToolOutput(add)).tools
    assert tool.description == "Add two numbers."
    assert tool.parameters["properties"]["x"] == {"type": "integer", "description": "The first."}


@pytest.mark.parametrize("marker", [NativeOutput, ToolOutput, PromptedOutput])
def test_a_lone_object_is_not_wrapped_and_a_function_may_wait_and_see_the_row(marker: Any) -> None:
    mode = output_mode(marker(praise))
    text = '{"meows": true}'
    said = reply(call("final_result", text)) if isinstance(mode, ToolMode) else reply(text=text)
    assert mode.takes_context
    assert value(mode, said, CONTEXT) == "good True"


# --- a choice in one schema


@pytest.mark.parametrize("marker", [lambda members: members, NativeOutput, PromptedOutput])
def test_a_choice_names_its_kind(marker: Any) -> None:
    mode = output_mode(marker([Cat, Dog, add, Node]))
    assert mode.problems == ()
    schema = mode.form.schema.schema  # type: ignore[attr-defined]
    assert schema["type"] == "object"
    assert list(schema["properties"]) == ["result"]
    for data, found in [
        ('{"kind": "Dog", "data": {"barks": 1}}', Dog(barks=1)),
        ('{"kind": "add", "data": {"x": 1}}', 2),
        ('{"kind": "Node", "data": {"name": "a", "children": []}}', Node(name="a", children=[])),
    ]:
        assert value(mode, reply(text=f'{{"result": {data}}}')) == found
    with pytest.raises(OutputInvalid, match="did not validate"):
        mode.parse('{"result": {"kind": "Cow", "data": {}}}')


# --- prompted


def test_the_schema_is_in_the_instructions() -> None:
    mode = output_mode(PromptedOutput(Dog, name="Animal", description="What barks."))
    assert isinstance(mode, PromptedMode)
    assert mode.json_mode
    assert mode.instructions == (
        "Answer with one JSON object that fits this JSON schema, and with nothing else: no text"
        " around it, no Markdown fence.\n\n"
        '{"title": "Animal", "description": "What barks.",'
        ' "properties": {"barks": {"type": "integer"}}, "required": ["barks"], "type": "object"}'
    )


def test_json_mode_needs_its_word() -> None:
    mode = output_mode(PromptedOutput(Dog, template="Fill this in: {schema}"))
    assert (mode.instructions or "").startswith('Fill this in: {"description": "A dog."')
    assert not mode.json_mode


@pytest.mark.parametrize(
    "text",
    [
        '{"barks": 1}',
        '```json\n{"barks": 1}\n```',
        'Here it is:\n```\n{"barks": 1}\n```\nThat is all.',
        '\n ```JSON\n{"barks": 1}```',
        '```JSON\r\n{"barks": 1}\r\n```',
        '```json\n{"barks": 1}',
        '```json {"barks": 1}```',
        '```json\n{"barks": 1}\n```\n or \n```json\n{"barks": 2}\n```',
        'As `f` does:\n```py\nf(1)\n```\nit is\n```json5\n{"barks": 1}\n```\n',
    ],
)
def test_fences_are_stripped(text: str) -> None:
    mode = output_mode(PromptedOutput(Dog))
    kept = mode.read(reply(text=text))
    assert kept == '{"barks": 1}', "what is kept is JSON, for who reads it without the spec"
    assert mode.parse(kept) == Dog(barks=1)


def test_json_may_hold_fences_of_its_own() -> None:
    class Said(BaseModel):
        said: str

    told = '```json\n{"said": "```py\\nf()\\n```"}\n```'
    mode = output_mode(PromptedOutput(Said))
    assert mode.parse(mode.read(reply(text=told))) == Said(said="```py\nf()\n```")


@pytest.mark.parametrize("text", ["```{", "```json\n{}x", "`", "```a ", "```\n{ } "])
def test_a_text_full_of_fences_is_read_in_no_time(text: str) -> None:
    """In less than an hour, that is: what takes a step for each pair of them does not end."""
    mode = output_mode(PromptedOutput(Dog))
    with pytest.raises(OutputInvalid):
        mode.read(reply(text=text * 300_000))


# --- what a job refuses


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ([], "a list of outputs cannot be empty"),
        ([Cat, NativeOutput(Dog)], "NativeOutput stands alone"),
        ([Cat, None], "None is no output"),
        ([Cat, [Dog]], "holds no other list"),
        ([str, TextOutput(str.split)], "text can be read in one way only"),
        (NativeOutput([Cat, str]), "put `str` beside it in tool mode"),
        (NativeOutput(ToolOutput(Cat)), "NativeOutput takes types and functions; got ToolOutput"),
        (PromptedOutput([]), "a list of outputs cannot be empty"),
        (PromptedOutput(Cat, template="JSON!"), "needs `{schema}` in it"),
        (ToolOutput([Cat, Dog]), "ToolOutput takes one type; write output=[ToolOutput(A)"),
        (ToolOutput(Cat, max_retries=-1), "`max_retries` of ToolOutput is a whole number"),
        (TextOutput(str), "TextOutput takes a function of the text"),
        (ToolOutput("Cat"), "it is None or str for text, a type"),  # type: ignore[arg-type]
    ],
)
def test_an_output_that_is_none_is_told(output: Any, told: str) -> None:
    with pytest.raises(SpecError) as caught:
        Job(model="openai:gpt-5-mini", rows=rows.inline([]), prompt="p", output=output)
    assert told in str(caught.value)
