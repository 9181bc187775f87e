"""What specs do that nobody would want: a watcher is a match for them. Real processes."""

import signal
from pathlib import Path

import pytest

from batchspec.project import Project
from tests.watch.rig import Watcher, project


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
