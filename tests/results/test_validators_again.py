"""Validators run again when answers are read: with the same `ctx.deps` and row as before."""

from pathlib import Path
from typing import Any

from worlds import World

from batchspec import Project

SPEC = """
from pydantic import BaseModel

from batchspec import Job, RunContext, rows


class Word(BaseModel):
    text: str


def marked(ctx: RunContext[dict], word: Word) -> Word:
    return Word(text=ctx.deps["mark"] + ctx.row["id"])


words = Job(
    model="openai:gpt-5-mini",
    rows=rows.inline([{"id": "one"}, {"id": "two"}]),
    prompt="{id}",
    output=Word,
    output_validators=[marked],
    deps=lambda: {"mark": "!"},
)
echoes = Job(model="openai:gpt-5-mini", rows=rows.outputs_of(words), prompt="{output.text}")
"""


def test_a_validator_finds_its_deps_in_results_and_in_rows_made_of_answers(tmp_path: Path) -> None:
    """What a validator returns is the answer, wherever it is read."""
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "marks.py").write_text(SPEC)
    with Project(tmp_path, simulate=True) as project:
        project.apply()
        assert [item.output.text for item in project.results("marks.words")] == ["!one", "!two"]
        rows = [item.row for item in project.results("marks.echoes")]
        assert [row["output"] for row in rows] == [{"text": "!one"}, {"text": "!two"}]


RETRYING = """
from pydantic import BaseModel


class Word(BaseModel):
    text: str


def lenient(ctx: RunContext[None], word: Word) -> Word:
    if ctx.retry < {least}:
        raise ModelRetry("once more")
    return Word(text=f"{{word.text}} {{ctx.retry}} {{ctx.turn}}")


def lower(ctx: RunContext[None], text: str) -> str:
    if ctx.retry < {least}:
        raise ModelRetry("once more")
    return f"{{text}} {{ctx.retry}}"


j = Job(model="openai:gpt-5-mini", rows=rows.inline([{{"id": "a"}}]), prompt="{{id}}",
        output=Word, output_validators=[lenient], output_retries=2)
t = Job(model="openai:gpt-5-mini", rows=rows.inline([{{"id": "b"}}]), prompt="{{id}}",
        output=TextOutput(lower), output_retries=2)
"""


def _outputs(world: World) -> list[Any]:
    with world.open() as project:
        word, text = [*project.results("m.j"), *project.results("m.t")]
        return [word.output and word.output.text, word.turns, text.output, text.turns]


def test_functions_of_an_output_know_how_often_it_was_asked_for_again(world: World) -> None:
    """When it comes in, when it is judged again, and when it is read; kept with an old answer."""
    world.model = lambda body: '{"text": "w"}' if "response_format" in body else "t"
    world.spec(RETRYING.format(least=2))
    world.apply()
    good = ["w 2 3", 3, "t 2", 3]
    assert _outputs(world) == good
    world.spec(RETRYING.format(least=3))
    world.apply()
    assert _outputs(world) == [None, 3, None, 3]
    world.spec(RETRYING.format(least=2))
    world.apply()
    assert _outputs(world) == good
    world.apply(replace=["m.j", "m.t"], detach=True)
    assert _outputs(world) == good
