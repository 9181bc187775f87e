"""Validators run again when answers are read: with the same `ctx.deps` and row as before."""

from pathlib import Path

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
