"""Whether a watcher says honestly how it is, in each state it can be in."""

import os
import socket
from pathlib import Path

import pytest

from batchspec.ids import BatchId
from batchspec.state.events import BatchObserved, CallFailed
from batchspec.state.records import RequestCounts
from batchspec.state.watching import ConditionChanged, ConditionStatus, ConditionType
from batchspec.testing.clock import VirtualClock
from batchspec.watch.health import Health
from batchspec.watch.notify import notify

ID = BatchId("b")
FAILED = CallFailed(id=ID, at=0, next_at=0, reason="HTTP 500")
SEEN = BatchObserved(
    id=ID,
    status="in_progress",
    counts=RequestCounts(),
    output_file_id=None,
    error_file_id=None,
    ended=False,
    at=0,
    next_at=0,
)


def condition(
    kind: ConditionType, status: ConditionStatus, reason: str = "", message: str = ""
) -> ConditionChanged:
    return ConditionChanged(type=kind, status=status, reason=reason, message=message, at=0)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def well(clock: VirtualClock) -> Health:
    health = Health(clock)
    health.in_charge()
    health.leads = health.loaded = True
    assert bad(health) == ([], [])
    return health


def bad(health: Health) -> tuple[list[str], list[str]]:
    """Return what is not well: to be started anew, and to work."""
    live, ready = health.live(), health.ready()
    return [c.name for c in live if not c.ok], [c.name for c in ready if not c.ok]


def test_before_anything_is_loaded_it_lives_and_is_not_ready(clock: VirtualClock) -> None:
    assert bad(Health(clock)) == ([], ["engine", "lease", "specs"])


def test_who_waits_for_the_lease_is_not_ready(well: Health) -> None:
    well.in_charge()
    assert bad(well) == ([], ["lease"])


def test_specs_that_never_loaded_say_why(clock: VirtualClock) -> None:
    health = Health(clock)
    health.in_charge()
    health.leads = True
    health.event(condition("SpecLoaded", "False", message="specs/m.py:5"))
    assert bad(health) == ([], ["specs"])
    (check,) = [c for c in health.ready() if c.name == "specs"]
    assert check.message == "they were never loaded. specs/m.py:5"


def test_specs_that_do_not_load_any_more_leave_it_ready_and_are_told(well: Health) -> None:
    well.event(condition("SpecLoaded", "False", message="specs/m.py:5"))
    assert bad(well) == ([], [])
    assert "specs/m.py:5" in [c.message for c in well.ready()]


def test_a_provider_that_is_away_and_comes_back(well: Health) -> None:
    for _ in range(3):
        well.event(FAILED)
    assert bad(well) == ([], ["providers"])
    well.event(SEEN)
    assert bad(well) == ([], [])


def test_a_provider_that_refuses_the_key_and_takes_it_again(well: Health) -> None:
    well.event(condition("Stalled", "True", "ProviderError", "refused the key"))
    assert bad(well) == ([], ["stalled"])
    well.event(condition("Stalled", "False", "Recovered"))
    assert bad(well) == ([], [])


def test_an_engine_that_hangs_is_no_life(well: Health, clock: VirtualClock) -> None:
    clock.advance(59)
    well.ticked()
    assert bad(well) == ([], [])
    clock.advance(2)
    well.ticked()
    assert bad(well) == (["engine"], ["engine"])


def test_a_watcher_that_hangs_is_no_life(well: Health, clock: VirtualClock) -> None:
    clock.advance(61)
    well.beat = clock.now()
    assert bad(well) == (["watcher"], ["watcher"])


def test_an_engine_that_died_is_started_again_by_the_watcher(
    well: Health, clock: VirtualClock
) -> None:
    well.alone()
    clock.advance(1000)
    well.ticked()
    assert bad(well) == ([], ["engine", "lease"])


def test_who_was_told_to_stop_is_not_ready(well: Health) -> None:
    well.draining = True
    assert bad(well) == ([], ["draining"])


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind("notify")
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify("READY=1", "STATUS=well")
        assert heard.recv(100) == b"READY=1\nSTATUS=well"
    notify("READY=1")  # nobody listens any more


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="abstract sockets are of Linux")
def test_systemd_is_told_at_an_abstract_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        name = f"batchspec-{os.getpid()}"
        heard.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        notify("WATCHDOG=1")
        assert heard.recv(100) == b"WATCHDOG=1"


def test_nobody_is_told_where_there_is_no_systemd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind("notify")
        heard.setblocking(False)
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
        notify("READY=1")
        with pytest.raises(BlockingIOError):
            heard.recv(100)
