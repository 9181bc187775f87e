"""A process that ends in the middle of tool calls, by force or by two interrupts."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from batchspec import Project
from batchspec.errors import ExitCode

SPEC = """
from batchspec import Job, RunContext, rows, tool
import os, pathlib, threading
ROOT = pathlib.Path(__file__).parent.parent

def begin(name, call_id=""):
    with (ROOT / "log").open("a") as log:
        log.write(f"{name} {call_id}\\n")
    if (ROOT / "hold").exists():
        with (ROOT / "begun").open("w") as begun:
            begun.write(f"{os.getpid()}\\n")
        threading.Event().wait()

@tool
def work(ctx: RunContext) -> str:
    begin("work", ctx.call_id)
    return f"attempt {ctx.attempt}"

@tool(once=True)
def pay(ctx: RunContext) -> str:
    begin("pay", ctx.call_id)
    return "paid"

@tool(executor="process")
def crunch() -> str:
    begin("crunch")
    return "crunched"

j = Job(
    model="openai:gpt-5-mini",
    rows=rows.inline([{"id": "work"}, {"id": "pay"}, {"id": "crunch"}]),
    prompt="{id}",
    tools=[work, pay, crunch],
)
"""
ANSWERS = """
def answer(body):
    last = body["messages"][-1]
    if last["role"] == "tool":
        return last["content"]
    return {"role": "assistant", "tool_calls": [{"name": last["content"], "arguments": {}}]}
"""
COMMAND = (sys.executable, "-m", "batchspec", "apply", "--simulate", "--auto-approve")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "m.py").write_text(SPEC)
    (tmp_path / "answers.py").write_text(ANSWERS)
    (tmp_path / "batchspec.toml").write_text('[simulator]\npace = 0\nanswers = "answers.py:answer"')
    (tmp_path / "hold").touch()
    os.mkfifo(tmp_path / "begun")
    return tmp_path


def _all_begun(folder: Path) -> set[int]:
    """Return the processes of the calls once all three run."""
    found: list[int] = []
    while len(found) < 3:
        with (folder / "begun").open() as begun:
            found += map(int, begun)
    return set(found)


def _lives(pid: int) -> bool:
    """Tell whether a process runs; one that nobody reaps does not."""
    try:
        return psutil.Process(pid).status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
    except psutil.NoSuchProcess:
        return False


def _stop_twice(process: "subprocess.Popen[str]") -> int:
    assert process.stderr is not None
    process.send_signal(signal.SIGINT)
    for line in process.stderr:
        if "Interrupt again" in line:
            break
    process.send_signal(signal.SIGINT)
    return process.wait(60)


def _kill(process: "subprocess.Popen[str]") -> int:
    process.kill()
    return process.wait(60)


@pytest.mark.parametrize(
    ("end", "code"), [(_kill, -9), (_stop_twice, 130)], ids=["killed", "interrupted twice"]
)
def test_calls_that_were_cut_short_run_again_under_their_ids(
    folder: Path, end: Any, code: int
) -> None:
    process = subprocess.Popen(
        COMMAND, cwd=folder, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    with process:
        pids = _all_begun(folder)
        assert end(process) == code
        assert process.stderr is not None
        process.stderr.read()  # it ends when the last process that can write to it has ended
    (other,) = pids - {process.pid}
    while _lives(other):  # an ending process closes its files a moment before it is gone
        os.sched_yield()
    (folder / "hold").unlink()
    again = subprocess.run(COMMAND, cwd=folder, capture_output=True, check=False)
    assert again.returncode == ExitCode.FAILED_ITEMS

    begun = sorted((folder / "log").read_text().splitlines())
    crunched, paid, worked = begun[:2], begun[2:3], begun[3:]
    assert crunched == ["crunch ", "crunch "]
    assert [entry.split()[0] for entry in paid] == ["pay"]
    assert worked[0].startswith("work ")
    assert worked == worked[:1] * 2, "the same call, under the same id"
    with Project(folder, simulate=True) as project:
        items = {item.key: item for item in project.results("m.j")}
        runs = {key: project.turns(f'm.j["{key}"]')[0].tool_calls[0] for key in items}
    assert (items["work"].output, items["crunch"].output) == ("attempt 2", "crunched")
    assert "never runs twice" in str(items["pay"].reason)
    assert {key: run.attempts for key, run in runs.items()} == {"work": 2, "crunch": 2, "pay": 1}
    assert all(run.started_at for run in runs.values())
