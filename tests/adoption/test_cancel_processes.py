"""`cancel` with real processes that are killed in the middle of it."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from acceptance.proxy import Proxy, Trap
from acceptance.rig import Server, environment

from batchspec.errors import ExitCode

SPEC = """
from batchspec import Job, rows
j = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}, {"id": "b"}]), prompt="say {id}")
"""


@dataclass
class Place:
    """A project on disk, a server and a proxy between them."""

    folder: Path
    server: Server
    proxy: Proxy

    def start(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "batchspec.cli", *arguments],
            cwd=self.folder,
            env=environment(
                OPENAI_API_KEY="none",
                OPENAI_BASE_URL=self.proxy.base_url,
                BATCHSPEC_POLL_INTERVAL="0.2",
            ),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        process = self.start(*arguments)
        said, _ = process.communicate(timeout=90)
        return process.returncode, said

    def killed(self, trap: Trap, *arguments: str) -> None:
        """Run a command that is killed when a request springs a trap."""
        self.proxy.trap = trap
        process = self.start(*arguments)
        trap.action = process.kill
        said, _ = process.communicate(timeout=90)
        assert process.returncode == -signal.SIGKILL, said
        assert trap.sprung.wait(10)
        self.proxy.wait_until_idle()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "m.py").write_text(SPEC)
    server = Server(tmp_path / "server", ("--pace", "1000"))
    proxy = Proxy(server.start())
    yield Place(tmp_path, server, proxy)
    proxy.close()
    server.stop()


def test_killed_before_and_after_the_call(place: Place) -> None:
    """The next run cancels, once, and reads what there is."""
    place.run("apply", "--auto-approve", "--detach")
    command = ("cancel", "m.j", "--auto-approve")
    place.killed(Trap("cancel", "before"), *command)
    assert [b["status"] for b in place.server.batches()] == ["validating"]
    place.killed(Trap("cancel", "after"), *command)
    assert [b["status"] for b in place.server.batches()] == ["cancelling"]
    place.server.run_at(100_000)
    code, said = place.run(*command)
    assert code == ExitCode.DONE, said
    assert [b["status"] for b in place.server.batches()] == ["cancelled"]
    assert place.proxy.counts["create"] == place.proxy.counts["cancel"] == 1
    code, said = place.run("plan", "--json")
    (job,) = json.loads(said)["jobs"]
    assert [reason["code"] for reason in job["reasons"]] == ["CANCELLED"], said


def test_it_asks(place: Place) -> None:
    place.run("apply", "--auto-approve", "--detach")
    code, said = place.run("cancel", "m.j")
    assert code == ExitCode.DECLINED
    assert "m.j: 2 in batches" in said
    assert "will be cancelled; what it has answered by then is billed and kept" in said
    assert "Nobody is there to agree" in said
    ours, theirs = pty.openpty()
    process = place.start("cancel", "m.j", "--detach", stdin=theirs)
    os.write(ours, b"no\n")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == ExitCode.DECLINED, said
    assert "Declined; nothing was stopped." in said
    process = place.start("cancel", "m.j", "--detach", stdin=theirs)
    os.write(ours, b"yes\n")
    said, _ = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == ExitCode.IN_PROGRESS, said
    assert "1 batch is still ending" in said
    assert "Next: batchspec apply" in said
