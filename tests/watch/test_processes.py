"""`batchspec watch` as people run it: real processes, files that change, real signals."""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
from acceptance.rig import Server, environment

from batchspec.project import Project
from batchspec.project.pending import Pending

_LONGEST = 60
_SPEC = """
from shared import PROMPT
from batchspec import Job, rows
j = Job(model="openai:gpt-5-mini", rows=rows.jsonl("data/rows.jsonl"), prompt=PROMPT)
"""


class Watcher:
    """`batchspec watch --simulate --json`, read line by line."""

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

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the next line that is wanted."""
        assert self._process.stdout is not None
        timer = Timer(_LONGEST, self._process.kill)
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

    def collected(self) -> None:
        self.wait_for(lambda line: line["type"] == "batch_collected")

    def told(
        self, port: int, path: str, wanted: Callable[[dict[str, Any]], bool]
    ) -> tuple[int, dict[str, Any]]:
        """Ask over HTTP until the checks are as wanted; returns the status and the checks."""
        until = time.monotonic() + _LONGEST
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
            _, said = self._process.communicate(timeout=_LONGEST)
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


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("specs", "data"):
        (tmp_path / folder).mkdir()
    (tmp_path / "shared.py").write_text('PROMPT = "say {id}"\n')
    (tmp_path / "specs" / "m.py").write_text(_SPEC)
    rows(tmp_path, "a", "b")
    return tmp_path


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


def test_a_day_of_a_watcher(root: Path) -> None:
    watcher = Watcher(root, "--approve=all")
    watcher.collected()
    assert keys(root) == {"a": "succeeded", "b": "succeeded"}
    # Data grows: the same engine plans it.
    (engine,) = watcher.engines()
    rows(root, "a", "b", "c")
    watcher.collected()
    assert watcher.engines() == [engine]
    # A module changes that a spec imports: a fresh interpreter.
    (root / "shared.py").write_text('PROMPT = "shout {id}"\n')
    watcher.collected()
    assert watcher.engines() != [engine]
    assert all("shout" in prompt for prompt in prompts(root))
    # A spec that does not load changes nothing; the data goes on.
    (root / "specs" / "m.py").write_text(_SPEC + "x = (")
    said = watcher.condition("SpecLoaded", "False")
    assert "specs/m.py:5" in said["message"]
    assert len(keys(root)) == 3
    rows(root, "a", "b", "c", "d")
    watcher.collected()
    assert len(keys(root)) == 4
    # An engine that is killed is succeeded by another one.
    (root / "specs" / "m.py").write_text(_SPEC)
    watcher.condition("SpecLoaded", "True")
    (engine,) = watcher.engines()
    os.kill(engine, signal.SIGKILL)
    rows(root, "a", "b", "c", "d", "e")
    watcher.collected()
    assert keys(root) == dict.fromkeys("abcde", "succeeded")
    watcher.signal(signal.SIGTERM)
    code, complaints = watcher.end()
    assert code == 128 + signal.SIGTERM
    assert "Traceback" not in complaints
    assert watcher.engines() == []


def test_consent_is_given_in_another_terminal(root: Path) -> None:
    watcher = Watcher(root)
    said = watcher.condition("Consented", "False")
    (saved,) = Pending(root / "state" / "simulation")
    assert saved.plan.id in said["message"]
    approve = [sys.executable, "-m", "batchspec.cli", "approve", "--simulate", saved.plan.id[:8]]
    subprocess.run(approve, cwd=root, env=environment(), check=True, capture_output=True)
    watcher.collected()
    watcher.condition("Consented", "True")
    watcher.signal(signal.SIGINT)
    assert watcher.end()[0] == 128 + signal.SIGINT
    assert keys(root) == {"a": "succeeded", "b": "succeeded"}


def test_a_watcher_that_is_killed_leaves_no_engine_and_the_next_one_goes_on(root: Path) -> None:
    first = Watcher(root, "--approve=all")
    first.collected()
    first.signal(signal.SIGKILL)
    first.end()
    rows(root, "a", "b", "c")
    second = Watcher(root, "--approve=all")
    second.collected()
    assert len(keys(root)) == 3
    second.signal(signal.SIGTERM)
    assert second.end()[0] == 128 + signal.SIGTERM


def test_a_standby_an_engine_that_hangs_and_a_drain_are_told_over_http(root: Path) -> None:
    variables = {"BATCHSPEC_HEALTH_TIMEOUT": "3"}
    first = Watcher(root, "--approve=all", **variables)
    first.collected()
    port = free_port()
    second = Watcher(root, "--approve=all", f"--listen={port}", **variables)
    assert second.told(port, "/readyz", lambda checks: checks["lease"]["ok"] is False)[0] == 503
    assert second.told(port, "/livez", lambda checks: "engine" in checks)[0] == 200
    first.signal(signal.SIGTERM)
    first.end()
    assert second.told(port, "/readyz", lambda checks: checks["lease"]["ok"])[0] == 200
    (engine,) = second.engines()
    os.kill(engine, signal.SIGSTOP)
    assert second.told(port, "/livez", lambda checks: not checks["engine"]["ok"])[0] == 503
    os.kill(engine, signal.SIGCONT)
    assert second.told(port, "/livez", lambda checks: checks["engine"]["ok"])[0] == 200
    second.signal(signal.SIGTERM)
    assert second.end()[0] == 128 + signal.SIGTERM


def test_lines_say_what_they_belong_to(root: Path) -> None:
    watcher = Watcher(root, "--approve=all")
    granted = watcher.wait_for(lambda line: line["type"] == "plan_granted")
    watcher.collected()
    line = watcher.lines[-1]
    assert line["plan"] == granted["plan"] == granted["event"]["plan"]
    assert line["batch"] == line["event"]["id"]
    assert line["reconcile"] == granted["reconcile"]
    watcher.condition("Converged", "True")
    assert watcher.lines[-1]["job"] == "m.j"
    watcher.signal(signal.SIGTERM)
    watcher.end()
    assert not [line for line in watcher.lines if "format_version" in line and "job" in line]
    types = {line["type"] for line in watcher.lines} - {"condition_changed", "plan_granted"}
    rows(root, "a", "b", "z")
    command = [sys.executable, "-m", "batchspec.cli", "apply", "--simulate"]
    applied = subprocess.run(
        [*command, "--auto-approve", "--json"],
        check=True,
        cwd=root,
        env=environment(),
        capture_output=True,
    )
    lines = [json.loads(text) for text in applied.stdout.splitlines()]
    assert {"batch_collected", "batch_submitted"} <= types
    assert types - {"watch_began", "log"} <= {line["type"] for line in lines}
    (collected,) = [one for one in lines if one["type"] == "batch_collected"]
    assert collected.keys() == line.keys()


def test_people_read_lines_with_the_time_and_the_round(root: Path) -> None:
    command = [sys.executable, "-m", "batchspec.cli", "watch", "--simulate", "--approve=all"]
    process = subprocess.Popen(
        command, cwd=root, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    timer = Timer(_LONGEST, process.kill)
    timer.start()
    assert process.stderr is not None
    lines: list[str] = []
    for line in process.stderr:
        lines.append(line.decode())
        if "collected" in lines[-1]:
            break
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate()
    timer.cancel()
    form = r"\d{4}-\d\d-\d\dT[\d:.]+Z [0-9a-f]{8} Batch batch_\w+ collected: 2 items final.\n"
    assert re.fullmatch(form, lines[-1]), lines
    assert not out


def test_a_webhook_wakes_it_long_before_it_would_have_looked(root: Path, tmp_path: Path) -> None:
    port = free_port()
    secret = {"OPENAI_WEBHOOK_SECRET": "whsec_" + base64.b64encode(b"k" * 24).decode()}
    url = f"http://127.0.0.1:{port}/webhooks/openai"
    server = Server(tmp_path / "server", ("--webhook", url, "--pace", "0.05"), secret)
    provider = f"http://127.0.0.1:{server.start()}/v1"
    watcher = Watcher(
        root,
        "--approve=all",
        "--max-cost=1",
        f"--listen={port}",
        OPENAI_BASE_URL=provider,
        OPENAI_API_KEY="test",
        BATCHSPEC_POLL_INTERVAL="600",
        **secret,
    )
    watcher.collected()
    with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
        assert json.load(answer)["ok"]
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        served = answer.read().decode()
        assert 'batchspec_events_total{kind="BatchCollected"} 1.0' in served
        assert 'batchspec_webhooks_total{provider="openai",result="accepted"} 1.0' in served
        assert 'batchspec_engines_total{what="started"} 1.0' in served
        assert "batchspec_leads 1.0" in served
    forged = Request(url, b'{"type": "batch.completed", "data": {"id": "batch_1"}}')
    with pytest.raises(HTTPError, match="400"):
        urlopen(forged, timeout=10)
    watcher.signal(signal.SIGTERM)
    assert watcher.end()[0] == 128 + signal.SIGTERM
    server.stop()
