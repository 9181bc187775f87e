"""The process of an engine: commands come in at stdin, what happens leaves at stdout.

It is in a session of its own and ignores interrupts: who watches tells it to drain, or is gone,
which closes its stdin and means the same.
"""

import gc
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import sleep
from typing import Any, BinaryIO

import anyio
from anyio import RunFinishedError, from_thread
from anyio.lowlevel import current_token
from pydantic import TypeAdapter
from pydantic_core import to_json

from batchspec.config import load_settings
from batchspec.desired.graph import Desired
from batchspec.errors import BatchspecError, Diagnostic, SpecError
from batchspec.ports import ToolRan
from batchspec.project import Project
from batchspec.state.events import Event
from batchspec.state.records import BatchRecord, JobProgress
from batchspec.watch.engine import Engine
from batchspec.watch.protocol import (
    Beat,
    Command,
    Drain,
    Failed,
    Go,
    Idle,
    Leads,
    Loaded,
    LookAt,
    Note,
    NotLoaded,
    Orders,
    Progressed,
    Reads,
    Replan,
    Said,
    Stuck,
    ToolsTimed,
    Warned,
    Watched,
    decode,
    encode,
    happened,
)
from batchspec.watch.sources import attached, watched

_TIMED = 500
"""Calls of tools that are told of together."""
_LAST = 5.0
"""Seconds for what a spec left running, once nothing else is left to do."""
_START = (
    "import sys, json; given = json.loads(sys.argv[1]); sys.path[:] = given.pop('path'); "
    "from batchspec.watch.process import serve; serve(given['orders'])"
)


def command(orders: Orders) -> list[str]:
    """Return the command that starts an engine in a fresh interpreter."""
    said = TypeAdapter(Orders).dump_python(orders, mode="json")
    return [sys.executable, "-c", _START, to_json({"path": sys.path, "orders": said}).decode()]


def serve(given: dict[str, Any]) -> None:
    """Run an engine until it is drained; for `command`."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    gc.set_threshold(50_000, 20, 20)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what users' code prints is a diagnostic
    commands = os.fdopen(os.dup(0), "rb")
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    # A child that a spec forks must neither speak for the engine nor hear what it is told.
    os.register_at_fork(after_in_child=partial(_leave, out.fileno(), commands.fileno()))
    _Process(TypeAdapter(Orders).validate_python(given), out).run(commands)
    # Threads that a spec started keep no interpreter that has nothing left to do.
    threading.Thread(target=_end_soon, daemon=True).start()


def _leave(*descriptors: int) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(nothing, descriptor)


def _end_soon() -> None:
    sleep(_LAST)
    os._exit(0)


class _Process:
    """Implements `ports.Hook` by telling the watcher."""

    def __init__(self, orders: Orders, out: BinaryIO) -> None:
        self._orders = orders
        self._out = out
        self._lock = threading.Lock()
        self._went = anyio.Event()
        self._engine: Engine | None = None
        self._drained = False
        self._timed: list[tuple[str, bool, float]] = []
        self._desired: Desired | None = None
        self._reads: Watched | None = None
        self._pid = os.getpid()

    def run(self, commands: BinaryIO) -> None:
        try:
            project = self._open()
            if os.getpid() != self._pid:
                os._exit(0)  # a spec forked, and its child came here as well
            self._check_pipes(commands)
            if project is not None:
                with project:
                    anyio.run(self._serve, project, commands)
        except BatchspecError as error:
            self._tell(Failed(str(error)))

    def _check_pipes(self, commands: BinaryIO) -> None:
        """End where a spec closed what is not its own: nothing could be told or heard."""
        try:
            os.fstat(self._out.fileno())
            os.fstat(commands.fileno())
        except OSError:
            sys.exit("A spec closed file descriptors that are not its own (os.closerange?).")

    def _open(self) -> Project | None:
        """Open the project and pin its specs; None: they are not right."""
        orders = self._orders
        root = Path(orders.root)
        try:
            environment = "simulation" if orders.simulate else orders.environment
            settings = load_settings(root, env=environment)
            project = Project(root, simulate=orders.simulate, settings=settings)
        except BatchspecError as error:
            self._tell(NotLoaded(problems=_problems(error)))
            return None
        if orders.state not in {None, str(project.directory.resolve())}:
            # Followed, everything that is there would be paid for again.
            self._tell(NotLoaded(problems=(_other_state(project, orders.state),)))
            project.close()
            return None
        try:
            desired = project.pin(specs=orders.specs)
        except SpecError as error:
            self._tell(NotLoaded(problems=_problems(error)))
            project.close()
            return None
        warnings = tuple(str(one) for one in desired.warnings)
        self._desired = desired if orders.specs else None
        self._reads = files = watched(project, self._desired)
        patience = settings.watch.drain_timeout
        self._tell(
            Loaded(watched=files, jobs=len(desired), warnings=warnings, drain_timeout=patience)
        )
        return project

    async def _serve(self, project: Project, commands: BinaryIO) -> None:
        self._engine = Engine(
            project=project,
            consent=self._orders.consent,
            hook=self,
            plans=self._orders.specs,
            watcher=self._orders.watcher,
            beat=self._beat,
            idle=lambda until: self._tell(Idle(until)),
            leads=lambda holds: self._tell(Leads(holds)),
            beside=self._tell,
            stuck=lambda: self._tell(Stuck()),
        )
        patience = project.settings.watch.drain_timeout
        given = commands, current_token(), patience
        reading = threading.Thread(target=self._read, args=given, daemon=True)
        reading.start()
        await self._went.wait()
        if not self._drained:
            await self._engine.run()

    def _read(self, commands: BinaryIO, token: Any, patience: float) -> None:
        """Pass on commands; whoever gave them is gone when none come.

        Then nobody is left to cut calls short that do not end, while another watcher may wait.
        """
        with suppress(RunFinishedError):
            for line in commands:
                from_thread.run_sync(self._take, decode(line), token=token)
            from_thread.run_sync(self._take, Drain(), token=token)
            if patience:
                sleep(patience)
                os.killpg(0, signal.SIGKILL)

    def _take(self, given: Command) -> None:
        assert self._engine is not None  # noqa: S101 - made before commands are read
        match given:
            case Go():
                self._went.set()
            case Replan():
                self._engine.replan()
            case Drain():
                self._drained = True
                self._went.set()
                self._engine.drain()
            case LookAt(batch=batch):
                self._engine.look_at(batch)
            case Note(condition=condition):
                self._engine.note(condition)

    # --- what is told

    def event(self, event: Event) -> None:
        self._tell(happened(event))

    def progress(self, jobs: Sequence[JobProgress], batches: Sequence[BatchRecord]) -> None:
        self._tell(Progressed(jobs, batches))

    def warning(self, message: str) -> None:
        self._tell(Warned(message))

    def ran(self, call: ToolRan) -> None:
        self._timed.append((call.tool, call.failed, call.seconds))
        if len(self._timed) >= _TIMED:
            self._tell_timed()

    def _beat(self) -> None:
        self._tell(Beat())
        self._tell_timed()
        if self._reads is not None and self._desired is not None:
            found = attached(self._desired)
            if found != self._reads.attached:
                self._reads = replace(self._reads, attached=found, read={})
                self._tell(Reads(self._reads))

    def _tell_timed(self) -> None:
        if self._timed:
            timed, self._timed = self._timed, []
            self._tell(ToolsTimed(timed))

    def _tell(self, said: Said) -> None:
        # Whoever is gone has closed the other pipe as well, and that one is read.
        with self._lock, suppress(OSError):
            self._out.write(encode(said))
            self._out.flush()


def _problems(error: BatchspecError) -> tuple[Diagnostic, ...]:
    if isinstance(error, SpecError):
        return error.diagnostics
    first, *rest = [line.strip() for line in str(error).splitlines()] or [""]
    detail = " ".join(rest) if rest else first
    return (Diagnostic(summary="the configuration is not right", detail=detail),)


def _other_state(project: Project, watched: str | None) -> Diagnostic:
    return Diagnostic(
        summary="the state is another one",
        detail=f"The configuration says {project.directory}, and {watched} is watched. Put it "
        "back, or stop this watcher and start another one: what is on record here does not count "
        "there.",
    )
