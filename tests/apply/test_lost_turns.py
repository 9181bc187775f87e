"""A call that costs its item: the others of its turn that have not begun never do."""

import sqlite3
from contextlib import closing

import pytest
from worlds import World

from batchspec.errors import ExitCode

from .test_tools import calling
from .test_tools_interrupted import log, spec

PAY = """
@tool(once=True, retries=0)
def pay(what: str) -> str:
    note(what)
    if what == "bad":
        raise ValueError("no")
    return "paid"
"""


def paying(world: World, *whats: str) -> None:
    """Write a job whose one item pays for things in its first turn, one at a time."""
    spec(world, PAY.replace("def pay", "def work"), "a", places=1)
    world.model = calling(*(("work", {"what": what}) for what in whats))


def test_a_call_does_not_begin_once_another_of_its_turn_has_failed(world: World) -> None:
    paying(world, "one", "bad", "three")
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert log(world) == ["one", "bad"]
    with world.open() as project:
        (turn,) = project.turns('m.j["a"]')
    assert [(c.attempts, c.result is None) for c in turn.tool_calls] == [
        (1, False),
        (1, False),
        (0, True),
    ]


def test_no_call_begins_where_one_is_known_to_fail_before_it_starts(world: World) -> None:
    """One that is marked once ran when the process died: the item is lost before anything runs."""
    interrupting = "import signal\n" + PAY.replace("def pay", "def work").replace(
        "note(what)", "note(what)\n    signal.raise_signal(signal.SIGINT)"
    )
    spec(world, interrupting, "a", places=1)
    world.model = calling(*(("work", {"what": what}) for what in ("one", "two", "three")))
    with pytest.raises(KeyboardInterrupt):
        world.apply()
    begun = log(world)
    with closing(sqlite3.connect(world.state / "batchspec.db")) as db, db:
        db.execute("UPDATE tool_calls SET status = 'running', result = NULL WHERE position = 0")
    paying(world)
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert log(world) == begun
    assert "may have run" in str(world.items()["a"].reason)
