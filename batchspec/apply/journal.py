"""The record of tool calls: that one runs, before it does, and what came of it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio

from batchspec.apply.world import World
from batchspec.state.stored import CallDone, CallRecord, ToolTurn


class Journal:
    """Records what calls do; what comes together while one commit runs is the next commit."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._beginning: list[tuple[ToolTurn, anyio.Event]] = []
        self._ended: list[CallDone] = []
        self._news = anyio.Event()
        self._closing = False
        self._writing = anyio.Lock()

    async def begin(self, turn: ToolTurn, call: CallRecord) -> None:
        """Record that a call runs; it may start once this returns."""
        recorded = anyio.Event()
        self._beginning.append((replace(turn, calls=(call,)), recorded))
        self._news.set()
        await recorded.wait()

    def end(self, done: CallDone) -> None:
        """Record soon what came of a call."""
        self._ended.append(done)
        self._news.set()

    async def run(self) -> None:
        """Write what comes until closed; what ended is written whatever goes wrong meanwhile."""
        try:
            while not self._closing:
                await self._news.wait()
                self._news = anyio.Event()
                await self.write()
        finally:
            if self._ended:
                self._beginning.clear()
                with anyio.CancelScope(shield=True):
                    await self.write()

    async def write(self) -> None:
        """Write what came so far."""
        world = self._world
        async with self._writing:
            ended, beginning = list(self._ended), list(self._beginning)
            turns = [turn for turn, _ in beginning]
            if ended or turns:
                await world.db(world.store.record_calls, ended, turns, world.clock.now())
            del self._ended[: len(ended)]
            del self._beginning[: len(beginning)]
        world.here.memo.recorded(done.memo for done in ended)
        for _, recorded in beginning:
            recorded.set()

    def close(self) -> None:
        """Let `run` return once all is recorded."""
        self._closing = True
        self._news.set()


@asynccontextmanager
async def journal(world: World) -> AsyncGenerator[Journal]:
    """Keep a record while it is entered; all of it is written when it is left."""
    kept = Journal(world)
    async with anyio.create_task_group() as writing:
        writing.start_soon(kept.run)
        yield kept
        kept.close()
