"""Where a soak plays: a project on disk, a provider in a process of its own, and who watches."""

import base64
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acceptance.proxy import Proxy
from acceptance.rig import Server, environment
from watch.rig import free_port

from soak.services import LONGEST, MARK, Gauge, Ran, Service, run, send
from soak.wanted import ANSWERS, Wanted

ALL = ["--approve=all", "--max-cost=1000", "--prune"]
TURNS = ["--approve=turns"]
SECRET = b"k" * 24
SAMPLED = 1.0
"""Seconds between two looks at what processes use."""


@dataclass(order=True)
class Later:
    """What is to be done at a moment."""

    due: float
    name: str
    do: Callable[[], None] = field(compare=False)


class Stage:
    """The processes and files of one soak.

    Args:
        folder: An empty one.

    Attributes:
        main: The watcher that is expected to lead.
        wanted: What the files should say once everything is written.
        later: What was begun and is still to be ended.
        done: How often what was done.
        codes: How often processes ended with which code, by what they were.
        gauges: What each watcher and engine used, by pid.
        services: All watchers there ever were.
        batches: The status of each batch that the provider has.
        answered: How often each request was answered, by its custom_id: the same request has the
            same.
    """

    main: Service

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        for name in ("specs", "data", "notes"):
            (self.root / name).mkdir(parents=True)
        (self.root / "answers.py").write_text(ANSWERS)
        self.wanted = Wanted()
        self.later: list[Later] = []
        self.done = Counter[str]()
        self.codes = Counter[str]()
        self.gauges: dict[int, Gauge] = {}
        self.services: list[Service] = []
        self.batches: dict[str, str] = {}
        self.answered = Counter[str]()
        self.options = ALL
        self.mark = str(folder)
        self.frozen: list[int] = []
        self._sampled = 0.0
        self._read: set[str] = set()
        secret = {"OPENAI_WEBHOOK_SECRET": "whsec_" + base64.b64encode(SECRET).decode()}
        self.port = free_port()
        url = f"http://127.0.0.1:{self.port}/webhooks/openai"
        answers = f"{self.root / 'answers.py'}:answer"
        options = ("--webhook", url, "--pace", "0.15", "--answers", answers)
        self.server = Server(folder / "provider", options, secret | {MARK: self.mark})
        self.proxy = Proxy(self.server.start())
        self.variables = environment(
            OPENAI_BASE_URL=self.proxy.base_url,
            OPENAI_API_KEY="test",
            BATCHSPEC_POLL_INTERVAL="1",
            BATCHSPEC_MAX_POLL_INTERVAL="4",
            BATCHSPEC_ADOPT_GRACE="5",
            **secret,
            **{MARK: self.mark},
        )

    @property
    def state(self) -> Path:
        return self.root / "state" / "default"

    # --- watchers

    def watch(self) -> None:
        """Start the watcher that is to lead."""
        self.main = self.another(self.port)
        self.done[f"watch {self.options[0]}"] += 1

    def another(self, port: int) -> Service:
        """Start a watcher."""
        service = Service(self.root, port, self.options, self.variables)
        self.services.append(service)
        # From then on it knows what to do with signals.
        wait_until(lambda: bool(service.engines()) or not service.lives, "no engine is started")
        return service

    def ended(self, service: Service, how: signal.Signals) -> None:
        """See a watcher end after a signal, with the code that belongs to it."""
        code = service.end()
        expected = -how if how == signal.SIGKILL else 128 + how
        self.codes[f"watch, {how.name}: {code}"] += 1
        assert code == expected, (how, code, list(service.last))

    def freeze(self, pids: list[int]) -> None:
        """Let processes stand still."""
        self.frozen += pids
        send(pids, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let all go on that stand still."""
        pids, self.frozen = self.frozen, []
        send(pids, signal.SIGCONT)

    # --- commands

    def run(self, *arguments: str, codes: set[int]) -> Ran:
        """Run a command beside, which has to end with one of these codes, and not by a bug."""
        ran = run(self.root, self.variables, *arguments)
        self.done[f"batchspec {arguments[0]}"] += 1
        self.codes[f"{arguments[0]}: {ran.code}"] += 1
        assert ran.code in codes, (arguments, ran)
        assert "Traceback" not in ran.complained, ran.complained
        return ran

    def read_lines(self) -> None:
        """Read in the provider's own files what was answered, of batches that have ended."""
        after = ""
        while True:
            page = json.loads(self.server.get(f"batches?limit=100{after}"))
            for batch in page["data"]:
                self.batches[batch["id"]] = batch["status"]
                if batch["id"] not in self._read and batch["status"] in {"completed", "cancelled"}:
                    self._read.add(batch["id"])
                    self._count(batch)
            if not page["has_more"]:
                return
            after = f"&after={page['last_id']}"

    def _count(self, batch: dict[str, Any]) -> None:
        for file in filter(None, (batch["output_file_id"], batch["error_file_id"])):
            for text in self.server.get(f"files/{file}/content").splitlines():
                line = json.loads(text)
                if (line["response"] or {}).get("status_code") == 200:
                    self.answered[line["custom_id"]] += 1

    # --- time

    def wait(self, seconds: float) -> None:
        """Let time pass: do what is due, and look at what processes use."""
        until = time.monotonic() + seconds
        while True:
            self.catch_up()
            left = until - time.monotonic()
            if left <= 0:
                return
            self.main.wait_for("nothing", 0, min(left, 0.1))

    def until_told(self, kind: str) -> None:
        """Let time pass until the watcher that leads has said another line of a type."""
        service, until = self.main, time.monotonic() + LONGEST
        while not service.wait_for(kind, service.heard[kind], 0.1):
            assert time.monotonic() < until, (kind, list(service.last))
            self.catch_up()
        service.heard[kind] = service.types[kind]

    def catch_up(self) -> None:
        """Do what is due, and look at processes if it is time."""
        now = time.monotonic()
        for one in sorted(self.later):
            if one.due <= now:
                self.later.remove(one)
                one.do()
        if now - self._sampled >= SAMPLED:
            self._sampled = now
            self._sample()

    def soon(self, seconds: float, name: str, do: Callable[[], None]) -> None:
        """Do something in some seconds."""
        self.later.append(Later(time.monotonic() + seconds, name, do))

    def finish(self, name: str | None = None) -> None:
        """Do now what was to be done later; of one kind, or everything."""
        for one in sorted(self.later):
            if name in {None, one.name}:
                self.later.remove(one)
                one.do()

    def begun(self, name: str) -> bool:
        """Tell whether something of a kind is still to be ended."""
        return any(one.name == name for one in self.later)

    def _sample(self) -> None:
        for service in self.services:
            if service.lives:
                self.gauges.setdefault(service.pid, Gauge("watcher")).sample(service.pid)
                for pid in service.engines():
                    self.gauges.setdefault(pid, Gauge("engine")).sample(pid)

    # --- the end

    def close(self) -> None:
        """End what still runs."""
        self.thaw()
        for service in self.services:
            if service.lives:
                service.signal(signal.SIGKILL)
                service.end()
        self.proxy.close()
        self.server.die()


def wait_until(true: Callable[[], bool], what: str, timeout: float = LONGEST) -> None:
    """Wait until something is so, of which nobody tells."""
    until = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < until, what
        time.sleep(0.1)


def readable_by_others(folder: Path) -> list[str]:
    """Return the files that others than their owner can read."""
    found: list[str] = []
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place) / name
            if not path.is_symlink() and path.stat().st_mode & 0o077:
                found.append(str(path))
    return found
