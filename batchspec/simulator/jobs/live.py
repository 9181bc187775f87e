"""Answers lines by asking a live source, those of all open batches side by side."""

import logging
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path
from threading import Lock

from anyio import (
    CancelScope,
    CapacityLimiter,
    Event,
    create_task_group,
    current_time,
    get_cancelled_exc_class,
    sleep,
    to_thread,
)
from anyio.abc import TaskStatus
from anyio.from_thread import BlockingPortal, start_blocking_portal

from batchspec.simulator.endpoints.port import Reply
from batchspec.simulator.jobs.database import Database, LineReply
from batchspec.simulator.jobs.lines import Chunk, Place, kept_chunk, read_lines
from batchspec.simulator.jobs.records import BatchRecord
from batchspec.simulator.upstream.port import Source, Stopped
from batchspec.simulator.wire import Clock, HTTPFailure, Json

GRACE = 10.0
"""Seconds that running requests get to end when the process does."""
_READ_AHEAD = 16
_MOST_UNSAVED = 1_000
"""Replies that wait to be saved before nothing further is asked."""
_SAVE_AGAIN = 1.0
_GATHER = 0.05
"""Seconds in which replies are gathered to be saved together."""
_CALLERS = 64
"""Live requests that are waited for at a time; each takes a thread."""
_STREAMING = {"stream", "stream_options"}
"""What asks for a stream; one is made of the whole answer."""
_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Batch:
    """A batch whose lines are being asked for; touched in the event loop only."""

    id: str
    endpoint: str
    path: Path
    replied: Collection[int]
    """Lines that have a saved reply from before."""
    place: Place = field(default_factory=lambda: Place(0, 0, 0))
    ahead: deque[tuple[Json, int]] = field(default_factory=deque[tuple[Json, int]])
    running: set[CancelScope] = field(default_factory=set[CancelScope])
    unsaved: int = 0
    left: bool = False
    """No further line is to be asked for."""

    @property
    def quiet(self) -> bool:
        """Whether no line is under way."""
        return not self.running and not self.unsaved

    def next(self) -> tuple[Json, int] | None:
        """Return a line without a reply, and its number; none when there is none left."""
        while not self.left:
            while self.ahead:
                line, number = self.ahead.popleft()
                if number not in self.replied:
                    return line, number
            self._read()
        return None

    def _read(self) -> None:
        read: list[tuple[Json, Place]] = []
        with suppress(OSError):  # the engine sees itself that the input is gone
            read.extend(read_lines(self.path, self.place, _READ_AHEAD))
        self.ahead.extend((line, place.line) for line, place in read)
        if read:
            self.place = read[-1][1]
        else:
            self.left = True


class LiveRunner:
    """Implements `Runner` over a live source.

    Strategy: an event loop in a thread of its own has as many workers as the source answers
    requests at a time. Each takes a line, of one open batch after the other, only when it can be
    asked for. Replies are saved in groups, twenty times a second, and the counts of the batch with
    them: a process that was killed asks again for the lines without a saved reply. Result files
    are written once every line has one, or none may get any more.

    Args:
        source: Answers requests.
        database: Keeps the replies.
        clock: Says the time in unix seconds.
        grace: Seconds that running requests get to end in `close`.
    """

    def __init__(
        self, source: Source, database: Database, clock: Clock, *, grace: float = GRACE
    ) -> None:
        self._source = source
        self._database = database
        self._clock = clock
        self._grace = grace
        self._wake: Callable[[], None] = lambda: None
        self._callers = CapacityLimiter(_CALLERS)
        self._starting = Lock()
        self._loop = ExitStack()
        self._portal: BlockingPortal | None = None
        self._batches: dict[str, _Batch] = {}
        self._rotation: deque[_Batch] = deque()
        self._unsaved: list[LineReply] = []
        self._trouble: str | None = None

    @property
    def outage(self) -> str | None:
        return self._trouble or self._source.outage

    # --- called by the engine

    def listen(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def chunk(self, batch: BatchRecord, path: Path, now: float) -> Chunk | None:
        if batch.status == "in_progress" and batch.progress.replied < batch.total:
            begins = now < batch.expires_at and batch.id not in self._batches
            if begins and (portal := self._connected()) is not None:
                replied = self._database.replied(batch.id)
                portal.call(self._admit, _Batch(batch.id, batch.endpoint, path, replied))
            return None
        portal = self._portal if batch.id in self._batches else None
        if portal is not None and not portal.call(self._dismiss, batch.id):
            return None
        return kept_chunk(batch, path, lambda line: self._database.reply(batch.id, line))

    def due(self, batch: BatchRecord) -> float:
        """Say that lines are ready, or that nobody knows when; whoever listens is told."""
        wanted = batch.status == "in_progress" and batch.progress.replied < batch.total
        return inf if wanted or batch.id in self._batches else -inf

    async def respond(self, endpoint: str, body: Json, now: float) -> Reply:
        del now
        whole = {name: value for name, value in body.items() if name not in _STREAMING}
        return await self._asked(partial(self._source.ask, endpoint, whole, patient=False))

    async def _asked(self, ask: Callable[[], Awaitable[Reply]]) -> Reply:
        """Ask in the loop of the source."""
        portal = await to_thread.run_sync(self._connected)
        if portal is None:
            return Reply(503, HTTPFailure(503, f"The upstream is away: {self.outage}.").body)
        asked = portal.start_task_soon(ask)
        try:
            return await to_thread.run_sync(asked.result, limiter=self._callers)
        except get_cancelled_exc_class():
            asked.cancel()
            raise

    async def models(self) -> Reply:
        return await self._asked(self._source.models)

    def close(self) -> None:
        """Begin no further line, let running requests end for a short time, and keep what came."""
        with self._starting, self._loop:
            if self._portal is not None:
                self._portal.call(self._stop)
                # How the work ended, `outage` says; here it matters that it has.
                wait([self._ended])
            self._portal = None

    def drop(self) -> None:
        """Let `close`, which another thread is in, wait no longer."""
        portal = self._portal
        if portal is not None:
            with suppress(RuntimeError):  # it has ended meanwhile
                portal.start_task_soon(self._workers.cancel)

    def _connected(self) -> BlockingPortal | None:
        """Return the way into the event loop, which runs from its first use on.

        There is none while the source cannot be started. `outage` says why, and the next call tries
        again.
        """
        with self._starting:
            if self._portal is None:
                with ExitStack() as begun:
                    portal = begun.enter_context(start_blocking_portal(name="upstream"))
                    try:
                        self._ended, _ = portal.start_task(self._run)
                    except Exception:  # noqa: BLE001  a source may be anything; it is an outage
                        return None
                    self._portal, self._loop = portal, begun.pop_all()
            return self._portal

    # --- in the event loop

    async def _run(self, *, task_status: TaskStatus[None]) -> None:
        self._more, self._came, self._saved, self._stopping = Event(), Event(), Event(), Event()
        begun = False
        try:
            async with self._source, create_task_group() as saving:
                begun = True
                saving.start_soon(self._save_all)
                async with create_task_group() as workers:
                    self._workers = workers.cancel_scope
                    for _ in range(self._source.concurrency):
                        workers.start_soon(self._work)
                    self._trouble = None
                    task_status.started()
                    await self._stopping.wait()
                    workers.cancel_scope.deadline = current_time() + self._grace
                await self._save()
                saving.cancel_scope.cancel()
        except Exception as error:
            if begun:
                _log.exception("the work on batches has stopped")
                self._trouble = f"the work on batches has stopped: {error!r}"
            else:
                self._trouble = f"it cannot be asked: {error}"
            raise

    def _stop(self) -> None:
        self._source.stop()
        self._stopping.set()
        self._more.set()
        self._saved.set()

    def _admit(self, batch: _Batch) -> None:
        self._batches[batch.id] = batch
        self._rotation.append(batch)
        self._more.set()

    def _dismiss(self, batch_id: str) -> bool:
        """End what runs for a batch; false until all of it has ended and is saved."""
        batch = self._batches[batch_id]
        batch.left = True
        for scope in batch.running:
            scope.cancel()
        if batch.quiet:
            del self._batches[batch_id]
        return batch.quiet

    async def _work(self) -> None:
        with suppress(Stopped):
            while not self._stopping.is_set():
                await self._room()
                batch, line, number = await self._next()
                await self._answer(batch, line, number)

    async def _room(self) -> None:
        """Return when a line may be read: nothing is paused, and replies can be saved."""
        await self._source.turn()
        while len(self._unsaved) >= _MOST_UNSAVED and not self._stopping.is_set():
            self._saved = Event() if self._saved.is_set() else self._saved
            await self._saved.wait()

    async def _next(self) -> tuple[_Batch, Json, int]:
        while not self._stopping.is_set():
            while self._rotation:
                batch = self._rotation.popleft()
                if (found := batch.next()) is not None:
                    self._rotation.append(batch)
                    return batch, *found
            self._more = Event() if self._more.is_set() else self._more
            await self._more.wait()
        raise Stopped

    async def _answer(self, batch: _Batch, line: Json, number: int) -> None:
        reply = None
        with CancelScope() as scope:
            batch.running.add(scope)
            try:
                reply = await self._ask(batch.endpoint, line)
            finally:
                batch.running.discard(scope)
        if reply is not None:
            batch.unsaved += 1
            self._unsaved.append(LineReply(batch.id, number, reply))
            self._came.set()
        elif batch.quiet:
            self._wake()

    async def _ask(self, endpoint: str, line: Json) -> Reply:
        try:
            return await self._source.ask(endpoint, line["body"], line["custom_id"])
        except Stopped:
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, the line fails and not the batch
            _log.exception("the line %r could not be asked", line["custom_id"])
            return Reply(500, HTTPFailure(500, f"The request could not be sent: {error!r}").body)

    async def _save_all(self) -> None:
        while True:
            await self._came.wait()
            if any(batch.running for batch in self._batches.values()):
                # Each commit takes the interpreter from those who ask.
                await sleep(_GATHER)
            self._came = Event()
            await self._save()

    async def _save(self) -> None:
        """Save what has come, together; where that fails, again and again until the end."""
        group, self._unsaved = self._unsaved, []
        while group:
            try:
                await to_thread.run_sync(self._database.add_replies, group, self._clock())
                self._trouble = None
                break
            except sqlite3.Error as error:
                self._trouble = (
                    f"answers cannot be saved in {self._database.files.parent}: {error}."
                )
                if self._stopping.is_set():
                    return
                await sleep(_SAVE_AGAIN)
        self._saved.set()
        for batch_id, _, _ in group:
            self._batches[batch_id].unsaved -= 1
        if any(self._batches[batch_id].quiet for batch_id, _, _ in group):
            self._wake()
