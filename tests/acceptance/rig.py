"""Real processes: the server, a project on disk, and `batchspec apply` as people run it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from urllib.request import Request, urlopen

from sweep.forks import Forked, Forks

from acceptance.proxy import Proxy, Trap

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
_COMMAND = [sys.executable, "-m", "batchspec.cli"]
_LONGEST = 90
"""Seconds after which a process counts as hanging."""


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment without a word about providers."""
    clean = {n: v for n, v in os.environ.items() if not n.startswith(("BATCHSPEC_", "OPENAI_"))}
    return clean | {"PYTHONPATH": str(ROOT)} | more


@dataclass
class Server:
    """`batchspec simulator serve` as a process of its own, which can die and come back."""

    directory: Path
    options: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    deaths: int = 0

    def start(self) -> int:
        """Start, and return the port."""
        serve = ["simulator", "serve", "--port", "0", "--directory", str(self.directory)]
        self._process = subprocess.Popen(
            [*_COMMAND, *serve, *self.options],
            env=environment(**self.variables),
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        said = self._process.stderr.readline()
        assert said.startswith("listening on "), said + self._process.stderr.read()
        self.port = int(said.split(";")[0].rsplit(":", 1)[1].split("/")[0])
        return self.port

    def die(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._end()
        self.deaths += 1

    def stop(self) -> None:
        """Ask it to end, and see that it had nothing to complain about."""
        self._process.terminate()
        said = self._end()
        assert "Traceback" not in said, said
        assert "bug" not in said, said

    def _end(self) -> str:
        try:
            return self._process.communicate(timeout=_LONGEST)[1]
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise

    def run_at(self, speed: float) -> None:
        """Let the server's clock run at another speed until it dies."""
        url, body = f"http://127.0.0.1:{self.port}/admin/clock", json.dumps({"speed": speed})
        call = Request(url, body.encode(), {"content-type": "application/json"})
        urlopen(call, timeout=30).close()

    def get(self, path: str) -> bytes:
        url, key = f"http://127.0.0.1:{self.port}/v1/{path}", {"authorization": "Bearer x"}
        with urlopen(Request(url, headers=key), timeout=30) as answer:
            content: bytes = answer.read()
            return content

    def batches(self) -> list[dict[str, Any]]:
        """Return every batch there ever was."""
        page = json.loads(self.get("batches?limit=100"))
        assert not page["has_more"]
        found: list[dict[str, Any]] = page["data"]
        return found


@dataclass(frozen=True)
class Executed:
    """What the server's own files say was executed.

    Attributes:
        batches: How many there were.
        lines: Lines with an answer or an error, by custom_id.
        bodies: The same, by the digest of the request; empty if the uploads were not seen.
    """

    batches: int
    lines: Counter[str]
    bodies: Counter[str]

    @property
    def total(self) -> int:
        return self.lines.total()

    @property
    def doubled(self) -> int:
        most = max(self.lines, self.bodies, key=lambda c: c.total() - len(c))
        return most.total() - len(most)


def executed(server: Server, uploads: dict[str, dict[str, str]] | None = None) -> Executed:
    """Read the result files of all batches."""
    lines: Counter[str] = Counter()
    bodies: Counter[str] = Counter()
    batches = server.batches()
    for batch in batches:
        assert batch["status"] == "completed", batch
        for file in (batch["output_file_id"], batch["error_file_id"]):
            for line in server.get(f"files/{file}/content").splitlines() if file else ():
                key = json.loads(line)["custom_id"]
                lines[key] += 1
                if uploads is not None:
                    bodies[uploads[batch["input_file_id"]][key]] += 1
    return Executed(len(batches), lines, bodies)


@dataclass
class ProjectOnDisk:
    """A copy of one of `projects/`, with its data beside it.

    Attributes:
        name: Of the folder in `projects/`.
        address: Of the job whose results are looked at.
        folder: Where the copy is.
        forks: Starts its commands: processes of their own, which need not import everything again.
        variables: Of their environment.
        simulate: Whether the server is in the process.
        kills: How often a command was killed.
    """

    name: str
    address: str
    folder: Path
    forks: Forks
    variables: dict[str, str] = field(default_factory=dict)
    simulate: bool = False
    kills: int = 0
    _runs: int = 0

    def __post_init__(self) -> None:
        shutil.copytree(HERE / "projects" / self.name, self.folder)
        shutil.copy(HERE / "projects" / "dying.py", self.folder)
        (self.folder / "data").mkdir()

    def start(self, *arguments: str, **more: str) -> Forked:
        """Start a command; what it says goes into a file."""
        self._runs += 1
        flags = ["--simulate"] if self.simulate else []
        log = self.folder / f"run-{self._runs:02}.log"
        env = environment(**self.variables, **more)
        return self.forks.start(*arguments, *flags, cwd=self.folder, log=log, env=env)

    def run(self, *arguments: str, **more: str) -> int:
        """Run a command to its end and return its exit code."""
        return self._end(self.start(*arguments, **more))

    def _end(self, process: Forked) -> int:
        try:
            return process.wait(_LONGEST)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it hangs\n{self.said()}") from None

    def apply(self) -> None:
        """Apply to the end."""
        code = self.run("apply", "--auto-approve")
        assert code == 0, f"exit code {code}\n{self.said()}"

    def apply_and_die(self, place: str) -> None:
        """Apply with a process that kills itself at a place of the project's own code."""
        code = self.run("apply", "--auto-approve", DIE_AT=place)
        assert code == -signal.SIGKILL, f"{place} was not reached: {code}\n{self.said()}"
        self.kills += 1

    def apply_and_kill(self, proxy: Proxy, trap: Trap, *options: str) -> None:
        """Apply until a request springs the trap, which kills the process."""
        started = SimpleQueue[Forked]()
        trap.action = lambda: started.get().kill()
        proxy.trap = trap
        started.put(process := self.start("apply", "--auto-approve", *options))
        code = self._end(process)
        assert code == -signal.SIGKILL, f"{trap} was not reached: {code}\n{self.said()}"
        assert trap.sprung.wait(10)
        proxy.wait_until_idle()
        self.kills += 1

    def apply_through(self, proxy: Proxy, trap: Trap) -> None:
        """Apply to the end, though a request springs a trap that does not kill the process."""
        proxy.trap = trap
        self.apply()
        assert trap.sprung.is_set(), f"{trap} was not reached\n{self.said()}"

    def said(self) -> str:
        """Return what the last command said."""
        return (self.folder / f"run-{self._runs:02}.log").read_text(encoding="utf-8")

    def results(self, address: str | None = None) -> list[dict[str, Any]]:
        """Export the results of a job."""
        file = self.folder / "results.jsonl"
        code = self.run("results", address or self.address, "-o", str(file))
        assert code == 0, self.said()
        return [json.loads(line) for line in file.read_bytes().splitlines()]
