"""`--lock-timeout` and `unlock`, as people and scripts use them."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from batchspec.cli.durations import Duration
from batchspec.cli.main import COMMANDS, batchspec
from batchspec.cli.views.status import lease_line
from batchspec.errors import ExitCode, LockedError
from batchspec.state.records import LeaseRecord
from batchspec.store import waiting
from batchspec.store.sqlite import StateStore

Run = Callable[..., Any]
HOLDER = "0198f1c2d3e4f5a6b7c8d9e0f1a2b3c4"


@pytest.fixture
def holder(run: Run, tmp_path: Path) -> Iterator[StateStore]:
    """A project whose state somebody else holds."""
    assert run("init").code == 0
    store = StateStore(tmp_path / "state" / "simulation", lambda: 1_800_000_000.0)
    store.initialise("lineage-1")
    store.acquire(HOLDER, "watch")
    yield store
    store.close()


@pytest.mark.usefixtures("holder")
def test_a_locked_state_is_told_with_the_way_out(run: Run) -> None:
    ended = run("apply", "--simulate", "--auto-approve")
    assert ended.code == ExitCode.LOCKED
    assert "locked by `watch` of process" in ended.err
    assert f"batchspec unlock {HOLDER}" in ended.err
    assert "`kill " in ended.err, "it ends when it is told to, and not by waiting"
    status = json.loads(run("status", "--simulate", "--json").out)
    assert status["lease"]["holder"] == HOLDER


def test_a_holder_that_died_here_is_not_at_work(run: Run, tmp_path: Path) -> None:
    """Its lock is free, and people read the name of the machine alone."""
    assert run("init").code == 0
    code = (
        "import os; from pathlib import Path; from batchspec.store.sqlite import StateStore; "
        "store = StateStore(Path('state/simulation'), lambda: 1_800_000_000.0); "
        f"store.initialise('lineage-1'); store.acquire({HOLDER!r}, 'apply'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    held = json.loads(run("status", "--simulate", "--json").out)
    assert (held["lease"]["holder"], held["lease_free"]) == (HOLDER, True)
    holder = LeaseRecord(**held["lease"], fence=1)
    told = lease_line(holder, holder.heartbeat + 5, free=True).plain
    assert told == (
        f"No longer at work: apply on {socket.gethostname()}, process {holder.pid}, which died; "
        "last sign of life 5s ago. The lock is free."
    )


@pytest.mark.usefixtures("holder")
@pytest.mark.parametrize("where", ["flag", "environment", "file"])
def test_a_wait_in_vain_says_so_on_stderr(
    run: Run, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "TELL_AFTER", 0.0)
    flags = ("--lock-timeout", "0.02s") if where == "flag" else ()
    if where == "environment":
        monkeypatch.setenv("BATCHSPEC_LOCK_TIMEOUT", "0.02")
    if where == "file":
        (tmp_path / "batchspec.toml").write_text("lock_timeout = 0.02\n")
    ended = run("apply", "--simulate", "--auto-approve", *flags)
    assert ended.code == ExitCode.LOCKED
    assert "Waiting for at most 0.02 s. The state is locked by `watch`" in ended.err
    assert "Waited 0.02 s in vain." in ended.err
    assert "Waiting" not in ended.out


def test_apply_goes_on_when_the_lock_is_gone(
    run: Run, holder: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell(*_: object) -> None:
        holder.release()

    monkeypatch.setattr(waiting, "TELL_AFTER", 0.0)
    monkeypatch.setattr("batchspec.cli.views.progress.PlainProgress.warning", tell)
    assert run("apply", "--simulate", "--auto-approve", "--lock-timeout", "5m").code == 0


def test_unlock_wants_the_id_and_an_agreement(run: Run, holder: StateStore) -> None:
    wrong = run("unlock", "nobody-knows", "--simulate")
    assert (wrong.code, HOLDER in wrong.err) == (ExitCode.USAGE, True)
    assert run("unlock", HOLDER[:7], "--simulate", "--auto-approve").code == ExitCode.USAGE
    asked = run("unlock", HOLDER, "--simulate")
    assert asked.code == ExitCode.DECLINED
    assert "At work: watch on" in asked.err
    with holder.transaction():
        pass  # it still holds it


def test_unlock_stops_the_holder_at_its_next_write(run: Run, holder: StateStore) -> None:
    done = run("unlock", HOLDER[:8], "--simulate", "--auto-approve")
    assert (done.code, "Unlocked." in done.out) == (0, True)
    with pytest.raises(LockedError), holder.transaction():
        pass
    assert run("apply", "--simulate", "--auto-approve").code == 0
    again = run("unlock", HOLDER, "--simulate", "--json")
    assert (again.code, json.loads(again.out)["unlocked"]) == (0, None)


@pytest.mark.usefixtures("holder")
def test_unlock_tells_a_program_whose_lock_it_was(run: Run) -> None:
    done = run("unlock", HOLDER, "--simulate", "--auto-approve", "--json")
    assert json.loads(done.out)["unlocked"]["holder"] == HOLDER


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("90s", 90),
        ("5m", 300),
        ("1.5h", 5400),
        ("1h30m", 5400),
        ("2d", 172_800),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "m", "-5", "5 m", "5x", "1e3", "m5"])
@pytest.mark.usefixtures("holder")
def test_what_is_no_duration_is_told(run: Run, text: str) -> None:
    ended = run("apply", "--simulate", "--lock-timeout", text)
    assert ended.code == ExitCode.USAGE
    assert "no duration such as 30s, 5m or 1h" in ended.err


WRITERS = {"apply", "refresh", "cancel", "destroy", "import", "taint", "untaint", "state"}
LOOKERS = {"list", "show", "pull", "verify"}


@pytest.mark.parametrize("name", sorted(WRITERS & set(COMMANDS)))
def test_every_command_that_writes_can_wait(name: str) -> None:
    command = batchspec.get_command(click.Context(batchspec), name)
    assert command is not None
    commands = [command]
    if isinstance(command, click.Group):
        commands = [one for one in command.commands.values() if one.name not in LOOKERS]
    for one in commands:
        options = {option for parameter in one.params for option in parameter.opts}
        assert "--lock-timeout" in options, one.name
