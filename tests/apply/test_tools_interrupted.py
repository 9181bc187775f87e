"""What is on record while tools run, and what an interrupt or a hung call costs the others."""

import collections
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from worlds import World, echo

from batchspec.errors import ExitCode
from batchspec.project import Project

from .test_tools import calling

HEAD = """
import pathlib
ROOT = pathlib.Path(__file__).parent.parent

def note(text):
    with (ROOT / "log").open("a") as log:
        log.write(f"{text}\\n")
"""


def spec(world: World, tool: str, *keys: str, places: int, name: str = "m") -> None:
    """Write a job whose conversations call `work`, so many of them at a time."""
    data = [{"id": key} for key in keys]
    job = (
        f"j = Job(model='openai:gpt-5-mini', rows=rows.inline({data!r}), "
        "prompt='do {id}', tools=[work])"
    )
    world.spec(f"{HEAD}\n{tool}\n{job}", name)
    world.model = calling(("work", {}))
    world.settings = world.settings.model_copy(update={"tool_concurrency": places})


def log(world: World) -> list[str]:
    return (world.root / "log").read_text().splitlines()


def test_a_call_that_hangs_costs_no_other_call_its_time(world: World) -> None:
    """Its thread cannot be stopped, but it takes nobody's place."""
    tool = """
import threading
@tool(timeout=0.5, retries=0)
def work(ctx: RunContext) -> str:
    if ctx.key.startswith("hung"):
        threading.Event().wait()
    return "ok"
"""
    hung, quick = [f"hung{n}" for n in range(3)], [f"k{n}" for n in range(5)]
    spec(world, tool, *hung, *quick, places=3)
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert world.outcomes() == dict.fromkeys(hung, "failed") | dict.fromkeys(quick, "succeeded")


def test_only_a_call_that_has_its_place_is_on_record_as_running(world: World) -> None:
    """And what ended before it is on record as done: a crash now costs no more than one call."""
    tool = """
import contextlib, sqlite3
@tool
def work() -> str:
    path = ROOT / "state" / "default" / "batchspec.db"
    with contextlib.closing(sqlite3.connect(path)) as db:
        found = dict(db.execute("SELECT status, COUNT(*) FROM tool_calls GROUP BY 1"))
    note(f"{found.get('done', 0)} {found.get('running', 0)} {found.get('waiting', 0)}")
    return "ok"
"""
    spec(world, tool, *(f"k{n}" for n in range(5)), places=1)
    assert world.apply().exit_code == ExitCode.DONE
    assert log(world) == ["0 1 4", "1 1 3", "2 1 2", "3 1 1", "4 1 0"]


DYING = """
from batchspec import Job, RunContext, rows, tool
import os, pathlib
ROOT = pathlib.Path(__file__).parent.parent

@tool(once=True)
def work(ctx: RunContext) -> str:
    with (ROOT / "log").open("a") as log:
        log.write(f"{ctx.key}\\n")
    if ctx.key == "k5":
        os._exit(9)
    return "ok"

data = [{"id": f"k{n}"} for n in range(40)]
j = Job(model="openai:gpt-5-mini", rows=rows.inline(data), prompt="do {id}", tools=[work])
"""
ANSWERS = """
def answer(body):
    if body["messages"][-1]["role"] == "tool":
        return "fine"
    return {"role": "assistant", "tool_calls": [{"name": "work", "arguments": {}}]}
"""


def test_a_crash_costs_a_tool_that_may_run_once_only_the_calls_that_ran(tmp_path: Path) -> None:
    """Four have a place; as many may have ended without being on record yet."""
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "m.py").write_text(DYING)
    (tmp_path / "answers.py").write_text(ANSWERS)
    (tmp_path / "batchspec.toml").write_text(
        'tool_concurrency = 4\n[simulator]\npace = 0\nanswers = "answers.py:answer"\n'
    )
    command = [sys.executable, "-m", "batchspec", "apply", "--simulate", "--auto-approve"]
    codes = [
        subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode
        for _ in range(2)
    ]
    assert codes == [9, ExitCode.FAILED_ITEMS]
    with Project(tmp_path, simulate=True) as project:
        outcomes = {item.key: item.outcome for item in project.results("m.j")}
    assert outcomes["k5"] == "failed"
    assert 32 <= list(outcomes.values()).count("succeeded") < 40
    assert max(collections.Counter((tmp_path / "log").read_text().split()).values()) == 1


INTERRUPTING = """
import signal
import anyio.lowlevel
@tool(once=True)
async def work(ctx: RunContext) -> str:
    note(ctx.call_id.split(".")[2])
    if len((ROOT / "log").read_text().split()) == 1:
        signal.raise_signal(signal.SIGINT)
        for _ in range(100):
            await anyio.lowlevel.checkpoint()
    return "ok"
"""


def test_after_an_interrupt_calls_that_have_no_place_wait_for_the_next_time(world: World) -> None:
    """Two of three calls of one conversation, which goes on when all are done."""
    spec(world, INTERRUPTING, "a", places=1)
    world.model = calling(("work", {}), ("work", {}), ("work", {}))
    with pytest.raises(KeyboardInterrupt):
        world.apply()
    assert log(world) == ["0"]
    assert world.apply().exit_code == ExitCode.DONE
    assert (log(world), world.texts()) == (["0", "1", "2"], {"a": "ok ok ok"})


def _left_with_calls(world: World) -> str:
    """Leave a job whose second tool call did not run; returns its module."""
    spec(world, INTERRUPTING, "a", places=1)
    world.model = calling(("work", {}), ("work", {}))
    with pytest.raises(KeyboardInterrupt):
        world.apply()
    text = (world.root / "specs" / "m.py").read_text()
    world.remove("m")
    return text


def test_calls_of_a_job_that_is_away_wait_for_it_and_hold_nobody_back(world: World) -> None:
    text = _left_with_calls(world)
    world.job("x", name="other")
    world.model = echo
    with world.project() as project:
        plan = project.plan(targets=["other.*"])
        assert project.apply(plan, hook=world.hook).exit_code == ExitCode.IN_PROGRESS
    assert world.outcomes("other.j") == {"x": "succeeded"}
    world.model = calling(("work", {}))
    (world.root / "specs" / "m.py").write_text(text)
    assert world.apply().exit_code == ExitCode.DONE
    assert world.outcomes() == {"a": "succeeded"}


def test_calls_of_a_removed_job_end(world: World) -> None:
    _left_with_calls(world)
    world.job("x", name="other")
    world.model = echo
    world.apply()
    log_before = log(world)
    with world.project() as project, project.reader() as reader:
        phases: Any = reader.db.execute("SELECT phase, COUNT(*) FROM conversations GROUP BY 1")
        assert dict(phases) == {"final": 2}
    assert log(world) == log_before, "no tool of a removed job runs"
