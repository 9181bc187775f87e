"""The other way: a tool of a job in an agent of Pydantic AI."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import anyio.to_thread
import pydantic_ai
from pydantic_ai.exceptions import ModelRetry as TheirRetry
from pydantic_core import to_json

from batchspec.errors import ModelRetry
from batchspec.spec.context import RunContext
from batchspec.spec.tool import ArgumentsInvalid, Tool


def tool_of(tool: Tool[..., Any]) -> pydantic_ai.Tool[Any]:
    """Return a tool of Pydantic AI that tells the model the same and calls the same function.

    Its `RunContext` has the run's `deps`, and as `row` what the run's `metadata` has under that
    name.
    """

    async def call(ctx: pydantic_ai.RunContext[Any], **arguments: Any) -> Any:
        try:
            bound = tool.bind(to_json(arguments).decode())
            given = (_context(ctx),) if tool.takes_context else ()
            return await _called(partial(tool.function, *given, **bound))
        except (ModelRetry, ArgumentsInvalid) as error:
            raise TheirRetry(error.message) from error

    made: pydantic_ai.Tool[Any] = pydantic_ai.Tool.from_schema(
        call, tool.name, tool.description, tool.parameters, takes_ctx=True
    )
    made.strict, made.timeout = tool.contract.strict, tool.timeout
    return made


async def _called(function: Callable[[], Any]) -> Any:
    if inspect.iscoroutinefunction(function):
        return await function()
    # In a thread, as Pydantic AI does with plain functions.
    result = await anyio.to_thread.run_sync(function)
    return await result if inspect.isawaitable(result) else result


def _context(ctx: pydantic_ai.RunContext[Any]) -> RunContext[Any]:
    row = cast("dict[str, Any]", (ctx.metadata or {}).get("row", {}))
    return RunContext(
        deps=ctx.deps,
        job=(ctx.agent and ctx.agent.name) or "",
        key=str(ctx.run_id or ""),
        row=row,
        turn=ctx.run_step,
        call_id=ctx.tool_call_id or "",
        retry=ctx.retry,
    )
