"""Projects on disk that run against a live endpoint in another process."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from upstream import ROOT, UpstreamProcess

LONGEST = 90
"""Seconds after which a process counts as hanging."""
SPEC = """\
from batchspec import Job, rows

def questions():
    for n in range({rows}):
        yield {{"id": f"r{{n}}"}}

ask = Job(
    model="{model}",
    rows=rows.iterable(questions, key="id"),
    prompt="Say {{id}}.",
)
"""


@dataclass
class Folder:
    """A project in a folder, and `batchspec` as people run it."""

    path: Path
    variables: dict[str, str] = field(default_factory=dict)
    _runs: int = 0

    def write(self, name: str, text: str) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text)

    def live(self, server: UpstreamProcess, **more: object) -> None:
        """Configure a provider `laptop`."""
        values = {"type": "live", "base_url": server.base_url, "concurrency": 4, **more}
        lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
        self.write("batchspec.toml", "\n".join(["[providers.laptop]", *lines]))

    def ask(self, rows: int, model: str = "laptop:llama") -> None:
        """Write a spec with one job."""
        self.write("specs/m.py", SPEC.format(rows=rows, model=model))

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        self._runs += 1
        names = ("BATCHSPEC_", "OPENAI_")
        clean = {n: v for n, v in os.environ.items() if not n.startswith(names)}
        with (self.path / f"run-{self._runs}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "batchspec.cli", *arguments],
                cwd=self.path,
                env=clean | {"PYTHONPATH": str(ROOT)} | self.variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def run(self, *arguments: str) -> int:
        """Run a command to its end and return its exit code."""
        return self.end(self.start(*arguments))

    def end(self, process: "subprocess.Popen[bytes]") -> int:
        try:
            return process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"it hangs\n{self.said}") from None

    def apply(self, *arguments: str) -> int:
        return self.run("apply", "--auto-approve", *arguments)

    @property
    def said(self) -> str:
        """What the last command said."""
        return (self.path / f"run-{self._runs}.log").read_text()

    def results(self, *arguments: str, job: str = "m.ask") -> dict[str, Any]:
        """Return the outputs of a job by key."""
        assert self.run("results", job, "-o", "results.jsonl", *arguments) == 0, self.said
        lines = (self.path / "results.jsonl").read_bytes().splitlines()
        return {item["key"]: item["output"] for item in map(json.loads, lines)}

    def saved(self, provider: str = "laptop") -> int:
        """Return how many lines of open batches have a saved reply."""
        path = self.path / f"state/default/live/{provider}/simulator.db"
        if not path.exists():
            return 0
        connection = sqlite3.connect(path)
        try:
            return int(connection.execute("SELECT COUNT(*) FROM replies").fetchone()[0])
        except sqlite3.OperationalError:  # it is being made
            return 0
        finally:
            connection.close()


@pytest.fixture(scope="session")
def live_endpoint() -> Iterator[UpstreamProcess]:
    process = UpstreamProcess()
    process.start()
    yield process
    process.kill()


@pytest.fixture
def server(live_endpoint: UpstreamProcess) -> UpstreamProcess:
    """A live endpoint in another process, without rules; a test that kills it starts it again."""
    live_endpoint.reset()
    return live_endpoint


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def serve(folder: Folder) -> Iterator[Callable[..., str]]:
    """Starts a simulator as a server; returns its base URL."""
    processes: list[subprocess.Popen[str]] = []

    def begin(*options: str) -> str:
        command = [sys.executable, "-m", "batchspec.cli", "simulator", "serve", "--port", "0"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            [*command, *options, "--json"],
            cwd=folder.path,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        url: str = json.loads(process.stdout.readline())["base_url"]
        return url

    yield begin
    for process in processes:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=LONGEST)
