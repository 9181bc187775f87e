"""Running the tools a model asked for, between two turns.

A call is recorded as running when its turn has come, never before, and its result when it ends. A
call that was running when the process died runs again, unless its tool is `once`. Once a call has
cost its item, the others of its turn do not begin; those that run end, and their results are kept.

Conversations are a stream: so many are open at a time that no place is idle, whichever calls are
slow.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import TaskGroup
from pydantic_core import from_json

from batchspec.apply.calling import Calling, Ended, Prepared, prepare
from batchspec.apply.clock import stopwatch
from batchspec.apply.journal import Journal, journal
from batchspec.apply.memo import memo_key
from batchspec.apply.resume import do_resume
from batchspec.apply.world import LocalJob, World, stored_row
from batchspec.errors import SpecError
from batchspec.fingerprint import canonical_json
from batchspec.ids import ConversationId, JobAddress
from batchspec.messages import JsonObject, Outcome
from batchspec.ports import ToolRan, Wire
from batchspec.ports.providers import line_overhead
from batchspec.reconcile.converse import after_tools
from batchspec.state.events import ToolsRun
from batchspec.state.resumption import LOST, TOOLS
from batchspec.state.stored import CallDone, CallRecord, NextTurn, ToolTurn

_OPEN = 256
"""Conversations that are open at least, and that go on at a time."""
_TO_RUN = frozenset({"waiting", "running"})


async def do_tools(world: World, job: JobAddress, draining: Callable[[], bool]) -> None:
    """Run the tool calls of a job's conversations until none is left, or work is to stop.

    Those of a job whose module is not here wait for it; of one that was removed, they end.

    Raises:
        SpecError: The job's `deps` cannot be made; calls that ran have ended.
    """
    local = world.jobs.get(job)
    if local is None and job not in await world.db(world.store.removed_jobs):
        return
    await do_resume(world, job, local)
    async with journal(world) as record:
        stream = _Stream(world, job, local, draining, record)
        async with anyio.create_task_group() as group:
            await stream.run(group)
    if stream.failed is not None:
        raise stream.failed
    if stream.memoised:
        await world.db(world.store.forget, 0.0)


@dataclass(slots=True)
class _Open:
    """A conversation whose calls run."""

    turn: ToolTurn
    row: dict[str, Any]
    left: int
    ended: dict[int, CallDone] = field(default_factory=dict[int, CallDone])

    @property
    def lost(self) -> bool:
        """Tell whether a call has cost the item, so that no other one is to begin."""
        recorded = any(call.status == "failed" for call in self.turn.calls)
        return recorded or any(done.status == "failed" for done in self.ended.values())

    @property
    def complete(self) -> bool:
        """Tell whether every call has an answer, or one of them has cost the item."""
        return self.lost or all(
            c.status not in _TO_RUN or c.position in self.ended for c in self.turn.calls
        )


class _Stream:
    """The conversations of a job that wait for their tools."""

    def __init__(
        self,
        world: World,
        job: JobAddress,
        local: LocalJob | None,
        draining: Callable[[], bool],
        record: Journal,
    ) -> None:
        self._world = world
        self._job = job
        self._local = local
        self._stopping = draining
        self.failed: SpecError | None = None
        """Why no further call begins."""
        self._record = record
        self._open: dict[ConversationId, _Open] = {}
        self._ready: list[_Open] = []
        self._contracts: dict[int, tuple[Wire, int]] = {}
        self._most = max(_OPEN, 4 * world.here.concurrency)
        self._changed = anyio.Event()
        self.memoised = False

    def _draining(self) -> bool:
        return self.failed is not None or self._stopping()

    async def run(self, group: TaskGroup) -> None:
        """Open conversations as others end, and let those go on whose calls have ended."""
        dry: anyio.Event | None = None
        while True:
            if dry is not None and (dry.is_set() or not self._open):
                dry = None
            wanted = self._most - len(self._open)
            if not self._draining() and dry is None and wanted >= self._most // 4:
                collected = self._world.collected
                if await self._more(group, wanted) < wanted:
                    dry = collected
            if len(self._ready) >= _OPEN or (self._ready and not self._open):
                await self._go_on()
            elif not self._open:
                return
            else:
                await self._news(dry)

    async def _news(self, dry: anyio.Event | None) -> None:
        """Wait until a conversation ends, or others may have come."""
        changed = self._changed
        async with anyio.create_task_group() as waiting:

            async def first(event: anyio.Event) -> None:
                await event.wait()
                waiting.cancel_scope.cancel()

            waiting.start_soon(first, changed)
            if dry is not None:
                waiting.start_soon(first, dry)
        if changed.is_set():
            self._changed = anyio.Event()

    async def _more(self, group: TaskGroup, wanted: int) -> int:
        """Open further conversations; returns how many there were."""
        world = self._world
        known = [*self._open, *(done.turn.conversation for done in self._ready)]

        def read() -> list[_Open]:
            turns = world.store.tool_turns(self._job, wanted, known)
            return [_Open(t, _row(world, t), 0) for t in turns]

        found = await world.db(read)
        for opened in found:
            self._open[opened.turn.conversation] = opened
            ready = self._prepared(opened)
            opened.left = len(ready)
            if not ready:
                self._close(opened)
            for call, prepared in ready:
                group.start_soon(self._one, opened, call, prepared)
        return len(found)

    def _prepared(self, opened: _Open) -> list[tuple[CallRecord, Prepared]]:
        """Return the calls of a turn that are to run; none where one has cost the item already."""
        ready: list[tuple[CallRecord, Prepared]] = []
        for call in filter(_is_to_run, opened.turn.calls):
            prepared = prepare(self._local, self._job, opened.turn, call)
            if isinstance(prepared, Ended):
                self._note(opened, call, _done(opened.turn, call, prepared))
            else:
                ready.append((call, prepared))
        return [] if opened.lost else ready

    def _note(self, opened: _Open, call: CallRecord, done: CallDone) -> None:
        opened.ended[call.position] = done
        self._record.end(done)

    def _close(self, opened: _Open) -> None:
        """Let a conversation go on; one that an interrupt left calls of stays as it is."""
        del self._open[opened.turn.conversation]
        if opened.complete:
            self._ready.append(opened)
        self._changed.set()

    async def _one(self, opened: _Open, call: CallRecord, prepared: Prepared) -> None:
        done = None
        try:
            done = await self._call(opened, call, prepared)
        except SpecError as error:
            self.failed = self.failed or error
        if done is not None:
            self._note(opened, call, done)
        opened.left -= 1
        if not opened.left:
            self._close(opened)

    async def _call(self, opened: _Open, call: CallRecord, prepared: Prepared) -> CallDone | None:
        """Run one call; None: it had no place before work is to stop, or its item was lost."""
        assert self._local is not None  # noqa: S101 - it has the tool
        code = self._local.desired.pure.get(call.name)
        key = None if code is None else memo_key(call.name, code, call.arguments)
        if key is None:
            return await self._run(opened, call, prepared)
        self.memoised = True
        return await self._once_for_all(opened, call, prepared, key)

    async def _once_for_all(
        self, opened: _Open, call: CallRecord, prepared: Prepared, key: bytes
    ) -> CallDone | None:
        """Return the answer of an equal call, or run this one; calls beside it wait for it.

        Where it fails those that waited run for themselves, all at once.
        """
        memo, store = self._world.here.memo, self._world.store
        await memo.wait(key)
        end = memo.begin(key)
        answer: str | None = None
        try:
            answer = memo.fresh(key)
            if answer is None:
                answer = await self._world.db(store.remembered, key)
            if answer is not None:
                told = Ended(failed=False, text=answer, attempts=call.attempts, good=True)
                return _done(opened.turn, call, told)._replace(reused=True, memo=key)
            done = await self._run(opened, call, prepared, key)
            answer = done.result if done is not None and done.memo else None
            return done
        finally:
            end(answer)

    async def _run(
        self, opened: _Open, call: CallRecord, prepared: Prepared, key: bytes | None = None
    ) -> CallDone | None:
        here, local = self._world.here, self._local
        assert local is not None  # noqa: S101 - it has the tool
        async with here.place(prepared.tool):
            if self._draining() or opened.lost:
                return None
            calling = Calling(here=here, local=local, turn=opened.turn, call=call, row=opened.row)
            # Before it is on record as running: what fails here is no call that ran.
            ready = await calling.ready(prepared)
            await self._record.begin(opened.turn, call)
            began, seconds = self._world.clock.now(), stopwatch()
            ended = await calling.run(ready)
            done = _done(opened.turn, call, ended)._replace(seconds=seconds())
            self._timed(call, done, began)
        # A process that started after an edit runs other code than the key says.
        same = ended.code in {None, local.desired.pure.get(call.name, b"").hex()}
        return done._replace(memo=key) if ended.good and same else done

    def _timed(self, call: CallRecord, done: CallDone, began: float) -> None:
        told = ToolRan(
            job=self._job,
            tool=call.name,
            call=call.call_id,
            began=began,
            seconds=done.seconds or 0.0,
            failed=done.status == "failed",
            arguments=call.arguments,
            result=done.result,
        )
        self._world.ran(told)

    def _shared(self, number: int) -> tuple[Wire, int]:
        """Return the codec of a contract, and the bytes of a line of it beside the messages."""
        if number not in self._contracts:
            contract = self._world.store.contract(number)
            wire = self._world.provider(contract.provider).wire(contract.endpoint)
            self._contracts[number] = wire, line_overhead(wire, contract.at(2))
        return self._contracts[number]

    async def _go_on(self) -> None:
        """Build the next turns from recorded results and commit them."""
        await self._record.write()
        world, ready = self._world, self._ready[:]

        def build() -> ToolsRun:
            further = world.store.open_segment("requests")
            following = [
                _next_turn(world, self._local, one, self._shared(one.turn.contract), further.append)
                for one in ready
            ]
            final = sum(turn.outcome is not None for turn in following)
            event = ToolsRun(
                job=self._job,
                calls=sum(len(one.ended) for one in ready),
                pending=len(following) - final,
                final=final,
                at=world.clock.now(),
            )
            world.store.continue_turns(following, [further], event)
            return event

        event = await world.db(build)
        del self._ready[: len(ready)]
        world.hook.event(event)


def _is_to_run(call: CallRecord) -> bool:
    return call.status in _TO_RUN


def _row(world: World, turn: ToolTurn) -> dict[str, Any]:
    return {} if turn.row is None else stored_row(world, turn.row)


def _done(turn: ToolTurn, call: CallRecord, ended: Ended) -> CallDone:
    return CallDone(
        turn.conversation,
        turn.turn,
        call.position,
        "failed" if ended.failed else "done",
        # Half a surrogate pair fits no column and no request.
        ended.text.encode("utf-8", "replace").decode(),
        ended.attempts,
        wrong=not (ended.good or ended.failed),
    )


def _resumable(local: LocalJob | None, one: _Open) -> int:
    """Say how a conversation goes on that a call has cost its item; most calls may run again."""
    for call in one.turn.calls:
        ended = one.ended.get(call.position)
        status, attempts = call.status, call.attempts
        if ended is not None:
            status, attempts = ended.status, ended.attempts
        tool = None if local is None else local.desired.tools.get(call.name)
        if status != "done" and attempts and tool is not None and tool.once:
            return LOST
    return TOOLS


def _next_turn(
    world: World,
    local: LocalJob | None,
    one: _Open,
    shared: tuple[Wire, int],
    append: Callable[[bytes], Any],
) -> NextTurn:
    turn, (wire, overhead) = one.turn, shared
    results: list[JsonObject] = []
    for call in turn.calls:
        ended = one.ended.get(call.position)
        status = ended.status if ended else call.status
        result = (ended.result if ended else call.result) or ""
        if status == "failed":
            outcome: Outcome = "cancelled" if turn.key is None else "failed"
            resumable = _resumable(local, one)
            return NextTurn(turn.conversation, outcome=outcome, reason=result, resumable=resumable)
        results.append(wire.tool_answer(call.call_id, result))
    stored = world.store.body(turn.request).partition(b"\t")[0]
    assistant = wire.assistant(world.store.body(turn.reply))
    messages = canonical_json(after_tools(from_json(stored), assistant, results))
    size = wire.size(messages) + overhead
    return NextTurn(turn.conversation, append(messages), size)
