"""The watcher: runs engines as `succession` says, and tells what they tell."""

import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, assert_never

import anyio
import anyio.abc
import anyio.to_thread
from anyio import RunFinishedError, from_thread
from anyio.lowlevel import EventLoopToken, current_token
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from batchspec.errors import Diagnostic
from batchspec.ids import RemoteId
from batchspec.ports import Clock, Hook, Log
from batchspec.project.pending import APPROVED
from batchspec.watch.child import Child
from batchspec.watch.files import Changed, Files, appearing
from batchspec.watch.health import Health
from batchspec.watch.news import (
    CodeChanged,
    DataChanged,
    HasEnded,
    HasLoaded,
    HasNotLoaded,
    HasNotStarted,
    HasStuck,
    News,
    StopWanted,
)
from batchspec.watch.notify import Service
from batchspec.watch.protocol import (
    Beat,
    Beside,
    Failed,
    Go,
    Happened,
    Idle,
    Leads,
    Loaded,
    LookAt,
    NotLoaded,
    Orders,
    Progressed,
    Reads,
    Reconciled,
    Round,
    Said,
    Stuck,
    ToolsTimed,
    Warned,
    Watched,
    event_of,
)
from batchspec.watch.succession import (
    Deed,
    End,
    Kill,
    Later,
    Report,
    Start,
    Succession,
    Tell,
    Warn,
)

EngineNews = Literal["started", "ended", "died"]
_VERDICTS = (HasLoaded, HasNotLoaded, HasEnded)
"""What may say whether specs that were asked for load."""
_TICK = 1.0
"""Seconds between two signs of life."""
LOAD_TIMEOUT = 300.0
"""Seconds in which specs are to be loaded, unless something else is said."""
_LAST_WORDS = 1.0
"""Seconds in which what an engine said is read after it has ended."""
_UNHEARD = 30.0
"""Seconds an engine has to end by itself once nothing can be heard of it any more."""


@dataclass(slots=True, kw_only=True)
class Supervisor:
    """Keeps an engine running until it is told to stop.

    Attributes:
        orders: What engines are started with.
        hook: Is told what happens.
        clock: Tells the time.
        watched: The files to look after until an engine says which they are.
        approvals: The folder in which plans are approved.
        health: How the engine is.
        view: Is told what people want to know and nobody need do anything about.
        beside: Is told what is no event: rounds, how long they took, and tools.
        engines: Is told each engine that is started, and how it ended.
        load_timeout: Seconds in which specs are to be loaded.
        signals: Interrupts so far.
    """

    orders: Orders
    hook: Hook
    view: Log
    clock: Clock
    watched: Watched
    approvals: Path
    health: Health
    beside: Callable[[Beside], None] = lambda _said: None
    engines: Callable[[EngineNews], None] = lambda _news: None
    load_timeout: float = LOAD_TIMEOUT
    signals: list[int] = field(default_factory=list[int])
    _service: Service = field(default_factory=Service)
    _succession: Succession = field(default_factory=Succession)
    _children: dict[int, Child] = field(default_factory=dict[int, Child])
    _files: Files = field(init=False)
    _other_files: anyio.Event = field(init=False)
    """Set when other files are to be looked after."""
    _ended: anyio.Event = field(init=False)
    _token: EventLoopToken | None = None
    _send: MemoryObjectSendStream[News] = field(init=False)
    _receive: MemoryObjectReceiveStream[News] = field(init=False)
    _group: anyio.abc.TaskGroup | None = None

    def __post_init__(self) -> None:
        self._files = Files(self.watched)

    async def run(self) -> None:
        """Watch until a signal says to stop."""
        self._token = current_token()
        self._send, self._receive = anyio.create_memory_object_stream[News](1000)
        self._ended, self._other_files = anyio.Event(), anyio.Event()
        await anyio.to_thread.run_sync(self._files.look)
        async with anyio.create_task_group() as group:
            self._group = group
            await group.start(self._listen)
            group.start_soon(self._ticks)
            group.start_soon(self._watch_files)
            group.start_soon(self._watch_approvals)
            await self._send.send(CodeChanged())
            try:
                async for news in self._receive:
                    if await self._do(self._succession.on(news, self.clock.now())):
                        break
                    if isinstance(news, _VERDICTS) and not self._succession.loading:
                        self._service.loaded()
                    if isinstance(news, HasEnded):
                        del self._children[news.engine]
            finally:
                for child in self._children.values():
                    child.kill()
                # Who waits for files in a thread hears nothing else.
                self._ended.set()
                self._other_files.set()
                group.cancel_scope.cancel()

    def hear(self, batch: RemoteId) -> None:
        """Have a batch looked at now, as the provider said something about it; from any thread."""
        with suppress(RunFinishedError):
            from_thread.run_sync(self._look_at, batch, token=self._token)

    def _look_at(self, batch: RemoteId) -> None:
        current = self._succession.current
        if current is not None and self._group is not None:
            self._group.start_soon(self._children[current].tell, LookAt(batch))

    # --- deeds

    async def _do(self, deeds: Sequence[Deed]) -> bool:
        """Do what is to be done; True: that was all."""
        for deed in deeds:
            match deed:
                case Start():
                    await self._start(deed)
                case Tell(engine=engine, command=command):
                    if isinstance(command, Go):
                        self.health.in_charge()
                    await self._children[engine].tell(command)
                case Kill(engine=engine):
                    self._children[engine].kill()
                case Report(condition=condition):
                    self.hook.event(condition)
                case Warn(message=message):
                    self.hook.warning(message)
                case Later(seconds=seconds, news=news):
                    self._later(seconds, news)
                case End():
                    return True
                case _:
                    assert_never(deed)
        return False

    async def _start(self, deed: Start) -> None:
        assert self._group is not None  # noqa: S101 - it runs
        try:
            child = await Child.start(replace(self.orders, specs=deed.specs))
        except OSError as error:
            # Whoever waits for a reload waits no longer: nobody knows when it will be.
            self._service.loaded()
            failed = HasNotStarted(deed.engine, error.strerror or str(error))
            # At once: no other news may take it for one that has a process.
            await self._do(self._succession.on(failed, self.clock.now()))
            return
        self._children[deed.engine] = child
        self.engines("started")
        self._group.start_soon(self._listen_to, deed.engine, child)
        self._later(self.load_timeout, HasNotLoaded(deed.engine, (_too_slow(self.load_timeout),)))

    def _later(self, seconds: float, news: News) -> None:
        async def wait() -> None:
            await anyio.sleep(seconds)
            await self._send.send(news)

        assert self._group is not None  # noqa: S101 - it runs
        self._group.start_soon(wait)

    # --- what engines say

    async def _listen_to(self, engine: int, child: Child) -> None:
        code, heard = 0, anyio.Event()
        async with anyio.create_task_group() as group:

            async def hear() -> None:
                async for said in child.said():
                    await self._hear(engine, said)
                heard.set()
                # Nothing can be heard of it any more.
                await anyio.sleep(_UNHEARD)
                child.kill()

            group.start_soon(hear)
            code = await child.ended()
            # What it started may hold the pipe open.
            child.kill()
            with anyio.move_on_after(_LAST_WORDS):
                await heard.wait()
            group.cancel_scope.cancel()
        await child.close()
        self.engines("ended" if code == 0 else "died")
        if engine == self._succession.current:
            self.health.alone()
        await self._send.send(HasEnded(engine, code))

    async def _hear(self, engine: int, said: Said) -> None:  # noqa: C901, PLR0912 - one per message
        match said:
            case Loaded():
                await self._loaded(engine, said)
            case Reads(watched=watched):
                await self._look_after(watched)
            case NotLoaded(problems=problems):
                await self._send.send(HasNotLoaded(engine, problems))
            case Happened():
                self.hook.event(event_of(said))
            case Progressed(jobs=jobs, batches=batches):
                self.hook.progress(jobs, batches)
            case Warned(message=message) | Failed(message=message):
                self.hook.warning(message)
            case Leads(holds=holds):
                self.health.leads = holds
            case Idle():
                self.view.rests()
            case Beat():
                if engine == self._succession.current:
                    self.health.beat = self.clock.now()
            case Stuck():
                await self._send.send(HasStuck(engine))
            case Round() | Reconciled() | ToolsTimed():
                self.beside(said)
            case _:
                assert_never(said)

    async def _loaded(self, engine: int, said: Loaded) -> None:
        self.health.loaded |= self._children[engine].orders.specs
        if self._children[engine].orders.specs:
            self.view.info(f"Specs loaded: {said.jobs:,} job{'' if said.jobs == 1 else 's'}.")
        for warning in said.warnings:
            self.hook.warning(warning)
        # First, so that what changes while the engine reads it is seen.
        await self._look_after(said.watched)
        await self._send.send(HasLoaded(engine, said.drain_timeout))

    async def _ticks(self) -> None:
        """Show that this process runs; systemd hears it only while the engine does, too."""
        while True:
            self.health.ticked()
            well = all(check.ok for check in self.health.live())
            self._service.lives(well=well, status=self.health.summary())
            await anyio.sleep(_TICK)

    # --- files and signals

    async def _look_after(self, watched: Watched) -> None:
        """Look after the files an engine depends on, and have those read anew that changed."""
        changed = await anyio.to_thread.run_sync(self._files.watch_for, watched)
        self._other_files.set()
        await self._changed(changed)

    async def _watch_files(self) -> None:
        while not self._ended.is_set():
            self._other_files = anyio.Event()
            async for changed in self._files.changes(self._other_files):
                await self._changed(changed)

    async def _changed(self, changed: Changed) -> None:
        if changed.code:
            self.view.info("Specs or configuration changed, and are loaded anew.")
            await self._send.send(CodeChanged())
        elif changed.data:
            self.view.info("Data changed, and is planned again.")
            await self._send.send(DataChanged())

    async def _watch_approvals(self) -> None:
        async for _ in appearing(self.approvals, APPROVED, self._ended):
            await self._send.send(DataChanged())

    async def _reload(self) -> None:
        if not self.signals:
            self.view.info("SIGHUP: everything is loaded anew.")
            self._service.reloads()
            await self._send.send(CodeChanged())

    async def _listen(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        with anyio.open_signal_receiver(*wanted) as received:
            task_status.started()
            self._service.ready()
            async for number in received:
                if number == signal.SIGHUP:
                    await self._reload()
                    continue
                if not self.signals:
                    self.view.info(
                        "Stopping: running calls end, then the state is saved. Batches at the "
                        "provider continue. Interrupt again to stop at once."
                    )
                    self.health.draining = True
                    self._service.stops()
                self.signals.append(number)
                await self._send.send(StopWanted())


def _too_slow(seconds: float) -> Diagnostic:
    return Diagnostic(
        summary="loading took too long",
        detail=(
            f"The specs were not loaded after {seconds:g} s (watch.load_timeout): a module waits "
            "for something while it is imported."
        ),
    )
