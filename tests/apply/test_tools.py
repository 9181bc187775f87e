"""Conversations with tools: what is run, what the model is told, and what it costs."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from worlds import World

from batchspec.errors import BatchspecError, ExitCode

Body = dict[str, Any]


def calling(*calls: tuple[str, Any]) -> Callable[[Body], Any]:
    """Return a model that calls tools in the first turn and tells what they said in the second."""

    def model(body: Body) -> Any:
        results = [m["content"] for m in body["messages"] if m["role"] == "tool"]
        if results:
            return " ".join(results)
        parts = [{"name": name, "arguments": arguments} for name, arguments in calls]
        return {"role": "assistant", "tool_calls": parts}

    return model


def job(body: str, tools: str, *keys: str, more: str = "") -> str:
    """Return a module with tools and a job over rows with these keys."""
    data = [{"id": key} for key in keys or ("a",)]
    made = f"j = Job(model='openai:gpt-5-mini', rows=rows.inline({data!r}), prompt='do {{id}}', "
    return f"{body}\n{made}tools=[{tools}], {more})"


ADD = """
@tool
def add(x: int, y: int) -> int:
    "Add two numbers."
    return x + y
"""


def test_a_tool_is_run_and_the_model_told(world: World) -> None:
    world.spec(job(ADD, "add", "a", "b"))
    world.model = calling(("add", {"x": 2, "y": 3}))
    assert world.apply().exit_code == ExitCode.DONE
    assert world.texts() == {"a": "5", "b": "5"}
    assert world.created == 2, "all rows of a turn share a batch"
    assert {item.turns for item in world.items().values()} == {2}


def test_every_call_is_answered_in_its_order_after_the_unchanged_message(world: World) -> None:
    world.spec(job(ADD, "add"))
    second: list[Any] = []

    def model(body: Body) -> Any:
        if body["messages"][-1]["role"] == "tool":
            second.append(body["messages"])
        return calling(("add", {"x": 1, "y": 1}), ("add", {"x": 2, "y": 2}))(body)

    world.model = model
    world.apply()
    user, assistant, *answers = second[0]
    assert user == {"role": "user", "content": "do a"}
    assert [m["tool_call_id"] for m in answers] == [c["id"] for c in assistant["tool_calls"]]
    assert [m["content"] for m in answers] == ["2", "4"]


def test_text_goes_as_it_is_and_anything_else_as_json(world: World) -> None:
    world.spec(
        job(
            """
from datetime import date

@tool
def words() -> str: return 'as "is"'
@tool
async def table() -> dict: return {"day": date(2026, 1, 2)}
@tool
def nothing() -> None: return None
""",
            "words, table, nothing",
        )
    )
    world.model = calling(("words", {}), ("table", {}), ("nothing", {}))
    world.apply()
    assert world.texts() == {"a": 'as "is" {"day":"2026-01-02"} null'}


@pytest.mark.parametrize(
    "body",
    [
        "@tool\ndef f() -> list[int]:\n    yield 1\n    yield 2",
        "@tool\nasync def f() -> list[int]:\n    yield 1\n    yield 2",
        "async def g(): return [1, 2]\n@tool\ndef f() -> list[int]: return g()",
        "@tool(executor='thread')\nasync def f() -> list[int]: return [1, 2]",
        (
            "import functools\nasync def g(n: int): return [1, n]\n"
            "f = tool(name='f')(functools.partial(g, n=2))"
        ),
    ],
    ids=["generator", "async generator", "coroutine", "thread", "partial"],
)
def test_what_has_to_be_run_for_its_result_is(world: World, body: str) -> None:
    world.spec(job(body, "f"))
    world.model = calling(("f", {}))
    assert world.apply().exit_code == ExitCode.DONE
    assert json.loads(world.texts()["a"] or "") == [1, 2]


def test_a_tool_may_use_modules_that_have_no_file(world: World) -> None:
    """Those built into Python: time, sys, itertools."""
    body = "import time\n@tool\ndef f() -> bool: return time.time() > 0"
    world.spec(job(body, "f"))
    world.model = calling(("f", {}))
    assert world.apply().exit_code == ExitCode.DONE


def test_a_tool_knows_its_circumstances(world: World) -> None:
    world.spec(
        job(
            """
@tool
def who(ctx: RunContext[str]) -> str:
    return f"{ctx.deps} {ctx.job} {ctx.key} {ctx.row} {ctx.attempt} {ctx.call_id.count('.')}"
""",
            "who",
            more="deps=lambda: 'made'",
        )
    )
    world.model = calling(("who", {}))
    world.apply()
    assert world.texts() == {"a": "made m.j a {'id': 'a'} 1 3"}


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (("sub", {}), "Unknown tool name: 'sub'. Available tools: 'add'"),
        (("add", {"x": "one", "y": 1}), '"loc":["x"]'),
        (("add", {"x": 1}), '"loc":["y"]'),
        (("add", '{"x": 1, "y'), "json_invalid"),
        (("add", {"x": 1, "y": 2, "z": 3}), "extra_forbidden"),
    ],
    ids=["unknown tool", "wrong type", "missing", "broken json", "too much"],
)
def test_a_wrong_call_goes_back_to_the_model(
    world: World, call: tuple[str, Any], told: str
) -> None:
    world.spec(job(ADD, "add"))
    world.model = calling(call)
    assert world.apply().exit_code == ExitCode.DONE
    text = world.texts()["a"] or ""
    assert told.replace(" ", "") in text.replace(" ", "")


def test_a_tool_can_ask_the_model_to_try_again(world: World) -> None:
    world.spec(job(ADD + "    raise ModelRetry('x must be even')\n", "add"))
    world.spec(
        job("@tool\ndef add(x: int) -> int:\n    raise ModelRetry('x must be even')\n", "add")
    )
    world.model = calling(("add", {"x": 1}))
    assert world.apply().exit_code == ExitCode.DONE
    assert json.loads(world.texts()["a"] or "") == {"error": "x must be even"}


FLAKY = """
import pathlib
LOG = pathlib.Path(__file__).parent.parent / "log"

@tool(retries={retries})
def flaky(ctx: RunContext) -> str:
    with LOG.open("a") as log:
        log.write(f"{{ctx.key}}:{{ctx.attempt}}:{{ctx.call_id}} ")
    if ctx.key == "a" and ctx.attempt <= {fails}:
        raise OSError("no network")
    return "ok"
"""


def test_an_exception_is_tried_again_with_the_same_call_id(world: World) -> None:
    world.spec(job(FLAKY.format(retries=2, fails=2), "flaky"))
    world.model = calling(("flaky", {}))
    assert world.apply().exit_code == ExitCode.DONE
    attempts = [entry.split(":") for entry in (world.root / "log").read_text().split()]
    assert [attempt for _, attempt, _ in attempts] == ["1", "2", "3"]
    assert len({call_id for *_, call_id in attempts}) == 1


def test_an_exception_after_all_retries_fails_its_item_only(world: World) -> None:
    world.spec(job(FLAKY.format(retries=1, fails=9), "flaky", "a", "b"))
    world.model = calling(("flaky", {}))
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    items = world.items()
    assert (items["a"].outcome, items["b"].outcome) == ("failed", "succeeded")
    assert items["a"].reason == "tool 'flaky' raised OSError: no network"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("@tool(retries=0)\ndef f() -> str: raise SystemExit(3)", "raised SystemExit: 3"),
        ("@tool(retries=0)\ndef f() -> object: return object()", "returned what JSON cannot hold"),
        (
            """
import anyio

@tool(retries=0, timeout=0.01)
async def f() -> str:
    await anyio.sleep_forever()
""",
            "took longer than 0.01 s",
        ),
        (
            "@tool(retries=0)\ndef f() -> str: raise ValueError('half a pair: \\ud800')",
            "half a pair",
        ),
        ("@tool(retries=0)\nasync def f() -> str: raise SystemExit(3)", "raised SystemExit: 3"),
        ("@tool(retries=0)\ndef f() -> str: raise KeyboardInterrupt", "raised KeyboardInterrupt"),
        ("@tool(retries=0)\nasync def f() -> str: raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("@tool(retries=0)\ndef f() -> str: raise GeneratorExit", "raised GeneratorExit"),
        (
            "import asyncio\n@tool(retries=0)\nasync def f() -> str: raise asyncio.CancelledError",
            "CancelledError",
        ),
        (
            "@tool(retries=0)\ndef f() -> list[int]:\n    yield 1\n    raise OSError('half way')",
            "half way",
        ),
        ("@tool(retries=0)\ndef f() -> str: return 'x' * 10_485_761", "returned too much"),
    ],
    ids=[
        "exit",
        "not json",
        "timeout",
        "a message no column can hold",
        "async exit",
        "interrupt",
        "async interrupt",
        "generator exit",
        "cancelled",
        "generator",
        "too long",
    ],
)
def test_a_tool_that_goes_wrong_fails_its_item(world: World, body: str, reason: str) -> None:
    world.spec(job(body, "f"))
    world.model = calling(("f", {}))
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert reason in (world.items()["a"].reason or "")


def test_text_that_no_file_can_hold_reaches_the_model_mended(world: World) -> None:
    world.spec(job("@tool\ndef f() -> str: return 'a\\ud800b'", "f"))
    world.model = calling(("f", {}))
    assert world.apply().exit_code == ExitCode.DONE
    assert world.texts() == {"a": "a?b"}


def test_a_type_whose_check_breaks_fails_its_item(world: World) -> None:
    """Pydantic passes on what is not a ValueError."""
    world.spec(
        job(
            """
from typing import Annotated
from pydantic import AfterValidator

def broken(value: str) -> str:
    raise KeyError("oh")

@tool
def f(x: Annotated[str, AfterValidator(broken)]) -> str: return x
""",
            "f",
        )
    )
    world.model = calling(("f", {"x": "1"}))
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert "KeyError" in (world.items()["a"].reason or "")


def test_deps_that_cannot_be_made_stop_the_run_with_a_sentence(world: World) -> None:
    """The replies are paid for: nothing is failed, and the next apply goes on."""
    body = """
import pathlib
OFF = pathlib.Path(__file__).parent.parent / "off"

def connect() -> str:
    if OFF.exists():
        raise ConnectionError("no database")
    return "db"

@tool
def f(ctx: RunContext[str]) -> str: return ctx.deps
"""
    world.spec(job(body, "f", more="deps=connect"))
    world.model = calling(("f", {}))
    (world.root / "off").touch()
    with pytest.raises(BatchspecError, match=r"deps of m\.j.*no database"):
        world.apply()
    (world.root / "off").unlink()
    assert world.apply().exit_code == ExitCode.DONE
    assert world.texts() == {"a": "db"}
    assert world.created == 2


def test_a_conversation_without_end_is_exhausted(world: World) -> None:
    world.spec(job(ADD, "add", more="max_turns=3"))
    world.model = lambda _: calling(("add", {"x": 1, "y": 1}))({"messages": []})
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    item = world.items()["a"]
    assert (item.outcome, item.turns) == ("exhausted", 3)
    assert world.created == 3


def test_a_tool_call_beside_an_output_of_a_job_without_tools_is_ignored(world: World) -> None:
    world.job("a")
    world.model = lambda _: {
        "role": "assistant",
        "content": "text",
        "tool_calls": [{"name": "f", "arguments": {}}],
    }
    assert world.apply().exit_code == ExitCode.DONE


def test_tools_and_types_go_together(world: World) -> None:
    """Calls first, then an answer that does not fit, then one that does."""
    world.spec(
        job(
            ADD + "from pydantic import BaseModel\nclass Sum(BaseModel):\n    total: int\n",
            "add",
            more="output=Sum",
        )
    )

    def model(body: Body) -> Any:
        last = body["messages"][-1]
        if len(body["messages"]) == 1:
            return calling(("add", {"x": 2, "y": 3}))(body)
        return {"total": "five"} if last["role"] == "tool" else {"total": 5}

    world.model = model
    assert world.apply().exit_code == ExitCode.DONE
    item = world.items()["a"]
    assert (item.output.total, item.turns) == (5, 3)


def test_an_answer_asked_for_anew_runs_its_tools_anew(world: World) -> None:
    """The calls of the first time have other ids and other results."""
    counting = """
import pathlib
LOG = pathlib.Path(__file__).parent.parent / "log"

@tool
def count() -> int:
    with LOG.open("a") as log:
        log.write("x")
    return len(LOG.read_text())
"""
    world.spec(job(counting, "count"))
    numbers = iter(range(99))

    def model(body: Body) -> Any:
        ids = [c["id"] for m in body["messages"] for c in m.get("tool_calls") or ()]
        answered = [m["tool_call_id"] for m in body["messages"] if m["role"] == "tool"]
        assert ids == answered, "the API refuses a call without its answer"
        if answered:
            return body["messages"][-1]["content"]
        call = {"id": f"call_{next(numbers)}", "name": "count", "arguments": {}}
        return {"role": "assistant", "tool_calls": [call]}

    world.model = model
    world.apply()
    assert world.texts() == {"a": "1"}
    assert world.apply(replace=["m.j"]).exit_code == ExitCode.DONE
    assert world.texts() == {"a": "2"}


def test_while_an_answer_is_made_anew_the_old_one_can_be_read(world: World) -> None:
    """In every turn of the new one, not only the first."""
    world.spec(job(ADD, "add"))
    world.model = calling(("add", {"x": 2, "y": 3}))
    world.apply()
    seen: list[tuple[bool, str | None, str | None]] = []

    def model(body: Body) -> Any:
        item = world.items()["a"]
        seen.append((item.previous, item.outcome, item.output))
        return calling(("add", {"x": 3, "y": 3}))(body)

    world.model = model
    world.apply(replace=["m.j"])
    assert seen == [(True, "succeeded", "5")] * 2
    item = world.items()["a"]
    assert (item.previous, item.output) == (False, "6")


SECRET = "hidden-4711-0815"
RAISES = (
    "raise OSError('401 of https://me:pass@host with ' + __import__('os').environ['SHOP_API_KEY'])"
)


@pytest.mark.parametrize(
    ("body", "more"),
    [
        (f"@tool(retries=0)\ndef f() -> str: {RAISES}", ""),
        (f"@tool(retries=0, executor='process')\ndef f() -> str: {RAISES}", ""),
        (
            f"@tool\ndef f() -> str: return 'ok'\ndef check(value): {RAISES}",
            "output_validators=[check]",
        ),
        (f"def deps(): {RAISES}\n@tool\ndef f(ctx: RunContext) -> str: return 'ok'", "deps=deps"),
        (f"@tool\ndef f() -> str: return 'ok'\ndef score(row, value): {RAISES}", "grade=score"),
    ],
    ids=["tool", "process", "validator", "factory", "grade"],
)
def test_what_users_code_raised_is_kept_and_told_without_secrets(
    world: World, monkeypatch: pytest.MonkeyPatch, body: str, more: str
) -> None:
    monkeypatch.setenv("SHOP_API_KEY", SECRET)
    world.spec(job(body, "f", more=more))
    world.model = calling(("f", {}))
    told = ""
    try:
        world.apply()
        told = " ".join(world.hook.warnings)
    except BatchspecError as error:
        told = str(error)
    with world.open() as project:
        answers = project.results("m.j")
        told += " ".join(f"{item.outcome} {item.reason} {item.grade}" for item in answers)
        told += " ".join(map(str, project.warnings))
    assert "401 of https[redacted]host with [redacted]" in told
    assert SECRET not in told
    for file in world.state.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes()
