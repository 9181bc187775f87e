"""Running the tools a model asked for, between two turns.

A call is recorded as running when its turn has come, never before, and its result when it ends. A
call that was running when the process died runs again, unless its tool is `once`.
"""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import anyio
from pydantic_core import PydanticSerializationError, from_json, to_json

from batchspec.apply.collect import stored_row
from batchspec.apply.threads import Threads, threads
from batchspec.apply.world import LocalJob, World
from batchspec.errors import ModelRetry
from batchspec.fingerprint import canonical_json
from batchspec.ids import ConversationId, JobAddress
from batchspec.messages import JsonObject, Outcome
from batchspec.ports.providers import line_overhead
from batchspec.reconcile.converse import after_tools
from batchspec.spec.context import RunContext
from batchspec.spec.tool import ArgumentsInvalid, Tool
from batchspec.state.events import ToolsRun
from batchspec.state.stored import (
    CallDone,
    CallRecord,
    NextTurn,
    ToolTurn,
)

_TURNS = 256
"""Conversations taken at a time."""


async def do_tools(world: World, job: JobAddress, draining: Callable[[], bool]) -> None:
    """Run the tool calls of a job's conversations until none is left, or work is to stop.

    Those of a job whose module is not here wait for it; of one that was removed, they end.
    """
    local = world.jobs.get(job)
    if local is None and job not in await world.db(world.store.removed_jobs):
        return
    while not draining():
        turns = await world.db(world.store.tool_turns, job, _TURNS)
        if not turns:
            return
        done = await _run_all(world, local, job, turns, draining)
        await _continue(world, job, turns, done)


class _Journal:
    """Records what calls do; what comes together while one commit runs is the next commit."""

    def __init__(self, world: World) -> None:
        self.done: list[CallDone] = []
        """Every call that ended."""
        self._world = world
        self._beginning: list[tuple[ToolTurn, anyio.Event]] = []
        self._ended: list[CallDone] = []
        self._news = anyio.Event()
        self._closing = False

    async def begin(self, turn: ToolTurn, call: CallRecord) -> None:
        """Record that a call runs; it may start once this returns."""
        recorded = anyio.Event()
        self._beginning.append((replace(turn, calls=(call,)), recorded))
        self._news.set()
        await recorded.wait()

    def end(self, done: CallDone) -> None:
        """Record soon what came of a call."""
        self.done.append(done)
        self._ended.append(done)
        self._news.set()

    def close(self) -> None:
        """Let `run` return once all is recorded."""
        self._closing = True
        self._news.set()

    async def run(self) -> None:
        """Write what comes until closed; what ended is written whatever goes wrong meanwhile."""
        try:
            while not self._closing:
                await self._news.wait()
                self._news = anyio.Event()
                await self._write()
        finally:
            if self._ended:
                with anyio.CancelScope(shield=True):
                    await self._world.db(self._world.store.finish_calls, list(self._ended))

    async def _write(self) -> None:
        store, ended, beginning = self._world.store, list(self._ended), list(self._beginning)

        def write() -> None:
            if ended:
                store.finish_calls(ended)
            if beginning:
                store.begin_calls([turn for turn, _ in beginning])

        await self._world.db(write)
        del self._ended[: len(ended)]
        del self._beginning[: len(beginning)]
        for _, recorded in beginning:
            recorded.set()


async def _run_all(
    world: World,
    local: LocalJob | None,
    job: JobAddress,
    turns: Sequence[ToolTurn],
    draining: Callable[[], bool],
) -> list[CallDone]:
    """Run the calls that are not done; after an interrupt those that have no place yet wait on."""
    limit = anyio.CapacityLimiter(world.tool_concurrency)
    journal = _Journal(world)
    rows = await world.db(_rows, world, turns)

    async def one(turn: ToolTurn, call: CallRecord, row: dict[str, Any]) -> None:
        async with limit:
            if draining():
                return
            if call.status == "waiting":
                await journal.begin(turn, call)
            started = world.clock.now()
            status, result, attempts = await _answer(local, job, turn, call, row, own_threads)
            seconds = world.clock.now() - started
        # Half a surrogate pair fits no column and no request.
        text = result.encode("utf-8", "replace").decode()
        journal.end(
            CallDone(turn.conversation, turn.turn, call.position, status, text, attempts, seconds)
        )

    async with threads() as own_threads, anyio.create_task_group() as writing:
        writing.start_soon(journal.run)
        async with anyio.create_task_group() as group:
            for turn, row in zip(turns, rows, strict=True):
                for call in turn.calls:
                    if call.status in {"waiting", "running"}:
                        group.start_soon(one, turn, call, row)
        journal.close()
    return journal.done


def _rows(world: World, turns: Sequence[ToolTurn]) -> list[dict[str, Any]]:
    return [{} if turn.row is None else stored_row(world, turn.row) for turn in turns]


async def _answer(  # noqa: PLR0911, PLR0913, PLR0917 - each way a call can end, and what it depends on
    local: LocalJob | None,
    job: JobAddress,
    turn: ToolTurn,
    call: CallRecord,
    row: dict[str, Any],
    own_threads: Threads,
) -> Any:
    """Return (status, content for the model or reason of the failure, attempts)."""
    if local is None:
        return "failed", f"job {job} is not in the specs any more, so its tools cannot run", 0
    if turn.key is None:
        return "failed", "no row wants it any more", 0
    tool = local.desired.tools.get(call.name)
    if tool is None:
        offered = [*local.desired.tools, *(tool.name for tool in local.desired.output.tools)]
        names = ", ".join(map(repr, offered))
        return "done", f"Unknown tool name: {call.name!r}. Available tools: {names}", 0
    if tool.once and call.status == "running":
        reason = "may have run before an interruption, and a tool marked `once` never runs twice"
        return "failed", f"tool {call.name!r} {reason}", call.attempts
    try:
        arguments = tool.bind(call.arguments)
    except ArgumentsInvalid as error:
        return "done", _error(from_json(error.message)), 0
    except Exception as error:  # noqa: BLE001 - a bug of a type costs this item, never the job
        return "failed", f"arguments of {tool.name!r} raised {type(error).__name__}: {error}", 0
    context = partial(
        RunContext,
        deps=local.deps(),
        job=job,
        key=turn.key,
        row=row,
        turn=turn.turn,
        call_id=f"{turn.conversation}.{turn.turn}.{call.position}.{call.call_id}",
    )
    return await _attempt(tool, context, arguments, own_threads)


async def _attempt(
    tool: Tool[..., Any],
    context: "partial[RunContext[Any]]",
    arguments: dict[str, Any],
    own_threads: Threads,
) -> tuple[str, str, int]:
    reason = ""
    for attempt in range(1, tool.retries + 2):
        positional = (context(attempt=attempt),) if tool.takes_context else ()
        try:
            # The call has its place already: the time is its own, no other call's.
            with anyio.fail_after(tool.timeout):
                result = await _call(tool, positional, arguments, own_threads)
            return "done", content(result), attempt
        except ModelRetry as retry:
            return "done", _error(retry.message), attempt
        except TimeoutError:
            reason = f"took longer than {tool.timeout} s"
        except PydanticSerializationError as error:
            reason = f"returned what JSON cannot hold ({error})"
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it costs this item, never the job
            reason = f"raised {type(error).__name__}: {error}"
    return "failed", f"tool {tool.name!r} {reason}", tool.retries + 1


async def _call(
    tool: Tool[..., Any],
    positional: tuple[Any, ...],
    arguments: dict[str, Any],
    own_threads: Threads,
) -> Any:
    if inspect.iscoroutinefunction(tool.function):
        return await tool.function(*positional, **arguments)
    call = partial(tool.function, *positional, **arguments)
    # A thread cannot be stopped: on a timeout it is left behind and its result dropped.
    return await own_threads.run(call)


def content(result: Any) -> str:
    """Return a tool's result as the model sees it: text as it is, anything else as JSON."""
    return result if isinstance(result, str) else to_json(result).decode()


def _error(message: Any) -> str:
    return json.dumps({"error": message}, ensure_ascii=False)


async def _continue(
    world: World, job: JobAddress, turns: Sequence[ToolTurn], done: Sequence[CallDone]
) -> None:
    """Build the next turns from recorded results and commit them; others go on another time."""
    fresh = {(d.conversation, d.position): d for d in done}
    ready = [turn for turn in turns if _all_ended(turn, fresh)]
    if not ready:
        return

    def build() -> ToolsRun:
        further = world.store.open_segment("requests")
        following = [_next_turn(world, turn, fresh, further.append) for turn in ready]
        final = sum(turn.outcome is not None for turn in following)
        event = ToolsRun(
            job=job,
            calls=len(done),
            pending=len(following) - final,
            final=final,
            at=world.clock.now(),
        )
        world.store.continue_turns(following, [further], event)
        return event

    world.hook.event(await world.db(build))


def _all_ended(turn: ToolTurn, fresh: Mapping[tuple[ConversationId, int], CallDone]) -> bool:
    return all(
        call.status in {"done", "failed"} or (turn.conversation, call.position) in fresh
        for call in turn.calls
    )


def _next_turn(
    world: World,
    turn: ToolTurn,
    fresh: Mapping[tuple[ConversationId, int], CallDone],
    append: Callable[[bytes], Any],
) -> NextTurn:
    contract = world.store.contract(turn.contract)
    wire = world.provider(contract.provider).wire(contract.endpoint)
    results: list[JsonObject] = []
    for call in turn.calls:
        ended = fresh.get((turn.conversation, call.position))
        status = ended.status if ended else call.status
        result = (ended.result if ended else call.result) or ""
        if status == "failed":
            outcome: Outcome = "cancelled" if turn.key is None else "failed"
            return NextTurn(turn.conversation, outcome=outcome, reason=result)
        results.append(wire.tool_answer(call.call_id, result))
    stored = world.store.body(turn.request).partition(b"\t")[0]
    assistant = wire.assistant(world.store.body(turn.reply))
    messages = canonical_json(after_tools(from_json(stored), assistant, results))
    size = wire.size(messages) + line_overhead(wire, contract.at(2))
    return NextTurn(turn.conversation, append(messages), size)
