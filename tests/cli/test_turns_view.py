"""`results --turns`: what was said and called, for eyes and for machines."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

SPEC = """
from batchspec import Job, rows, tool

@tool(pure=True, retries=0)
def half(n: int) -> float:
    if n < 0:
        raise ValueError("negative")
    return n / 2

j = Job(
    model="openai:gpt-5-mini",
    rows=rows.inline([{"id": "a", "n": 4}, {"id": "b", "n": -4}]),
    prompt="{n}",
    tools=[half],
)
"""
ANSWERS = """
def answer(body):
    last = body["messages"][-1]
    if last["role"] == "tool":
        return "done"
    calls = [{"name": "half", "arguments": {"n": int(last["content"])}}] * 2
    return {"role": "assistant", "tool_calls": [*calls, {"name": "third", "arguments": "{"}]}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "m.py").write_text(SPEC)
    (tmp_path / "answers.py").write_text(ANSWERS)
    (tmp_path / "batchspec.toml").write_text('[simulator]\npace = 0\nanswers = "answers.py:answer"')
    return tmp_path


@pytest.mark.usefixtures("project")
def test_every_call_is_told_with_its_arguments_result_time_and_attempts(run: Run) -> None:
    run("apply", "--simulate", "--auto-approve")
    told = run("results", "m.j", "--turns", "--simulate").out.splitlines()
    assert told[0] == 'm.j["a"]  succeeded'
    first, second, third = told[2:5]
    assert first.startswith('    half({"n":4}) → 2.0  [1 attempt, ')
    assert first.endswith("Z]")
    assert second == '    half({"n":4}) → 2.0  [reused]'
    assert third.endswith("Available tools: 'half'\"}  [not run]")
    assert told[6] == "    done"
    failed = "\n".join(told[7:])
    assert "→ tool 'half' raised ValueError: negative  [failed, 1 attempt, " in failed

    document = json.loads(run("results", 'm.j["a"]', "--turns", "--json", "--simulate").out)
    assert document["format_version"] == "1"
    (item,) = document["items"]
    assert (item["key"], item["outcome"], len(item["turns"])) == ("a", "succeeded", 2)
    ran, reused, unknown = item["turns"][0]["tool_calls"]
    assert (ran["arguments"], ran["result"], ran["attempts"]) == ({"n": 4}, "2.0", 1)
    assert ran["seconds"] >= 0
    assert ran["started_at"] > 1e9
    assert (reused["reused"], reused["attempts"], reused["seconds"]) == (True, 0, None)
    assert (unknown["arguments"], unknown["attempts"], unknown["failed"]) == ("{", 0, False)
    assert item["turns"][1]["reply"]["text"] == "done"

    lines = run("results", "m.j", "--turns", "--format", "jsonl", "--simulate").out.splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["a", "b"]


OUTPUTS = """
from typing_extensions import TypedDict

from batchspec import Job, ToolOutput, rows, tool

N = TypedDict("N", {"n": int})

@tool
def half(n: int) -> float:
    return n / 2

j = Job(
    model="openai:gpt-5-mini",
    rows=rows.inline([{"id": "beside"}, {"id": "bad"}, {"id": "loop"}]),
    prompt="{id}",
    tools=[half],
    output=ToolOutput(N),
    max_turns=2,
)
"""
OUTPUT_ANSWERS = """
def call(name, **arguments):
    return {"name": name, "arguments": arguments}

def answer(body):
    row = body["messages"][0]["content"]
    calls = {
        "beside": [call("half", n=4), call("final_result", n=1)],
        "bad": [call("final_result", n=1 if len(body["messages"]) > 1 else "x")],
        "loop": [call("half", n=4)],
    }[row]
    return {"role": "assistant", "tool_calls": calls}
"""


def test_calls_that_no_function_answers_are_told_too(run: Run, project: Path) -> None:
    (project / "specs" / "m.py").write_text(OUTPUTS)
    (project / "answers.py").write_text(OUTPUT_ANSWERS)
    run("apply", "--simulate", "--auto-approve")
    shown = run("results", "m.j", "--turns", "--simulate").out
    items = [part.splitlines() for part in shown.split('m.j["')[1:]]
    told = {lines[0].split('"')[0]: lines[1:] for lines in items}
    none = "  [no function was called]"
    assert told["beside"][1:] == [
        f'    half({{"n":4}}){none}',
        '    final_result({"n":1})  [the output]',
    ]
    assert told["bad"][1] == '    final_result({"n":"x"})  [an output]'
    assert told["bad"][2].startswith("    not accepted: It did not validate: ")
    assert told["bad"][4] == '    final_result({"n":1})  [the output]'
    assert "→ 2.0  [1 attempt" in told["loop"][1]
    assert told["loop"][3] == f'    half({{"n":4}}){none}'

    document = json.loads(run("results", 'm.j["bad"]', "--turns", "--json", "--simulate").out)
    first, last = document["items"][0]["turns"]
    assert first["other_calls"] == [{"name": "final_result", "arguments": '{"n":"x"}'}]
    assert (last["tool_calls"], len(last["other_calls"])) == ([], 1)


@pytest.mark.usefixtures("project")
def test_turns_of_an_answer_that_was_replaced_are_told_apart(run: Run) -> None:
    run("apply", "--simulate", "--auto-approve")
    assert "answer 1" not in run("results", 'm.j["a"]', "--turns", "--simulate").out
    run("apply", "--simulate", "--auto-approve", "--replace", 'm.j["a"]')
    told = run("results", 'm.j["a"]', "--turns", "--simulate").out.splitlines()
    assert [line for line in told if "answer" in line] == ["  answer 1, replaced", "  answer 2"]
    assert sum("half(" in line for line in told) == 4
    document = json.loads(run("results", 'm.j["a"]', "--turns", "--json", "--simulate").out)
    found = [(t["answer"], t["replaced"], t["number"]) for t in document["items"][0]["turns"]]
    assert found == [(1, True, 1), (1, True, 2), (2, False, 1), (2, False, 2)]


@pytest.mark.usefixtures("project")
def test_turns_have_no_table_for_files(run: Run) -> None:
    told = run("results", "m.j", "--turns", "--format", "csv", "--simulate")
    assert told.code == 64
    assert "--turns goes to stdout" in told.err


REFUSING = """
from batchspec import Job, ModelRetry, PromptedOutput, ToolOutput, rows

def big(value: int) -> int:
    if value < 5:
        raise ModelRetry("too small")
    return value

def job(model, output):
    data = rows.inline([{"id": "a"}])
    return Job(model=model, rows=data, prompt="{id}", output=output, output_validators=[big])

tool = job("openai:gpt-5-mini", ToolOutput(int))
prompted = job("openai:gpt-5-mini", PromptedOutput(int))
tool_there = job("openai-responses:gpt-5-mini", ToolOutput(int))
"""
COUNTING = """
def answer(body):
    said = 9 if "small" in str(body) else 1
    if "tools" not in body:
        return f'{{"response": {said}}}'
    return {"role": "assistant",
            "tool_calls": [{"name": "final_result", "arguments": {"response": said}}]}
"""


@pytest.mark.parametrize("job", ["tool", "prompted", "tool_there"])
def test_a_turn_says_why_its_output_was_not_accepted(tmp_path: Path, run: Run, job: str) -> None:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "m.py").write_text(REFUSING)
    (tmp_path / "answers.py").write_text(COUNTING)
    (tmp_path / "batchspec.toml").write_text('[simulator]\nanswers = "answers.py:answer"\n')
    scope = ("--project", str(tmp_path), "--simulate")
    assert run("apply", *scope, "--auto-approve", "--target", f"m.{job}").code == 0
    said = run("results", *scope, f"m.{job}", "--turns").out
    assert said.count("not accepted: too small") == 1, said
    assert said.index("turn 1") < said.index("not accepted") < said.index("turn 2")
    told = json.loads(run("results", *scope, f"m.{job}", "--turns", "--json").out)
    assert [turn["feedback"] for turn in told["items"][0]["turns"]] == ["too small", None]
