"""Templates over answers are held against the output type of the job above, before it runs."""

from collections.abc import Sequence

import pytest
from worlds import World

from batchspec.errors import SpecError

MODEL = "openai:gpt-5-mini"
TYPES = """
from dataclasses import dataclass
from typing import Any, Literal
from pydantic import BaseModel, ConfigDict, Field

class Part(BaseModel):
    name: str
    size: int = Field(alias="bytes")

class Note(BaseModel):
    summary: str
    kind: Literal["a", "b"] = "a"
    parts: list[Part] = []
    other: "Part | None" = None
    extra: dict[str, int] = {}
    anything: Any = None

class Free(BaseModel):
    model_config = ConfigDict(extra="allow")
    summary: str

@dataclass
class Plain:
    summary: str

def odd(value):
    return {"sumary": value.summary}
"""


def problems(
    world: World, prompt: str, output: str = "Note", source: str = "outputs_of(up)", up: str = ""
) -> Sequence[str]:
    """Return what is said of a job with a prompt over the answers of another."""
    world.spec(
        TYPES
        + f"up = Job(model={MODEL!r}, rows=rows.inline([{{'id': 'a', 'text': 'b'}}]), "
        + f"prompt='say {{text}}', output={output}{up})\n"
        + f"down = Job(model={MODEL!r}, rows=rows.{source}, prompt={prompt!r})\n"
    )
    try:
        world.project().load()
    except SpecError as error:
        told = [found.detail for found in error.diagnostics]
        return [text for text in told if text.startswith("In `prompt`: {")]
    return []


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("{output.sumary}", "'output' has no 'sumary'. Did you mean 'summary'?"),
        ("{output[sumary]}", "'output' has no 'sumary'. Did you mean 'summary'?"),
        ("{output.kind.name}", "'output.kind' is a text and has no 'name'."),
        ("{output.parts[0].nam}", "'output.parts.0' has no 'nam'. Did you mean 'name'?"),
        ("{output.parts.name}", "'output.parts' has no 'name'."),
        ("{output.parts[0].size}", "'output.parts.0' has no 'size'."),
        ("{output.other.nme}", "'output.other' has no 'nme'. Did you mean 'name'?"),
        ("{row.txt}", "'row' has no 'txt'. Did you mean 'text'?"),
        ("{key.x}", "'key' is a text and has no 'x'."),
    ],
)
def test_a_step_no_answer_has_is_told_with_what_was_meant(
    world: World, prompt: str, told: str
) -> None:
    (found,) = problems(world, prompt)
    assert told in found


@pytest.mark.parametrize(
    "prompt",
    [
        "{output} {row} {key}",
        "{output.summary} {output.parts[0].name} {output.parts[0].bytes} {output.other.name}",
        "{output.extra.any} {output.anything.at.all} {row.text} {output.parts[-1]}",
    ],
)
def test_what_answers_have_or_may_have_is_taken(world: World, prompt: str) -> None:
    assert problems(world, prompt) == []


@pytest.mark.parametrize(
    ("output", "up", "told"),
    [
        ("None", "", "'output' is a text and has no 'sumary'"),
        ("NativeOutput(Note)", "", "'output' has no 'sumary'"),
        ("Plain", "", "'output' has no 'sumary'"),
        ("list[Plain]", "", "'output' has no 'sumary'"),
        ("Free", "", ""),
        ("dict[str, str]", "", ""),
        ("Note", ", output_validators=[odd]", ""),
    ],
)
def test_the_shape_is_that_of_the_declared_type(
    world: World, output: str, up: str, told: str
) -> None:
    found = problems(world, "{output.sumary}", output=output, up=up)
    assert [told in text for text in found] == [True] * bool(told)


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("{outputs[0].sumary}", "'outputs.0' has no 'sumary'"),
        ("{items[0].output.sumary}", "'items.0.output' has no 'sumary'"),
        ("{items[0].row.txt}", "'items.0.row' has no 'txt'"),
        ("{outputs[0].summary} {count} {items[0].key}", ""),
    ],
)
def test_the_one_row_of_all_answers_has_a_shape_too(world: World, prompt: str, told: str) -> None:
    found = problems(world, prompt, source="collect(up)")
    assert [told in text for text in found] == [True] * bool(told)


def test_shapes_reach_through_several_jobs(world: World) -> None:
    world.spec(f"""
        up = Job(model={MODEL!r}, rows=rows.inline([{{"id": "a", "text": "b"}}]), prompt="{{text}}")
        down = Job(model={MODEL!r}, rows=rows.outputs_of(up), prompt="{{output}}")
        last = Job(model={MODEL!r}, rows=rows.outputs_of(down), prompt="{{row.row.txt}}")
    """)
    with pytest.raises(SpecError, match=r"'row\.row' has no 'txt'\. Did you mean 'text'\?"):
        world.project().load()
