"""One writer at a time, among real processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from batchspec.errors import LockedError
from batchspec.store.lease import TTL
from batchspec.store.sqlite import StateStore

from .conftest import Time
from .shop import agree

HOLD = """
import sys
from pathlib import Path
from batchspec.errors import LockedError
from batchspec.store.sqlite import StateStore

store = StateStore(Path(sys.argv[1]), lambda: float(sys.argv[2]))
store.initialise("other")
store.acquire("other", "apply")
print("held", flush=True)
sys.stdin.readline()
try:
    with store.transaction() as db:
        db.execute("DELETE FROM items")
    print("written", flush=True)
except LockedError as error:
    print(f"refused: {error}", flush=True)
"""
Holder = Callable[[float], "subprocess.Popen[str]"]


@pytest.fixture
def holder(directory: Path) -> Iterator[Holder]:
    """Starts processes that hold the lease until they read a line."""
    started: list[subprocess.Popen[str]] = []

    def start(now: float) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(directory), str(now)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_living_process_is_waited_for_and_named(
    holder: Holder, open_store: Callable[[], StateStore], time: Time
) -> None:
    process = holder(time.now)
    with pytest.raises(LockedError, match=f"process {process.pid} on "):
        open_store().acquire("me", "apply")


def test_a_killed_process_is_taken_over_at_once(
    holder: Holder, open_store: Callable[[], StateStore], time: Time
) -> None:
    process = holder(time.now)
    process.send_signal(signal.SIGKILL)
    process.wait()
    open_store().acquire("me", "apply")


def test_a_stopped_process_is_taken_over_and_cannot_write_when_it_wakes(
    holder: Holder, open_store: Callable[[], StateStore], time: Time
) -> None:
    """The laptop that was closed for an hour."""
    process = holder(time.now)
    process.send_signal(signal.SIGSTOP)
    time.now += TTL + 1
    store = open_store()
    store.acquire("me", "watch")
    agree(store, "p1", {"m.j": {"a": "A"}})
    process.send_signal(signal.SIGCONT)
    out, _ = process.communicate("go\n")
    assert out.startswith("refused: This process lost its lease")
    assert f"`watch` of process {os.getpid()}" in out
    assert store.progress()[0].items == 1
