"""Options of tools: limits, places, pure answers, processes; each seen from outside."""

import json
import os
import sqlite3
import subprocess
from typing import Any

import psutil
import pytest
from worlds import World

from batchspec.errors import ExitCode, SpecError
from batchspec.load.worker import command
from batchspec.store.memo import forget

from .test_tools import calling, job

NOTE = """
import pathlib, threading
ROOT = pathlib.Path(__file__).parent.parent

def note(text):
    with (ROOT / "log").open("a") as log:
        log.write(f"{text}\\n")
"""


def log(world: World) -> list[str]:
    path = world.root / "log"
    return path.read_text().splitlines() if path.exists() else []


# --- limit


def test_a_call_beyond_the_limit_is_answered_without_being_made(world: World) -> None:
    """Calls are counted in the order in which they are asked for, over turns and within one."""
    tool = "@tool(limit=3)\ndef f(n: int) -> int:\n    note(n)\n    return n\n"
    world.spec(job(NOTE + tool, "f"))
    answers: list[str] = []

    def model(body: dict[str, Any]) -> Any:
        answers[:] = [m["content"] for m in body["messages"] if m["role"] == "tool"]
        if len(answers) >= 6:
            return "done"
        start = len(answers)
        parts = [{"name": "f", "arguments": {"n": start + n}} for n in (1, 2)]
        return {"role": "assistant", "tool_calls": parts}

    world.model = model
    assert world.apply().exit_code == ExitCode.DONE
    assert sorted(log(world)) == ["1", "2", "3"]
    assert answers[:3] == ["1", "2", "3"]
    told = {json.loads(answer)["error"] for answer in answers[3:]}
    assert told == {"Tool 'f' may be called 3 times, calls in vain included. Go on without it."}


def test_a_limit_is_of_an_item(world: World) -> None:
    tool = "@tool(limit=1)\ndef f() -> str:\n    return 'ok'\n"
    world.spec(job(NOTE + tool, "f", "a", "b"))
    world.model = calling(("f", {}))
    assert world.apply().exit_code == ExitCode.DONE
    assert world.texts() == {"a": "ok", "b": "ok"}


# --- retry


def test_what_a_tool_returns_is_never_taken_for_a_call_that_was_not_accepted(world: World) -> None:
    """Whatever the text says: `ctx.retry` counts what the model was told to do otherwise."""
    tool = """
@tool
def f(ctx: RunContext, n: int) -> str:
    note(f"{n} {ctx.retry}")
    if n in (3, 4):
        raise ModelRetry("no")
    return '{"error": "found nothing"}'
"""
    world.spec(job(NOTE + tool, "f"))

    def model(body: dict[str, Any]) -> Any:
        n = sum(m["role"] == "tool" for m in body["messages"]) + 1
        call = {"name": "f", "arguments": {"n": n}}
        return {"role": "assistant", "tool_calls": [call]} if n <= 6 else "done"

    world.model = model
    assert world.apply().exit_code == ExitCode.DONE
    assert log(world) == ["1 0", "2 0", "3 0", "4 1", "5 2", "6 0"]


# --- pure


PURE = "@tool(pure=True)\ndef f(n: int) -> int:\n    note(n)\n    return {result}\n"


def test_equal_calls_of_a_pure_tool_run_once_across_rows_and_runs(world: World) -> None:
    world.spec(job(NOTE + PURE.format(result="n * 2"), "f", "a", "b", "c"))
    world.model = calling(("f", {"n": 4}), ("f", '{ "n" : 4}'))
    assert world.apply().exit_code == ExitCode.DONE
    assert world.texts() == dict.fromkeys("abc", "8 8")
    assert log(world) == ["4"]
    world.apply(replace=["m.j"])
    assert log(world) == ["4"]
    with world.open() as project:
        turns = [turn for turn in project.turns('m.j["a"]') if not turn.replaced]
    runs = [run for turn in turns for run in turn.tool_calls]
    assert [(run.result, run.attempts, run.reused) for run in runs] == [("8", 0, True)] * 2


def test_a_pure_tool_with_another_body_runs_again(world: World) -> None:
    world.model = calling(("f", {"n": 4}))
    for result in ("n * 2", "n * 3"):
        world.spec(job(NOTE + PURE.format(result=result), "f"))
        world.apply(replace=["m.j"])
    assert world.texts() == {"a": "12"}
    assert log(world) == ["4", "4"]


@pytest.mark.parametrize("error", ["ModelRetry('no')", "OSError('no')"])
def test_what_is_no_answer_is_not_kept(world: World, error: str) -> None:
    tool = f"@tool(pure=True, retries=0)\ndef f(n: int) -> int:\n    note(n)\n    raise {error}\n"
    world.spec(job(NOTE + tool, "f", "a", "b", "c"))
    world.model = calling(("f", {"n": 4}))
    world.apply()
    assert log(world) == ["4"] * 3


def test_answers_that_no_call_asked_for_in_a_month_go_with_the_garbage(world: World) -> None:
    world.spec(job(NOTE + PURE.format(result="n"), "f"))
    world.model = calling(("f", {"n": 4}))
    world.apply()
    assert gone(world, days=29) == 0
    assert gone(world, days=2) == 1
    assert gone(world, days=2) == 0
    world.apply(replace=["m.j"])
    assert log(world) == ["4", "4"]


def gone(world: World, *, days: int) -> int:
    """Return how many answers are collected after some days, as was told before."""
    world.clock.advance(days * 86_400)
    with world.open() as project:
        told = project.state.gc(dry_run=True)
        done = project.state.gc()
    assert (told.answers, told.answer_bytes) == (done.answers, done.answer_bytes)
    return done.answers


def test_what_is_too_much_goes_by_its_last_use() -> None:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE memo (key BLOB PRIMARY KEY, size INTEGER, used_at REAL)")
    rows = [(bytes([n]), 100, float(n)) for n in range(10)]
    db.executemany("INSERT INTO memo VALUES (?, ?, ?)", rows)
    assert forget(db, before=2.0, most=350) == (7, 700)
    assert [row[0] for row in db.execute("SELECT used_at FROM memo ORDER BY 1")] == [7, 8, 9]


# --- processes


PROCESSES = """
import os
@tool(executor="process", retries=0)
def double(n: int) -> int:
    print("noise")
    note(os.getpid())
    return n * 2

@tool(executor="process", retries=1)
async def killed_once(n: int) -> int:
    once = ROOT / "killed"
    if not once.exists():
        once.touch()
        os.kill(os.getpid(), 9)
    return n

@tool(executor="process", retries=1)
def dies(n: int) -> int: os._exit(3)

@tool(executor="process", retries=0)
def raises(n: int) -> int: raise OSError("no")

@tool(executor="process", retries=0)
def leaves(n: int) -> int: raise SystemExit(3)

@tool(executor="process", retries=0, timeout=0.2)
def hangs(n: int) -> int:
    note(os.getpid())
    threading.Event().wait()

@tool(executor="process", retries=0)
def no_json(n: int) -> object: return object()

@tool(executor="process", retries=0)
def asks_again(n: int) -> int: raise ModelRetry("even, please")
"""
ENDS = {
    "double": "8",
    "killed_once": "4",
    "dies": "did not answer: its process ended with code 3",
    "raises": "raised OSError: no",
    "leaves": "raised SystemExit: 3",
    "hangs": "took longer than 0.2 s",
    "no_json": "raised PydanticSerializationError",
    "asks_again": '{"error": "even, please"}',
}


def test_a_process_that_goes_wrong_costs_an_attempt_and_none_is_left(world: World) -> None:
    world.spec(job(NOTE + PROCESSES, ", ".join(ENDS), *ENDS))
    world.model = lambda body: calling((body["messages"][0]["content"][3:], {"n": 4}))(body)
    world.settings = world.settings.model_copy(update={"tool_concurrency": 1})
    world.apply()
    for key, item in world.items().items():
        said = item.output if item.outcome == "succeeded" else item.reason
        assert ENDS[key] in str(said), key
    for pid in log(world):
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


def test_starting_a_process_is_none_of_the_functions_time(world: World) -> None:
    """What a spec imports may take seconds; and a timeout would start the next attempt anew."""
    slow = (
        "import time\nif 'specs' not in __name__ or HERE.exists(): time.sleep(0.7)\nHERE.touch()\n"
    )
    tool = "@tool(executor='process', timeout=0.5, retries=0)\ndef f() -> str: return 'quick'\n"
    world.spec(job(NOTE + "HERE = ROOT / 'here'\n" + slow + tool, "f"))
    world.model = calling(("f", {}))
    assert world.apply().exit_code == ExitCode.DONE
    assert world.texts() == {"a": "quick"}


def test_an_answer_of_a_process_that_ran_other_code_is_not_kept(world: World) -> None:
    """The spec was edited before the process imported it, and is put back later."""
    tool = (
        "@tool(executor='process', pure=True)\ndef f() -> str:\n    note('run')\n    return 'old'\n"
    )
    spec = job(NOTE + tool, "f")
    world.spec(spec)
    ask = calling(("f", {}))

    def edits(body: dict[str, Any]) -> Any:
        world.spec(spec.replace("'old'", "'new'"))
        return ask(body)

    world.model = edits
    world.apply()
    assert world.texts() == {"a": "new"}
    world.spec(spec)
    world.model = ask
    world.apply(replace=["m.j"])
    assert world.texts() == {"a": "old"}
    world.apply(replace=["m.j"])
    assert log(world) == ["run"] * 2


def test_what_a_function_started_ends_with_a_run_that_is_killed(world: World) -> None:
    """Nobody is left to kill it: the process does so itself when its pipe is closed."""
    tool = """
import subprocess, sys
@tool(executor="process", retries=0)
def f() -> str:
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    note(child.pid)
    return "started"
"""
    world.spec(NOTE + tool)
    start = command(world.root, "specs")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "start_new_session": True}
    with subprocess.Popen(start, **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b'{"module": "specs.m", "name": "f", "arguments": "{}"}\n')
        process.stdin.flush()
        assert b"started" in process.stdout.readline()
        child = psutil.Process(int(log(world)[0]))
        assert child.is_running()
        process.stdin.close()
    _, alive = psutil.wait_procs([child], timeout=10)
    for left in alive:
        left.kill()
    assert not alive


@pytest.mark.parametrize(
    ("tool", "told"),
    [
        ("@tool(limit=0)\ndef f() -> str: ...", "not a number of calls"),
        ("@tool(concurrency='2')\ndef f() -> str: ...", "not a number of calls"),
        ("@tool(executor='gpu')\ndef f() -> str: ...", "not known"),
        ("@tool(pure=True, once=True)\ndef f() -> str: ...", "both `once` and `pure`"),
        ("@tool(pure=True)\ndef f(ctx: RunContext) -> str: ...", "`pure` and takes a RunContext"),
        (
            "@tool(executor='process')\ndef f(ctx: RunContext) -> str: ...",
            "runs in a process and takes a RunContext",
        ),
        (
            (
                "def made():\n    @tool(executor='process')\n    def f() -> str: ...\n"
                "    return f\nf = made()"
            ),
            "cannot run in a process of its own",
        ),
    ],
)
def test_options_that_cannot_be_are_told_before_anything_is_sent(
    world: World, tool: str, told: str
) -> None:
    world.spec(job(tool, "f"))
    with pytest.raises(SpecError, match=told):
        world.apply()
