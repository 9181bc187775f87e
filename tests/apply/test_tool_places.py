"""How many calls run at once: as many as there are places, no more, and none is left idle."""

import pytest
from worlds import World

from batchspec.errors import ExitCode

from .test_tool_options import NOTE, log
from .test_tools import calling, job

# Every call waits until as many run as may; one too few would break the barrier, in time.
AT_ONCE = """
PLACES, running, most = 5, 0, 0
barrier = threading.Barrier(PLACES)
lock = threading.Lock()

@tool(retries=0, {options})
def work() -> str:
    global running, most
    with lock:
        running += 1
        most = max(most, running)
    barrier.wait(60)
    with lock:
        running -= 1
    barrier.wait(60)
    note(most)
    return "ok"
"""
ASYNC = """
import anyio

PLACES, running, most = 5, 0, 0
full = None

@tool(retries=0, timeout=60, {options})
async def work() -> str:
    global running, most, full
    full = full or anyio.Event()
    running += 1
    most = max(most, running)
    if running == PLACES:
        full.set()
    await full.wait()
    running -= 1
    if not running:
        full = None
    await anyio.lowlevel.checkpoint()
    note(most)
    return "ok"
"""


@pytest.mark.parametrize("own", [False, True], ids=["of all", "of the tool"])
@pytest.mark.parametrize("body", [AT_ONCE, ASYNC], ids=["threads", "async"])
def test_as_many_calls_run_at_once_as_there_are_places(
    world: World, body: str, *, own: bool
) -> None:
    keys = [f"k{n}" for n in range(40)]
    text = body.format(options="concurrency=5" if own else "")
    world.spec(job(NOTE + text, "work", *keys))
    world.model = calling(("work", {}))
    world.settings = world.settings.model_copy(update={"tool_concurrency": 16 if own else 5})
    assert world.apply().exit_code == ExitCode.DONE
    assert log(world) == ["5"] * 40


def test_jobs_share_the_places(world: World) -> None:
    body = NOTE + AT_ONCE.format(options="")
    second = job("", "work", *(f"l{n}" for n in range(10))).replace("j =", "k =", 1)
    world.spec(job(body, "work", *(f"k{n}" for n in range(10))) + "\n" + second)
    world.model = calling(("work", {}))
    world.settings = world.settings.model_copy(update={"tool_concurrency": 5})
    assert world.apply().exit_code == ExitCode.DONE
    assert log(world) == ["5"] * 20


def test_a_slow_call_leaves_no_other_place_idle(world: World) -> None:
    """It ends when all the others have, more than are open at a time."""
    body = """
others, all_but_one = 699, threading.Event()
lock = threading.Lock()

@tool(timeout=60, retries=0)
def work(ctx: RunContext) -> str:
    global others
    if ctx.key == "k0":
        all_but_one.wait()
        return "slow"
    with lock:
        others -= 1
    if not others:
        all_but_one.set()
    return "ok"
"""
    world.spec(job(NOTE + body, "work", *(f"k{n}" for n in range(700))))
    world.model = calling(("work", {}))
    world.settings = world.settings.model_copy(update={"tool_concurrency": 4})
    assert world.apply().exit_code == ExitCode.DONE
    assert world.texts()["k0"] == "slow"
    assert world.created == 2, "those that are done wait for the others of the lane"


def test_equal_calls_of_a_pure_tool_that_run_at_once_are_one(world: World) -> None:
    """Those that wait for it take no place, so that others go on meanwhile."""
    body = """
other = threading.Event()

@tool(pure=True, retries=0, timeout=60)
def work(n: int) -> int:
    note("work")
    other.wait()
    return n

@tool(retries=0, timeout=60)
def free() -> str:
    other.set()
    return "ok"
"""
    world.spec(job(NOTE + body, "work, free", *(f"k{n}" for n in range(9)), "z"))
    world.model = lambda body: calling(
        ("free", {}) if "z" in body["messages"][0]["content"] else ("work", {"n": 1})
    )(body)
    world.settings = world.settings.model_copy(update={"tool_concurrency": 2})
    assert world.apply().exit_code == ExitCode.DONE
    assert log(world) == ["work"]


def test_an_async_tool_that_blocks_holds_up_no_thread(world: World) -> None:
    body = """
done = threading.Event()

@tool(retries=0, timeout=60)
async def blocks() -> str:
    done.wait()
    return "late"

@tool(retries=0, timeout=60)
def frees() -> str:
    done.set()
    return "ok"
"""
    world.spec(job(NOTE + body, "blocks, frees", "a"))
    world.model = calling(("blocks", {}), ("frees", {}))
    assert world.apply().exit_code == ExitCode.DONE
    assert world.texts() == {"a": "late ok"}
