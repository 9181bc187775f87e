"""Processes that start at once: forked from one that has imported everything already.

A fork is a real process with a memory of its own, and SIGKILL ends it as it ends any other. Run as
a program this is the parent: it reads commands from standard input, a JSON document per line.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Timer
from typing import Any

_USED = ["batchspec.cli.apply", "batchspec.cli.results", "batchspec.cli.simulator_serve", "uvicorn"]
_HERE = Path(__file__)


@dataclass
class Forks:
    """Starts commands of batchspec."""

    environment: dict[str, str]
    _parent: "subprocess.Popen[str]" = field(init=False)

    def __post_init__(self) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, str(_HERE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self.environment,
            text=True,
        )

    def start(self, *arguments: str, cwd: Path, log: Path, env: dict[str, str]) -> "Forked":
        """Start a command; what it says is added to a file."""
        what = {"arguments": arguments, "cwd": str(cwd), "log": str(log), "env": env}
        return Forked(int(self._ask({"start": what})), self)

    def wait(self, pid: int) -> int:
        """Wait for a process; returns its exit code, or the signal that ended it, negative."""
        return int(self._ask({"wait": pid}))

    def _ask(self, what: dict[str, Any]) -> str:
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(json.dumps(what) + "\n")
        self._parent.stdin.flush()
        return self._parent.stdout.readline()

    def close(self) -> None:
        """Let the parent end."""
        self._parent.communicate(timeout=30)


@dataclass(frozen=True)
class Forked:
    """A command that runs; the names are those of `subprocess.Popen`."""

    pid: int
    forks: Forks

    def kill(self) -> None:
        """End it as if the power had failed."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout: float = 90) -> int:
        """Wait for its end; returns the exit code, or the signal that ended it, negative."""
        hung = Event()

        def end() -> None:
            hung.set()
            self.kill()

        timer = Timer(timeout, end)
        timer.start()
        try:
            code = self.forks.wait(self.pid)
        finally:
            timer.cancel()
        if hung.is_set():
            raise subprocess.TimeoutExpired("batchspec", timeout)
        return code


def _serve() -> None:
    for name in _USED:
        importlib.import_module(name)
    learning: dict[int, int] = {}
    taught: set[str] = set()
    for line in sys.stdin:
        command = json.loads(line)
        if "start" in command:
            pid, telling = _fork(command["start"])
            learning[pid] = telling
            print(pid, flush=True)
            continue
        status = os.waitpid(command["wait"], 0)[1]
        _learn(learning.pop(command["wait"]), taught)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _fork(what: dict[str, Any]) -> tuple[int, int]:
    """Return the process, and where it tells at its end what it has imported."""
    learnt, learning = os.pipe()
    pid = os.fork()
    if pid == 0:
        _run(learning, **what)
    os.close(learning)
    return pid, learnt


def _learn(descriptor: int, taught: set[str]) -> None:
    """Import what a command came to import, so that later ones need not."""
    with os.fdopen(descriptor) as told:
        for name in sorted(set(told.read().split()) - taught):
            taught.add(name)
            # Whatever is not a module by itself is the business of who imported it.
            with suppress(Exception):
                importlib.import_module(name)


def _run(learning: int, *, arguments: list[str], cwd: str, log: str, env: dict[str, str]) -> None:
    """Be the command; never returns."""
    from batchspec.cli.main import main  # noqa: PLC0415 - in the child, where it is loaded

    known = set(sys.modules)
    os.chdir(cwd)
    sys.path[0] = cwd  # as `python -m` has it
    os.environ.clear()
    os.environ.update(env)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target in (1, 2):
        os.dup2(descriptor, target)
    os.dup2(nothing, 0)
    # The old ones know how the parent's could be used.
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
    try:
        code = main(arguments)
        root = str(Path(cwd).resolve())
        names = [
            name
            for name, module in sys.modules.items()
            if name not in known and _is_elsewhere(module, root)
        ]
        os.write(learning, " ".join(names).encode()[:60_000])
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException as error:  # noqa: BLE001 - the parent's loop must not go on here
        os.write(2, f"{error!r}\n".encode())
        code = 70
    os._exit(code)


def _is_elsewhere(module: Any, root: str) -> bool:
    return not str(getattr(module, "__file__", "") or root).startswith(root)


if __name__ == "__main__":
    _serve()
