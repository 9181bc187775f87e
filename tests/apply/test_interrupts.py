"""Ctrl-C and kill -9, in real processes over the embedded server."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from worlds import check_state

from batchspec.config import Settings, SimulatorSettings
from batchspec.errors import ExitCode
from batchspec.project import ApplyResult, Item, Project

APPLY = """
import sys
from batchspec.config import Settings, SimulatorSettings
from batchspec.apply import deps, userloop
from batchspec.project import Project

deps._PATIENCE = userloop._PATIENCE = 9999.0

class Hook:
    def event(self, event): self.say(type(event).__name__)
    def progress(self, jobs, batches): pass
    def warning(self, message): self.say(f"warning: {message}")
    def say(self, line):
        # A line at once, or those of two threads may mix.
        sys.stdout.write(line + "\\n")
        sys.stdout.flush()

answers, pace = sys.argv[2] or None, float(sys.argv[3])
settings = Settings(simulator=SimulatorSettings(answers=answers, pace=pace))
with Project(sys.argv[1], simulate=True, settings=settings) as project:
    result = project.apply(hook=Hook())
sys.exit(int(result.exit_code))
"""
TOOL = """
from batchspec import Job, RunContext, rows, tool
import anyio
import pathlib
import time

LOG = pathlib.Path(__file__).parent.parent / "log"

async def stubborn():
    while True:
        try:
            await anyio.sleep_forever()
        except BaseException:
            pass

def hanging():
    yield 1
    if len(LOG.read_text()) == 1:
        time.sleep(9999)

@tool(once={once})
{define} work({context}) -> str:
    with LOG.open("a") as log:
        log.write("x")
    if len(LOG.read_text()) == 1:
        print("tool\\n", end="", flush=True)
        {hang}
    return "done"

j = Job(model="openai:gpt-5-mini", rows=rows.inline([{{"id": "a"}}]), prompt="x", tools=[work],
    deps=hanging)
"""
ASYNC = {"define": "async def", "hang": "await anyio.sleep_forever()", "context": ""}
SYNC = {"define": "def", "hang": "time.sleep(9999)", "context": ""}
STUBBORN = {**ASYNC, "hang": "await stubborn()"}
HANGING = {**ASYNC, "context": "ctx: RunContext"}
ANSWERS = """
def answer(body):
    if body["messages"][-1]["role"] == "tool":
        return body["messages"][-1]["content"]
    return {"role": "assistant", "tool_calls": [{"name": "work", "arguments": {}}]}
"""
SLOW, FAST = "10000", "0"
Start = Callable[[str], "Applying"]


class Applying:
    """A process that applies; what it prints are its events and warnings."""

    def __init__(self, root: Path, answers: str, pace: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", APPLY, str(root), answers, pace],
            stdout=subprocess.PIPE,
            text=True,
        )

    def until(self, start: str) -> None:
        """Read up to a line that starts like this."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(start):
                return
        pytest.fail(f"the process ended without {start!r}")

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def end(self) -> int:
        return self.process.wait(timeout=30)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "specs").mkdir()
    (tmp_path / "answers.py").write_text(ANSWERS)
    return tmp_path


@pytest.fixture
def start(root: Path) -> Iterator[Callable[..., Applying]]:
    started: list[Applying] = []

    def begin(*, answers: str = "", pace: str = FAST) -> Applying:
        started.append(Applying(root, answers, pace))
        return started[-1]

    yield begin
    for applying in started:
        applying.kill()
    check_state(root / "state" / "simulation")


def go_on(root: Path, answers: str | None = None) -> tuple[ApplyResult, Item]:
    """Apply again, here and now."""
    settings = Settings(simulator=SimulatorSettings(answers=answers, pace=0))
    with Project(root, simulate=True, settings=settings) as project:
        result = project.apply()
        (item,) = project.results("m.j")
        _ = item.text
        return result, item


def spec(root: Path, text: str) -> None:
    (root / "specs" / "m.py").write_text(dedent(text))


PLAIN = """
    from batchspec import Job, rows
    j = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}]), prompt="x")
"""


def batches(root: Path) -> int:
    with Project(root, environment="simulation") as project, project.reader() as reader:
        return len(reader.batches())


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)],
)
def test_the_first_interrupt_saves_and_the_batch_continues(
    root: Path, start: Callable[..., Applying], number: int, code: ExitCode
) -> None:
    spec(root, PLAIN)
    applying = start(pace=SLOW)
    applying.until("BatchSubmitted")
    applying.process.send_signal(number)
    applying.until("warning: Stopping")
    assert applying.end() == code
    result, item = go_on(root)
    assert (result.exit_code, item.outcome) == (ExitCode.DONE, "succeeded")
    assert batches(root) == 1


@pytest.mark.parametrize(
    "kind", [ASYNC, SYNC, STUBBORN, HANGING], ids=["async", "thread", "stubborn", "hanging deps"]
)
def test_the_second_interrupt_stops_at_once(
    root: Path, start: Callable[..., Applying], kind: dict[str, str]
) -> None:
    """The first one lets the call of the tool end; here it never would.

    What was made for it is not waited for either, whose patience has no end here.
    """
    spec(root, TOOL.format(once=False, **kind))
    applying = start(answers="answers.py:answer")
    applying.until("tool")
    applying.interrupt()
    applying.until("warning: Stopping")
    assert applying.process.poll() is None
    applying.interrupt()
    assert applying.end() == ExitCode.INTERRUPTED
    result, item = go_on(root, "answers.py:answer")
    assert (result.exit_code, item.text) == (ExitCode.DONE, "done")
    assert (root / "log").read_text() == "xx", "a call runs at least once"


def test_a_tool_that_may_run_once_is_not_run_again_after_a_crash(
    root: Path, start: Callable[..., Applying]
) -> None:
    spec(root, TOOL.format(once=True, **ASYNC))
    applying = start(answers="answers.py:answer")
    applying.until("tool")
    applying.kill()
    result, item = go_on(root, "answers.py:answer")
    assert (result.exit_code, item.outcome) == (ExitCode.FAILED_ITEMS, "failed")
    assert "never runs twice" in (item.reason or "")
    assert (root / "log").read_text() == "x"


@pytest.mark.parametrize(
    "event", ["BatchIntended", "InputUploaded", "CreateAttempted", "BatchSubmitted"]
)
def test_a_process_killed_on_the_way_to_a_batch_pays_once(
    root: Path, start: Callable[..., Applying], event: str
) -> None:
    spec(root, PLAIN)
    applying = start(pace=SLOW)
    applying.until(event)
    applying.kill()
    result, item = go_on(root)
    assert (result.exit_code, item.outcome) == (ExitCode.DONE, "succeeded")
    assert batches(root) == 1
    with Project(root, environment="simulation") as project, project.reader() as reader:
        assert all(batch.phase == "collected" for batch in reader.batches())
