"""`deps`: made once per run, when it is first asked for, and ended with the run."""

import gc
from typing import Any

import pytest
from worlds import World

from batchspec.errors import BatchspecError, DepsError, ExitCode

from .test_tool_options import NOTE, log
from .test_tools import calling, job

USES = """
@tool
def f(ctx: RunContext) -> str:
    note(f"use {ctx.deps}")
    return "ok"
"""
FORMS = {
    "function": """
def deps():
    note("make")
    return "it"
""",
    "async function": """
async def deps():
    note("make")
    return "it"
""",
    "function of a coroutine": """
async def made():
    note("make")
    return "it"

deps = lambda: made()
""",
    "generator": """
def deps():
    thread = threading.get_ident()
    note("make")
    yield "it"
    assert threading.get_ident() == thread
    note("end")
""",
    "context manager": """
import contextlib

@contextlib.contextmanager
def deps():
    note("make")
    try:
        yield "it"
    finally:
        note("end")
""",
    "async generator": """
import anyio

async def deps():
    async with anyio.create_task_group() as group:
        note("make")
        yield "it"
        await anyio.lowlevel.checkpoint()
    note("end")
""",
    "async context manager": """
import contextlib

@contextlib.asynccontextmanager
async def deps():
    note("make")
    yield "it"
    note("end")
""",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_factory_is_called_once_and_what_it_made_ends_with_the_run(
    world: World, form: str
) -> None:
    world.spec(job(NOTE + FORMS[form] + USES, "f", "a", "b", "c", more="deps=deps"))
    world.model = calling(("f", {}))
    assert world.apply().exit_code == ExitCode.DONE
    ends = ["end"] if "generator" in form or "manager" in form else []
    assert log(world) == ["make", *["use it"] * 3, *ends]


def test_an_async_tool_shares_the_loop_with_what_an_async_factory_made(world: World) -> None:
    body = """
import anyio, asyncio

async def deps():
    yield asyncio.get_running_loop(), anyio.Event()

@tool
async def f(ctx: RunContext) -> bool:
    loop, event = ctx.deps
    event.set()
    await event.wait()
    return loop is asyncio.get_running_loop()
"""
    world.spec(job(body, "f", more="deps=deps"))
    world.model = calling(("f", {}))
    world.apply()
    assert world.texts() == {"a": "true"}


def test_validators_and_tools_and_other_jobs_have_the_same_one(world: World) -> None:
    body = (
        NOTE
        + FORMS["generator"]
        + USES
        + """
def check(ctx: RunContext, value: str) -> None:
    note(f"check {ctx.deps}")
"""
    )
    more = "deps=deps, output_validators=[check]"
    second = job("", "f", "b", more=more).replace("j =", "k =", 1)
    world.spec(job(body, "f", more=more) + "\n" + second)
    world.model = calling(("f", {}))
    world.apply()
    made, *used, ended = log(world)
    assert (made, sorted(used), ended) == ("make", ["check it"] * 2 + ["use it"] * 2, "end")


def test_nothing_is_made_for_tools_that_do_not_ask(world: World) -> None:
    body = NOTE + FORMS["generator"] + "@tool\ndef f() -> str: return 'ok'\n"
    world.spec(job(body, "f", more="deps=deps"))
    world.model = calling(("f", {}))
    world.apply()
    assert log(world) == []


def test_nothing_is_made_for_validators_that_do_not_ask(world: World) -> None:
    checked = NOTE + "def deps():\n    note('make')\n    raise OSError('down')\n"
    checked += "def check(value: str) -> None: note('check')\n"
    world.spec(job(checked, "", "a", more="deps=deps, output_validators=[check]"))
    assert world.apply().exit_code == ExitCode.DONE
    assert log(world) == ["check"]
    again = checked.replace("note('check')", "note('again')")
    world.spec(job(again, "", "a", more="deps=deps, output_validators=[check]"))
    assert world.apply().exit_code == ExitCode.DONE
    assert log(world) == ["check", "again"]


@pytest.mark.parametrize(
    "factory",
    [
        "def deps():\n    note('make')\n    raise OSError('no network')\n",
        "async def deps():\n    note('make')\n    raise OSError('no network')\n",
        "def deps():\n    note('make')\n    raise OSError('no network')\n    yield\n",
        "async def deps():\n    note('make')\n    raise OSError('no network')\n    yield\n",
    ],
    ids=["function", "async", "generator", "async generator"],
)
def test_a_factory_that_raises_is_told_once_and_costs_no_answer(world: World, factory: str) -> None:
    world.spec(job(NOTE + factory + USES, "f", "a", "b", "c", more="deps=deps"))
    world.model = calling(("f", {}))
    with pytest.raises(BatchspecError) as caught:
        world.apply()
    told = str(caught.value)
    assert told.count("deps of m.j cannot be made") == 1
    assert "deps raised OSError: no network" in told
    assert log(world) == ["make"]
    world.spec(job(NOTE + FORMS["generator"] + USES, "f", "a", "b", "c", more="deps=deps"))
    assert world.apply().exit_code == ExitCode.DONE
    assert world.created == 2, "nothing was sent twice"


def test_what_cannot_end_is_told_and_harms_nothing(world: World) -> None:
    body = NOTE + "def deps():\n    yield 'it'\n    raise OSError('gone')\n" + USES
    world.spec(job(body, "f", more="deps=deps"))
    world.model = calling(("f", {}))
    assert world.apply().exit_code == ExitCode.DONE
    assert "deps made by deps did not end well: OSError: gone." in world.hook.warnings


def test_what_was_made_ends_also_when_the_run_fails(world: World) -> None:
    body = (
        NOTE
        + """
MADE = threading.Event()

def deps():
    note("make")
    MADE.set()
    yield "it"
    note("end")

def broken():
    assert MADE.wait(60)
    raise OSError("no")

@tool
def g(ctx: RunContext) -> str: return "ok"
"""
        + USES
    )
    second = job("", "g", "z", more="deps=broken").replace("j =", "k =", 1)
    world.spec(job(body, "f", more="deps=deps") + "\n" + second)
    world.model = lambda body: calling(("g" if "z" in str(body["messages"]) else "f", {}))(body)
    with pytest.raises(BatchspecError, match=r"deps of m\.k"):
        world.apply()
    assert [entry for entry in log(world) if entry != "use it"] == ["make", "end"]


@pytest.mark.parametrize("form", FORMS)
def test_validators_find_what_was_made_when_answers_are_read(world: World, form: str) -> None:
    body = FORMS[form] + "def mark(ctx: RunContext, value: str) -> str: return value + ctx.deps\n"
    world.spec(job(NOTE + body, "", "a", "b", more="deps=deps, output_validators=[mark]"))
    world.model = lambda _: "answer "
    world.apply()
    (world.root / "log").unlink()
    assert [item.output for item in world.items().values()] == ["answer it"] * 2
    gc.collect()
    ends = ["end"] if "generator" in form or "manager" in form else []
    assert log(world) == ["make", *ends]


def test_a_factory_that_raises_when_answers_are_read_is_called_once(world: World) -> None:
    off = "if (ROOT / 'off').exists(): note('raise'); raise OSError('no')"
    body = f"def deps():\n    {off}\n    return 'it'\n"
    body += "def mark(ctx: RunContext, value: str) -> str: return value + ctx.deps\n"
    world.spec(job(NOTE + body, "", "a", "b", more="deps=deps, output_validators=[mark]"))
    world.model = lambda _: "answer "
    world.apply()
    (world.root / "off").touch()
    assert [item.output for item in world.items().values()] == ["answer "] * 2
    assert log(world) == ["raise"]


def test_a_factory_that_raises_costs_no_call_that_must_not_run_twice(world: World) -> None:
    """Neither those that waited for what it makes, nor those that ran beside it."""
    body = """
RUNS, FAILS = threading.Event(), threading.Event()

def deps():
    if (ROOT / 'down').exists():
        assert RUNS.wait(60)
        FAILS.set()
        raise OSError('no network')

@tool(once=True)
def pay(ctx: RunContext) -> str:
    note(f"pay {ctx.attempt}")
    return "ok"

@tool(once=True)
def other(ctx: RunContext) -> str:
    RUNS.set()
    assert not (ROOT / 'down').exists() or FAILS.wait(60)
    while (ROOT / 'down').exists() and ctx.job == "m.k" and not (ROOT / 'told').exists():
        threading.Event().wait(0.001)
    note("other")
    return "ok"
"""
    second = job("", "other", "z").replace("j =", "k =", 1)
    world.spec(job(NOTE + body, "pay, other", "a", "b", more="deps=deps") + "\n" + second)

    def model(body: Any) -> Any:
        first = str(body["messages"][0]["content"])
        return calling(("other" if first != "do a" else "pay", {}))(body)

    world.model = model
    world.hook.warning = lambda message: (world.root / "told").touch()  # type: ignore[method-assign]
    (world.root / "down").touch()
    with pytest.raises(DepsError, match=r"deps of m\.j"):
        world.apply()
    (world.root / "down").unlink()
    assert "other" in log(world), "what ran has ended"
    assert world.apply().exit_code == ExitCode.DONE
    assert sorted(log(world)) == ["other", "other", "pay 1"]
    assert world.outcomes("m.k") == {"z": "succeeded"}
