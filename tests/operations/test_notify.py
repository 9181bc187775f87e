"""What systemd hears of a real process: sd_notify(3) over a real datagram socket."""

import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.watch.rig import Watcher, project

_LONGEST = 60


class Manager:
    """The side of systemd: a socket, and what came in at it."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(_LONGEST)
        self.heard: list[str] = []

    def wait_for(self, wanted: Callable[[str], bool]) -> list[str]:
        """Return what came until something that is wanted, which is the last."""
        new: list[str] = []
        until = time.monotonic() + _LONGEST
        while time.monotonic() < until:
            new.append(self._socket.recv(4096).decode())
            self.heard.append(new[-1])
            if wanted(new[-1]):
                return new
        raise AssertionError(new)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "n"))
    manager = Manager(tmp_path / "n")
    yield manager
    manager.close()


def test_the_life_of_a_service(tmp_path: Path, manager: Manager) -> None:
    root = tmp_path
    project(root)
    watcher = Watcher(root, "--approve=all", BATCHSPEC_HEALTH_TIMEOUT="2")
    # At once: specs that do not load are no reason to start the process anew.
    (first, *_) = manager.wait_for("READY=1".__eq__)
    assert first == "READY=1"
    manager.wait_for(lambda said: said.startswith("STATUS=Not ready; engine: none runs; lease: "))
    manager.wait_for("STATUS=Ready".__eq__)
    manager.wait_for("WATCHDOG=1".__eq__)
    # `systemctl reload` waits until it is known whether the specs load.
    watcher.signal(signal.SIGHUP)
    (*_, began) = manager.wait_for(lambda said: said.startswith("RELOADING=1"))
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=[1-9]\d*", began)
    manager.wait_for("READY=1".__eq__)
    # So it does where they do not.
    (root / "shared.py").write_text("PROMPT = (\n")
    said = "STATUS=Ready; specs: The specs do not load; what was in force stays in force."
    manager.wait_for(lambda one: one.startswith(said))
    watcher.signal(signal.SIGHUP)
    manager.wait_for(lambda said: said.startswith("RELOADING=1"))
    manager.wait_for("READY=1".__eq__)
    # An engine that hangs gets the watchdog no further sign of life.
    manager.wait_for(lambda _: len(watcher.engines()) == 1)
    (engine,) = watcher.engines()
    os.kill(engine, signal.SIGSTOP)
    manager.wait_for("STATUS=Not ready; engine".__eq__)
    os.kill(engine, signal.SIGCONT)
    assert "WATCHDOG=1" not in manager.wait_for(lambda one: one.startswith(said))
    watcher.signal(signal.SIGTERM)
    manager.wait_for("STOPPING=1".__eq__)
    assert watcher.end()[0] == 128 + signal.SIGTERM
