"""What specs do that nobody would want: a watcher is a match for them. Real processes."""

import os
import signal
from pathlib import Path

import pytest

from batchspec.project import Project
from tests.watch.rig import Watcher, keys, project, rows


@pytest.fixture
def root(tmp_path: Path) -> Path:
    project(tmp_path)
    return tmp_path


TOOLS = """
import pathlib, time
from batchspec import Job, rows, tool
@tool
def plain(x: str) -> str:
    "Does it."
    pathlib.Path("calls.txt").open("a").write("plain\\n")
    {rest}
    return x
@tool(once=True)
def never_twice(x: str) -> str:
    "Does it once."
    pathlib.Path("calls.txt").open("a").write("once\\n")
    {rest}
    return x
one = rows.inline([{{"id": "a"}}])
j = Job(model="openai:gpt-5-mini", rows=one, prompt="say {{id}}", tools=[plain])
k = Job(model="openai:gpt-5-mini", rows=one, prompt="do {{id}}", tools=[never_twice])
"""


def outcomes(root: Path) -> dict[str, str | None]:
    with Project(root, simulate=True) as project:
        return {name: item.outcome for name in "jk" for item in project.results(f"m.{name}")}


@pytest.mark.parametrize("killed", [False, True], ids=["mended", "killed"])
def test_calls_that_never_end_do_not_keep_a_mended_spec_from_coming_into_force(
    root: Path, *, killed: bool
) -> None:
    """Nor does an engine whose watcher was killed keep the next one waiting for ever."""
    (root / "batchspec.toml").write_text("[watch]\ndrain_timeout = 0.2\n")
    spec = root / "specs" / "m.py"
    spec.write_text(TOOLS.format(rest="time.sleep(3600)"))
    watcher = Watcher(root, "--approve=all")
    calls = root / "calls.txt"
    watcher.until(lambda: calls.exists() and len(calls.read_text().split()) == 2)
    spec.write_text(TOOLS.format(rest="pass"))
    if killed:
        watcher.signal(signal.SIGKILL)
        watcher.end()
        watcher = Watcher(root, "--approve=all")
    else:
        assert "cut short" in watcher.warning("drain_timeout")
    watcher.until(lambda: None not in outcomes(root).values())
    assert outcomes(root) == {"j": "succeeded", "k": "failed"}
    assert sorted(calls.read_text().split()) == ["once", "plain", "plain"]
    watcher.signal(signal.SIGTERM)
    assert watcher.end()[0] == 128 + signal.SIGTERM


GOOD = """
from shared import PROMPT
from batchspec import Job, rows
j = Job(model="openai:gpt-5-mini", rows=rows.jsonl("data/rows.jsonl"), prompt=PROMPT)
"""
DO_NOT_LOAD = {
    "exits": ("import sys; sys.exit('not today')", "m.py:1"),
    "closes what is not its own": ("import os; os.closerange(3, 200)", "ended with code 1"),
    "waits for ever": ("import time; time.sleep(3600)", "load_timeout"),
}
"""What is added to a spec, and what is said of it."""
NOT_NICE = """
import os, subprocess, sys, threading, time
print("to stdout", flush=True)
os.write(1, b"and below it\\n{\\"type\\": \\"Idle\\"}\\n")
threading.Thread(target=time.sleep, args=(3600,)).start()
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
if not os.fork():
    os.setsid()
    print(os.getpid(), file=open("pids.txt", "a"), flush=True)
    time.sleep(3600)
os.fork()
"""
"""Threads and processes that never end, one of which holds whatever the engine has open."""


def test_specs_that_do_not_load_change_nothing_but_a_condition(root: Path) -> None:
    (root / "batchspec.toml").write_text("[watch]\nload_timeout = 8\n")
    spec = root / "specs" / "m.py"
    watcher = Watcher(root, "--approve=all")
    watcher.collected()
    for words, told in DO_NOT_LOAD.values():
        spec.write_text(f"{words}\n{GOOD}")
        assert told in watcher.condition("SpecLoaded", "False")["message"], words
    settings = root / "batchspec.toml"
    settings.write_text(f"{settings.read_text()}\npoll_intervall = 3\n")
    assert "poll_intervall" in watcher.condition("SpecLoaded", "False")["message"]
    rows(root, *"abc")
    watcher.collected()
    settings.write_text("")
    spec.unlink()
    spec.write_text(GOOD.replace("PROMPT)", "'shout {id}')"))
    watcher.condition("SpecLoaded", "True")
    watcher.collected()
    assert set(keys(root).values()) == {"succeeded"}
    watcher.signal(signal.SIGTERM)
    code, said = watcher.end()
    assert code == 128 + signal.SIGTERM
    assert "watch.py" not in said


def test_what_a_spec_prints_and_leaves_running_is_no_matter(root: Path) -> None:
    spec = root / "specs" / "m.py"
    spec.write_text(NOT_NICE + GOOD)
    watcher = Watcher(root, "--approve=all")
    watcher.collected()
    (engine, *_) = watcher.engines()
    os.kill(engine, signal.SIGKILL)
    rows(root, *"abc")
    watcher.collected()
    spec.write_text(GOOD)
    rows(root, *"abcd")
    watcher.collected()
    assert keys(root) == dict.fromkeys("abcd", "succeeded")
    watcher.signal(signal.SIGTERM)
    # Those are in sessions of their own, as daemons are, and have what this one says to people.
    for pid in (root / "pids.txt").read_text().split():
        os.kill(int(pid), signal.SIGKILL)
    code, said = watcher.end()
    assert code == 128 + signal.SIGTERM
    assert "to stdout\nand below it" in said
