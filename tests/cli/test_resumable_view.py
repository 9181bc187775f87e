"""Where people are told that failed items can go on from the turns they paid for, and how."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

SPEC = """
from batchspec import Job, rows, tool

@tool(retries=0)
def half(n: int) -> float:
    {body}

j = Job(
    model="openai:gpt-5-mini",
    rows=rows.inline([{{"id": "a", "n": 4}}, {{"id": "b", "n": 2}}]),
    prompt="{{n}}",
    tools=[half],
)
"""
ANSWERS = """
def answer(body):
    last = body["messages"][-1]
    if last["role"] == "tool":
        return "done"
    call = {"name": "half", "arguments": {"n": int(last["content"])}}
    return {"role": "assistant", "tool_calls": [call]}
"""
TOLD = "2 failed items of m.j can go on from the turns that are paid: "
COMMAND = "batchspec plan --failed --target m.j --simulate"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "m.py").write_text(SPEC.format(body="raise ValueError('bug')"))
    (tmp_path / "answers.py").write_text(ANSWERS)
    (tmp_path / "batchspec.toml").write_text('[simulator]\npace = 0\nanswers = "answers.py:answer"')
    return tmp_path


def flat(text: str) -> str:
    return " ".join(text.split())


def test_every_view_of_failed_items_names_the_command_until_it_was_used(
    run: Run, project: Path
) -> None:
    assert TOLD + COMMAND in flat(run("apply", "--simulate", "--auto-approve").out)
    (project / "specs" / "m.py").write_text(SPEC.format(body="return n / 2"))
    assert f"{TOLD}`{COMMAND}`." in flat(run("plan", "--simulate").err)
    assert TOLD + COMMAND in flat(run("status", "--simulate").out)
    shown = run("results", "m.j", "--failed", "--simulate")
    assert TOLD + COMMAND in flat(shown.err)
    (job,) = json.loads(run("status", "--json", "--simulate").out)["jobs"]
    assert (job["failed"], job["resumable"]) == (2, 2)

    planned = run("plan", "--failed", "--target", "m.j", "--simulate").out
    assert ">> m.j" in planned
    assert "2 to continue; 2 requests in 1 batch" in planned
    document = json.loads(run("plan", "--failed", "--json", "--simulate").out)
    assert document["jobs"][0]["counts"] == {"continue": 2}
    assert 0 < document["cost_usd"] < document["cost_at_most_usd"]
    run("apply", "--failed", "--target", "m.j", "--simulate", "--auto-approve")
    ended = run("status", "--simulate")
    assert "can go on" not in ended.out
    assert run("results", "m.j", "--failed", "--simulate").err == ""
