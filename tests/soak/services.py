"""Processes of a soak: watchers that are read all the time, and commands beside them."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

COMMAND = [sys.executable, "-m", "batchspec.cli"]
LONGEST = 90.0
"""Seconds after which something hangs."""
MARK = "SOAK_MARK"
"""The variable by which processes of a soak, and theirs, are known."""


class Service:
    """`batchspec watch --json` with health, as a process whose lines are read as they come."""

    def __init__(
        self, root: Path, port: int, options: list[str], variables: dict[str, str]
    ) -> None:
        self.port = port
        self.last = deque[str](maxlen=60)
        """What it said last."""
        self.types = Counter[str]()
        """Lines it said, by type."""
        self.heard = Counter[str]()
        """Those of them that were waited for."""
        self.minutes = Counter[int]()
        """Lines it said, by minute of its life."""
        self.complaints: list[str] = []
        """What it said on stderr."""
        self.began = self.said = time.monotonic()
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            [*COMMAND, "watch", "--json", f"--listen={port}", *options],
            cwd=root,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read, args=(self._process.stdout, True)),
            threading.Thread(target=self._read, args=(self._process.stderr, False)),
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[str], events: bool) -> None:
        for line in stream:
            with self._news:
                self.said = time.monotonic()
                self.last.append(line.rstrip())
                self.minutes[int((time.monotonic() - self.began) // 60)] += 1
                if events:
                    self.types[json.loads(line)["type"]] += 1
                else:
                    self.complaints.append(line)
                self._news.notify_all()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    def wait_for(self, kind: str, more_than: int, timeout: float = LONGEST) -> bool:
        """Wait until it has said more lines of a type than so many."""
        with self._news:
            return self._news.wait_for(lambda: self.types[kind] > more_than, timeout)

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self) -> int:
        """Wait for its end; returns the exit code."""
        try:
            code = self._process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            told = "\n".join(self.last)
            self._process.kill()
            raise AssertionError(f"the watcher does not end\n{told}") from None
        for reader in self._readers:
            # Its engine has the same stderr, and may take a while to drain.
            reader.join(LONGEST)
            assert not reader.is_alive(), "somebody who should have ended still writes"
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        return code

    def engines(self) -> list[int]:
        """Return the processes of its engines."""
        return [pid for pid, parent in _parents().items() if parent == self.pid]

    def ask(self, path: str) -> tuple[int, str]:
        """Ask over HTTP; returns status and body, 0 where nobody listens."""
        return fetched(Request(f"http://127.0.0.1:{self.port}{path}"))

    def checks(self) -> dict[str, bool]:
        """Return what `/readyz` says of each check."""
        _, body = self.ask("/readyz")
        return {name: one["ok"] for name, one in json.loads(body or "{}").get("checks", {}).items()}

    def wait_until(self, name: str, *, ok: bool) -> None:
        """Wait until a check is as wanted."""
        until = time.monotonic() + LONGEST
        while self.checks().get(name) is not ok:
            assert self.lives, list(self.last)
            assert time.monotonic() < until, (name, ok, self.checks(), list(self.last))
            with self._news:
                self._news.wait(0.2)


def fetched(request: Request) -> tuple[int, str]:
    """Send a request; returns status and body, 0 where nobody listens."""
    try:
        with urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()
    except (URLError, OSError):  # it may stand still
        return 0, ""


@dataclass
class Gauge:
    """What one process used, in the order of time.

    Attributes:
        role: `watcher` or `engine`.
        samples: Seconds since the first, resident bytes, open files.
    """

    role: str
    samples: list[tuple[float, int, int]] = field(default_factory=list[tuple[float, int, int]])
    _began: float = field(default_factory=time.monotonic)

    def sample(self, pid: int) -> None:
        """Look at the process; one that is gone is left out."""
        with suppress(OSError, ValueError, IndexError):
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            files = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
            resident = pages * os.sysconf("SC_PAGE_SIZE")
            if resident:
                self.samples.append((time.monotonic() - self._began, resident, files))

    def grew(self, warm: float, least: float) -> tuple[int, int] | None:
        """Return how much the peaks of bytes and files grew from its first third to its last.

        None: it did not live for `least` seconds after it was warm.
        """
        late = [one for one in self.samples if one[0] >= warm]
        if len(late) < 6 or late[-1][0] - late[0][0] < least:
            return None
        third = len(late) // 3
        early, last = late[:third], late[-third:]
        return (
            max(one[1] for one in last) - max(one[1] for one in early),
            max(one[2] for one in last) - max(one[2] for one in early),
        )


def marked(mark: str) -> dict[int, str]:
    """Return the processes that have the mark in their environment, with their commands."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            pid = int(entry.name)
            if f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found[pid] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:200]
    return found


def _parents() -> dict[int, int]:
    """Return the parent of each process that is not dead."""
    found: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError, IndexError):
            stat = (entry / "stat").read_text().rpartition(")")[2].split()
            if stat[0] != "Z":
                found[int(entry.name)] = int(stat[1])
    return found


@dataclass(frozen=True)
class Ran:
    """A command that ended."""

    code: int
    said: str
    complained: str

    def document(self) -> dict[str, Any]:
        """Return the JSON it printed."""
        found: dict[str, Any] = json.loads(self.said)
        return found


def run(root: Path, variables: dict[str, str], *arguments: str) -> Ran:
    """Run a command of batchspec to its end."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=root,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def send(pids: list[int], number: signal.Signals) -> None:
    """Send a signal to processes; those that are gone hear nothing."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
