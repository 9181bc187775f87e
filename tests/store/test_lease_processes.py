"""One writer at a time, among real processes."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from worlds import World

from batchspec.apply import loop
from batchspec.errors import ExitCode, LockedError
from batchspec.store.lease import TTL, host, identity
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
    store = open_store()
    store.acquire("me", "apply")
    held = store.reader().lease()
    assert held is not None
    assert held.holder == "me"


def elsewhere(store: StateStore) -> None:
    """Let the lease look as if a process of another machine held it."""
    store.db.execute("UPDATE lease SET host = 'elsewhere'")


def test_a_stopped_process_of_this_machine_is_waited_for(
    holder: Holder, open_store: Callable[[], StateStore], time: Time
) -> None:
    """It lives, however long it was silent."""
    process = holder(time.now)
    process.send_signal(signal.SIGSTOP)
    time.now += 100 * TTL
    with pytest.raises(LockedError, match=f"process {process.pid} on "):
        open_store().acquire("me", "apply")


def test_a_stopped_process_elsewhere_is_taken_over_and_cannot_write_when_it_wakes(
    holder: Holder, open_store: Callable[[], StateStore], time: Time
) -> None:
    """The laptop that was closed for an hour."""
    process = holder(time.now)
    process.send_signal(signal.SIGSTOP)
    store = open_store()
    elsewhere(store)
    with pytest.raises(LockedError):
        store.acquire("me", "watch")
    time.now += TTL + 1
    store.acquire("me", "watch")
    agree(store, "p1", {"m.j": {"a": "A"}})
    process.send_signal(signal.SIGCONT)
    out, _ = process.communicate("go\n")
    assert out.startswith("refused: This process lost its lease")
    assert f"`watch` of process {os.getpid()}" in out
    assert store.progress()[0].items == 1


@pytest.mark.skipif(identity(os.getpid()) == host(), reason="starts of processes are not known")
def test_a_later_process_of_the_same_number_is_not_taken_for_the_holder(
    open_store: Callable[[], StateStore],
) -> None:
    """After a restart of the machine or its container, numbers are given out again."""
    first = open_store()
    first.acquire("one", "apply")
    first.db.execute("UPDATE lease SET host = ?", (f"{identity(os.getpid())}0",))
    second = open_store()
    second.acquire("two", "apply")
    held = second.reader().lease()
    assert held is not None
    assert held.holder == "two"


def test_a_heartbeat_waits_for_nobody(open_store: Callable[[], StateStore], time: Time) -> None:
    """Our own long transaction holds the file; who holds it is known to live."""
    store = open_store()
    store.acquire("me", "apply")
    began = time.now
    with store.transaction(), store.reader() as reader:
        time.now += 10
        thread = threading.Thread(target=store.renew)
        thread.start()
        thread.join()
        held = reader.lease()
        assert (held and held.heartbeat) == began
    store.renew()
    with store.reader() as reader:
        held = reader.lease()
        assert (held and held.heartbeat) == began + 10


WAITING = """
import contextlib, pathlib, sqlite3
PATH = pathlib.Path(__file__).parent.parent / "state" / "default" / "batchspec.db"

def patient(output: str) -> str:
    with contextlib.closing(sqlite3.connect(PATH)) as db:
        beats = {db.execute("SELECT heartbeat FROM lease").fetchone()}
        while len(beats) == 1:
            beats.add(db.execute("SELECT heartbeat FROM lease").fetchone())
    return output
"""


def test_the_heart_beats_while_replies_are_judged_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For hours, if a validator is slow."""
    world = World(tmp_path)
    world.job("a")
    world.apply()
    monkeypatch.setattr(loop, "HEARTBEAT", 0.01)
    world.clock.speed = 1000  # a heartbeat says the time, which must not stand still here
    world.spec(
        f"{WAITING}\nj = Job(model='openai:gpt-5-mini', rows=rows.inline([{{'id': 'a'}}]), "
        "prompt='say {id}', output_validators=[patient])"
    )
    assert world.apply().exit_code == ExitCode.DONE
    world.close()
