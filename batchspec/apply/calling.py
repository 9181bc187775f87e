"""Calling one tool: what the model is told, or why the item fails."""

import inspect
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, cast

import anyio
from pydantic_core import PydanticSerializationError, from_json

from batchspec.apply.here import Here
from batchspec.apply.processes import ProcessDied, Worker
from batchspec.apply.threads import FunctionRaised
from batchspec.apply.world import LocalJob
from batchspec.errors import ModelRetry, asked, shortened
from batchspec.ids import JobAddress
from batchspec.messages import JsonObject
from batchspec.redaction import raised as raised_words
from batchspec.redaction import redacted
from batchspec.spec.context import RunContext
from batchspec.spec.feedback import call_error
from batchspec.spec.result import ResultTooLong, awaited, content, is_async
from batchspec.spec.tool import ArgumentsInvalid, Tool
from batchspec.state.stored import CallRecord, ToolTurn

_NEVER_TWICE = ", and a tool marked `once` never runs twice"


class Ended(NamedTuple):
    """How a call ended.

    Attributes:
        failed: Whether it costs the item.
        text: For the model; or why it failed.
        attempts: How often the function was called.
        good: Whether it is what the function returned, and not what is wrong.
        code: Of what ran in another process, which may have imported it later; None: of what was
            loaded here.
    """

    failed: bool
    text: str
    attempts: int = 0
    good: bool = False
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A call that can be made: its arguments fit."""

    tool: Tool[..., Any]
    arguments: dict[str, Any]


def prepare(  # noqa: PLR0911 - each way a call can end before it is made
    local: LocalJob | None, job: JobAddress, turn: ToolTurn, call: CallRecord
) -> Prepared | Ended:
    """Say which function is to be called with what, or what becomes of the call without that."""
    if local is None:
        return Ended(
            failed=True,
            text=f"job {job} is not in the specs any more, so its tools cannot run",
            attempts=call.attempts,
        )
    if turn.key is None:
        return Ended(failed=True, text="no row wants it any more", attempts=call.attempts)
    tool = local.desired.tools.get(call.name)
    if tool is None:
        offered = [*local.desired.tools, *(tool.name for tool in local.desired.output.tools)]
        return Ended(failed=False, text=call_error(_unknown(call.name, offered)))
    if tool.once and call.status == "running":
        told = call.result or f"tool {call.name!r} may have run before an interruption"
        told = f"{told.removesuffix(_NEVER_TWICE)}{_NEVER_TWICE}"
        return Ended(failed=True, text=told, attempts=call.attempts)
    if tool.limit is not None and _number(turn, call) > tool.limit:
        return Ended(failed=False, text=call_error(_too_often(tool)))
    try:
        return Prepared(tool, tool.bind(call.arguments))
    except ArgumentsInvalid as error:
        return Ended(failed=False, text=call_error(from_json(error.message)))
    except Exception as error:  # noqa: BLE001 - a bug of a type costs this item, never the job
        told = f"arguments of {tool.name!r} raised {raised_words(error)}"
        return Ended(failed=True, text=told)


def _unknown(name: str, tools: Sequence[str]) -> str:
    names = ", ".join(repr(known) for known in tools)
    return f"Unknown tool name: {name!r}. Available tools: {names}"


def _number(turn: ToolTurn, call: CallRecord) -> int:
    """Return the number of a call among those of its tool in its conversation, from 1.

    Every call counts that the model asked for, so that none depends on how another one ends.
    """
    beside = sum(c.name == call.name and c.position <= call.position for c in turn.calls)
    return turn.earlier.get(call.name, 0) + beside


def _too_often(tool: Tool[..., Any]) -> str:
    times = "once" if tool.limit == 1 else f"{tool.limit} times"
    return f"Tool {tool.name!r} may be called {times}, calls in vain included. Go on without it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Calling:
    """One call of a tool that has its place."""

    here: Here
    local: LocalJob
    turn: ToolTurn
    call: CallRecord
    row: dict[str, Any]

    async def ready(self, prepared: Prepared) -> "Ready":
        """Return the call with what it takes besides its arguments; nothing of it runs yet.

        Raises:
            SpecError: The job's `deps` cannot be made.
        """
        return Ready(prepared, await self._context() if prepared.tool.takes_context else None)

    async def run(self, ready: "Ready") -> Ended:
        """Call the function until it returns, the model is to try again, or no retry is left."""
        prepared, context = ready
        tool = prepared.tool
        # Calls that an interruption cut short count as attempts, and cost no retry.
        before = self.call.attempts
        reason = ""
        for attempt in range(before + 1, before + tool.retries + 2):
            positional = (context(attempt=attempt),) if context is not None else ()
            try:
                text, code = await self._attempt(prepared, positional)
                return Ended(failed=False, text=text, attempts=attempt, good=True, code=code)
            except FunctionRaised as raised:
                # By its own type: what it says of its class is users' code.
                if issubclass(type(raised.error), ModelRetry):
                    # An agent's tool tells what is wrong with its arguments as a list of details.
                    plain = raised.error if type(raised.error) is ModelRetry else None
                    details = None if plain is None else cast("object", plain.message)
                    said: object = (
                        details if issubclass(type(details), list) else asked(raised.error)
                    )
                    return Ended(failed=False, text=call_error(said), attempts=attempt)
                reason = _why(raised.error)
            except TimeoutError:
                reason = f"took longer than {tool.timeout} s"
            except ProcessDied as died:
                reason = f"did not answer: {died}"
        told = f"tool {tool.name!r} {reason}"
        return Ended(failed=True, text=told, attempts=before + tool.retries + 1)

    async def _context(self) -> Callable[..., RunContext[Any]]:
        turn, call = self.turn, self.call
        return partial(
            RunContext,
            deps=await self.local.deps_here(),
            job=self.local.desired.address,
            key=turn.key or "",
            row=self.row,
            turn=turn.turn,
            call_id=f"{turn.conversation}.{turn.turn}.{call.position}.{call.call_id}",
            retry=turn.tried.get(call.name, 0),
        )

    async def _attempt(
        self, prepared: Prepared, positional: tuple[Any, ...]
    ) -> tuple[str, str | None]:
        """Return what the model is told, and the code of what ran in another process.

        Raises:
            FunctionRaised: The function raised, or returned what cannot be told.
            TimeoutError: It took too long.
            ProcessDied: Its process did.
        """
        tool, code = prepared.tool, None
        async with AsyncExitStack() as stack:
            run: Callable[[], Any]
            if tool.executor == "process":
                worker = await stack.enter_async_context(self.here.processes.worker())
                # Starting Python and importing the spec is none of the function's time.
                code = await _looked_up(worker, tool)
                run = partial(_in_process, worker.ask, tool, self.call.arguments)
            else:
                call = partial(tool.function, *positional, **prepared.arguments)
                run = partial(_in_loop if _is_async(tool) else _in_thread, self.here, call)
            # The call has its place already: the time is its own, no other call's.
            with anyio.fail_after(tool.timeout):
                text: str = await run()
        return text, code


class Ready(NamedTuple):
    """A call that has all it takes."""

    prepared: Prepared
    context: Callable[..., RunContext[Any]] | None


def _is_async(tool: Tool[..., Any]) -> bool:
    return tool.executor is None and inspect.iscoroutinefunction(tool.function)


async def _in_loop(here: Here, call: Callable[[], Any]) -> str:
    async def told() -> str:
        return content(await awaited(call()))

    text: str = await here.loop.run(told)
    return text


async def _in_thread(here: Here, call: Callable[[], Any]) -> str:
    """Run a function in a thread; one that is left behind on a timeout has its result dropped."""

    def told() -> Any:
        result = call()
        return result if is_async(result) else content(result)

    result = await here.threads.run(told)
    return await _in_loop(here, lambda: result) if is_async(result) else result


def _place(tool: Tool[..., Any]) -> JsonObject:
    function = tool.function
    return {"module": function.__module__, "name": function.__qualname__}


async def _looked_up(worker: Worker, tool: Tool[..., Any]) -> str:
    """Let a process import a function; returns the fingerprint of its code there.

    Raises:
        FunctionRaised: It cannot be imported any more.
        ProcessDied: The process did.
    """
    place = _place(tool)
    name = f"{place['module']}:{place['name']}"
    if name not in worker.known:
        answer = await worker.ask(place)
        if "code" not in answer:
            raise FunctionRaised(RaisedElsewhere(str(answer.get("raised"))))
        worker.known[name] = str(answer["code"])
    return worker.known[name]


async def _in_process(ask: Callable[[Any], Any], tool: Tool[..., Any], arguments: str) -> str:
    match await ask({**_place(tool), "arguments": arguments}):
        case {"content": str(text)}:
            return text
        case {"retry": str(message)}:
            raise FunctionRaised(ModelRetry(message))
        case answer:
            raise FunctionRaised(RaisedElsewhere(str(answer.get("raised"))))


class RaisedElsewhere(Exception):  # noqa: N818 - reads as what happened
    """What a function raised in a process of its own, in words."""


def _why(error: BaseException) -> str:
    kind = type(error)
    if issubclass(kind, RaisedElsewhere):
        return f"raised {shortened(redacted(str(error)))}"
    if issubclass(kind, PydanticSerializationError):
        return f"returned what JSON cannot hold ({shortened(redacted(str(error)))})"
    if issubclass(kind, ResultTooLong):
        return f"returned too much: {error}"
    return f"raised {raised_words(error)}"
