"""`batchspec watch` as people run it: a real process, read line by line."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import Any, ClassVar
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from acceptance.rig import environment

from batchspec.project import Project

LONGEST = 60
SPEC = """
from shared import PROMPT
from batchspec import Job, rows
j = Job(model="openai:gpt-5-mini", rows=rows.jsonl("data/rows.jsonl"), prompt=PROMPT)
"""


def project(root: Path) -> None:
    """Write a project with a job of two rows, whose prompt is in a module of the project."""
    for folder in ("specs", "data"):
        (root / folder).mkdir()
    (root / "shared.py").write_text('PROMPT = "say {id}"\n')
    (root / "specs" / "m.py").write_text(SPEC)
    rows(root, "a", "b")


class Watcher:
    """`batchspec watch --simulate --json`, read line by line."""

    started: ClassVar[list["Watcher"]] = []

    def __init__(self, root: Path, *options: str, **variables: str) -> None:
        self.root = root
        self.lines: list[dict[str, Any]] = []
        where = [] if "OPENAI_BASE_URL" in variables else ["--simulate"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "batchspec.cli", "watch", "--json", *where, *options],
            cwd=root,
            env=environment(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.started.append(self)

    def kill(self) -> None:
        """End what is left of it, with its engines."""
        if self._process.poll() is not None:
            return
        for engine in self.engines():
            with suppress(ProcessLookupError):
                os.killpg(engine, signal.SIGKILL)
        self._process.kill()
        self._process.communicate()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the next line that is wanted."""
        assert self._process.stdout is not None
        timer = Timer(LONGEST, self._process.kill)
        timer.start()
        try:
            for line in self._process.stdout:
                self.lines.append(json.loads(line))
                if wanted(self.lines[-1]):
                    return self.lines[-1]
        finally:
            timer.cancel()
        raise AssertionError(self.lines, self.end())

    def condition(self, kind: str, status: str) -> dict[str, Any]:
        """Return the next condition of a kind that has a status."""

        def wanted(line: dict[str, Any]) -> bool:
            said = line.get("event", {})
            return line["type"] == "condition_changed" and (said["type"], said["status"]) == (
                kind,
                status,
            )

        event: dict[str, Any] = self.wait_for(wanted)["event"]
        return event

    def warning(self, words: str) -> str:
        """Return the next warning with some words in it."""

        def wanted(line: dict[str, Any]) -> bool:
            return line["type"] == "log" and words in line["@message"]

        message: str = self.wait_for(wanted)["@message"]
        return message

    def until(self, so: Callable[[], bool]) -> None:
        """Wait for something that is no line."""
        until = time.monotonic() + LONGEST
        while not so():
            if time.monotonic() > until:
                self._process.kill()
                raise AssertionError(self.end())
            time.sleep(0.05)

    def collected(self) -> None:
        self.wait_for(lambda line: line["type"] == "batch_collected")

    def told(
        self, port: int, path: str, wanted: Callable[[dict[str, Any]], bool]
    ) -> tuple[int, dict[str, Any]]:
        """Ask over HTTP until the checks are as wanted; returns the status and the checks."""
        until = time.monotonic() + LONGEST
        while time.monotonic() < until:
            with suppress(URLError, ConnectionError):
                status, checks = _asked(f"http://127.0.0.1:{port}{path}")
                if wanted(checks):
                    return status, checks
            time.sleep(0.05)
        self._process.kill()
        raise AssertionError(self.end())

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self) -> tuple[int, str]:
        """Wait for the end; returns the exit code and what was said to people."""
        try:
            _, said = self._process.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        return self._process.returncode, said.decode()

    def engines(self) -> list[int]:
        """Return the processes of its engines."""
        found: list[int] = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError, IndexError):
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(stat[1]) == self.pid and stat[0] != "Z":
                    found.append(int(entry.name))
        return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def _asked(url: str) -> tuple[int, dict[str, Any]]:
    try:
        with urlopen(url, timeout=10) as answer:
            return answer.status, json.load(answer)["checks"]
    except HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)["checks"]


def rows(root: Path, *keys: str) -> None:
    text = "".join(json.dumps({"id": key}) + "\n" for key in keys)
    (root / "data" / "rows.jsonl").write_text(text)


def keys(root: Path) -> dict[str, str | None]:
    with Project(root, simulate=True) as project:
        return {item.key: item.outcome for item in project.results("m.j")}


def prompts(root: Path) -> set[str]:
    with Project(root, simulate=True) as project:
        told = [project.turns(f'm.j["{key}"]')[-1].request for key in keys(root)]
    return {str(request) for request in told}
