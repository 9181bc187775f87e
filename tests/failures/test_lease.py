"""One writer at a time, with real processes that are killed, stopped and woken."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from acceptance.rig import Server, environment
from worlds import World

from batchspec.apply import loop
from batchspec.cli.main import main
from batchspec.errors import ExitCode, LockedError, StateError
from batchspec.project import beating
from batchspec.store.reader import StateReader
from batchspec.store.sqlite import StateStore
from batchspec.store.verify import verify

STRUCK = """
import os, signal, sys
from batchspec.apply import run, world

where, how = sys.argv[1], getattr(signal, sys.argv[2])
commit = world.World.commit

async def struck(self, event):
    await commit(self, event)
    if type(event).__name__ == where:
        os.kill(os.getpid(), how)

world.World.commit = struck
run._WOKE_LATE = -1.0  # as if it had slept for long
from batchspec.cli.main import main
sys.exit(main(sys.argv[3:]))
"""
SPEC = """
from batchspec import Job, rows
j = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}, {"id": "b"}]), prompt="say {id}")
"""
CONFIGURATION = "poll_interval = 0.05\nmax_poll_interval = 0.1\nadopt_grace = 0\n"
APPLY = ("apply", "--auto-approve")


@dataclass
class Shop:
    """A project with a server of its own, and processes that work on it."""

    folder: Path
    server: Server
    started: "list[subprocess.Popen[str]]" = field(default_factory=list)

    @property
    def state(self) -> Path:
        return self.folder / "state" / "default"

    def start(self, *command: str) -> "subprocess.Popen[str]":
        url = f"http://127.0.0.1:{self.server.port}/v1"
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=self.folder,
            env=environment(OPENAI_API_KEY="x", OPENAI_BASE_URL=url),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def struck(self, where: str, how: str) -> "subprocess.Popen[str]":
        """Apply with a process that a signal strikes once an event is recorded."""
        process = self.start("-c", STRUCK, where, how, *APPLY)
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        if os.WIFSIGNALED(status):
            process.returncode = -os.WTERMSIG(status)
        assert os.WIFSTOPPED(status) or os.WIFSIGNALED(status), self.said(process)
        return process

    def said(self, process: "subprocess.Popen[str]") -> tuple[str, str]:
        return process.communicate(timeout=60)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start("-m", "batchspec.cli", *arguments)
        out, err = self.said(process)
        return process.returncode, out, err

    def recorded(self) -> list[str]:
        """Return everything the state says."""
        with StateReader(self.state) as reader:
            return list(reader.db.iterdump())

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
            process.wait()
        self.server.stop()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "m.py").write_text(SPEC)
    (tmp_path / "batchspec.toml").write_text(CONFIGURATION)
    server = Server(tmp_path / "server", ("--pace", "0"))
    server.start()
    shop = Shop(tmp_path, server)
    yield shop
    shop.end()


def test_failure_29_a_killed_apply_is_taken_over_at_once(shop: Shop) -> None:
    """SIGKILL in the middle; the next one waits for nobody and creates nothing."""
    killed = shop.struck("BatchSubmitted", "SIGKILL")
    assert killed.returncode == -signal.SIGKILL
    code, out, err = shop.run(*APPLY)
    assert code == 0, err
    assert "2 items succeeded" in out
    assert len(shop.server.batches()) == 1
    assert verify(shop.state) == []


@pytest.mark.parametrize("where", ["InputUploaded", "CreateAttempted"])
def test_failure_36_a_holder_that_wakes_up_late_writes_and_pays_nothing(
    shop: Shop, where: str
) -> None:
    """SIGSTOP, `unlock`, another apply to the end, SIGCONT: also between an intent and its POST."""
    stopped = shop.struck(where, "SIGSTOP")
    project = ("--project", str(shop.folder))
    second = StateStore(shop.state, time.time)
    with pytest.raises(LockedError, match=f"process {stopped.pid} on ") as locked:
        second.acquire("second", "apply")
    second.close()
    (lock,) = re.findall(r"batchspec unlock (\w+)", str(locked.value))
    assert main(["unlock", lock, "--auto-approve", *project]) == 0
    code, out, err = shop.run(*APPLY)
    assert (code, "2 items succeeded" in out) == (0, True), err
    before = shop.recorded()
    stopped.send_signal(signal.SIGCONT)
    _, err = shop.said(stopped)
    assert stopped.returncode == ExitCode.LOCKED, err
    assert "lost its lease" in err
    assert shop.recorded() == before
    assert len(shop.server.batches()) == 1
    assert verify(shop.state) == []


def test_an_interrupt_ends_the_waiting(shop: Shop) -> None:
    """Ctrl-C means stop, also where nothing was begun."""
    store = StateStore(shop.state, lambda: 1.8e9)
    store.initialise("lineage-1")
    store.acquire("held-by-the-test", "watch")
    waiting = shop.start("-m", "batchspec.cli", *APPLY, "--lock-timeout", "1h")
    assert waiting.stderr is not None
    lines = iter(waiting.stderr.readline, "")
    assert any("Waiting for at most 3600 s. The state is locked by `watch`" in li for li in lines)
    waiting.send_signal(signal.SIGINT)
    assert waiting.wait(60) == ExitCode.INTERRUPTED
    store.close()


def test_readers_are_not_held_up_by_a_writer(world: World) -> None:
    """A transaction that takes long: looking and planning go on beside it."""
    world.job("a")
    world.apply()
    world.job("a", "b")
    writer = world.project()
    with writer.leased("apply") as store, store.transaction() as db, world.open() as project:
        db.execute("UPDATE jobs SET address = 'half.done'")
        assert [job.address for job in project.status().jobs] == ["m.j"]
        assert [item.text for item in project.results("m.j")] == ["SAY A"]
        assert project.plan(whole=False).requests == 1
        db.execute("UPDATE jobs SET address = 'm.j'")


def test_a_loop_whose_heartbeat_fails_ends_and_the_next_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others could take over a holder that is not heard of: it must not go on silently."""

    def full(_: StateStore) -> None:
        raise StateError("The disk is full.")

    world.job("a")
    with monkeypatch.context() as broken:
        broken.setattr(loop, "HEARTBEAT", 0.0)
        broken.setattr(StateStore, "renew", full)
        with pytest.raises(StateError, match="disk is full"):
            world.apply()
    world.apply()
    assert world.created <= 1
    assert world.texts() == {"a": "SAY A"}


def test_work_by_hand_outlives_its_heartbeat_but_not_its_lease(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fence is what protects; a heartbeat that fails only says that we may be thought dead."""
    monkeypatch.setattr(beating, "HEARTBEAT", 0.0)
    world.job("a")
    world.apply()

    def lost(_: StateStore) -> None:
        raise LockedError("lost")

    with monkeypatch.context() as broken:
        broken.setattr(StateStore, "renew", lost)
        with world.project().leased("state mv") as store:
            with store.transaction():
                pass
            with store.reader() as reader:
                held = reader.lease()
            assert held is not None
            world.project().unlock(held)
            with pytest.raises(LockedError, match="lost its lease"), store.transaction():
                pass
