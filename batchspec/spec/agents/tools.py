"""Tools of an agent as tools of a job.

A call goes through the toolset it came from, so that arguments are validated, functions called and
results written as Pydantic AI does it.
"""

import inspect
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, cast
from weakref import WeakValueDictionary

import anyio
from pydantic import ValidationError
from pydantic_ai.exceptions import ApprovalRequired, CallDeferred, ToolFailed
from pydantic_ai.exceptions import ModelRetry as TheirRetry
from pydantic_ai.messages import ToolReturn, ToolReturnPart
from pydantic_ai.tool_manager import ToolManager
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets import FunctionToolset, ToolsetTool, WrapperToolset
from pydantic_core import from_json

from batchspec.errors import ModelRetry
from batchspec.spec.agents.context import Contexts, NotInABatch
from batchspec.spec.context import RunContext
from batchspec.spec.origin import code_source
from batchspec.spec.output import error_details
from batchspec.spec.strict import Strict
from batchspec.spec.tool import Tool


class TriedTooOften(RuntimeError):  # noqa: N818 - reads as what is said
    """The model called a tool in vain once more than the agent's retries allow."""

    def __init__(self, told: Any, retries: int) -> None:
        super().__init__(f"its {retries} retries are used up; the last call: {told}")


class AgentTool(Tool[..., Any]):
    """A tool of an agent; its schema is the one Pydantic AI would send."""

    def __init__(
        self, definition: ToolDefinition, call: Callable[..., Any], function: Callable[..., Any]
    ) -> None:
        # An exception ends a run of the agent, and so it does here: there is no further attempt.
        super().__init__(
            call,
            name=definition.name,
            description=definition.description or "",
            retries=0,
            strict=bool(definition.strict),
        )
        code = getattr(inspect.unwrap(function), "__code__", None)
        if code is not None:
            self.source = code_source(code)
        self._given = Strict(
            dict(definition.parameters_json_schema), enforced=bool(definition.strict)
        )

    @cached_property
    def _schema(self) -> Strict:
        return self._given

    def bind(self, arguments: str) -> dict[str, Any]:
        """Return the arguments as they came; the toolset validates them when it is called."""
        return {"arguments": arguments}


def _told(error: ValidationError | TheirRetry) -> Any:
    """Return what the model is told of a call that was not accepted, a text or error details."""
    if isinstance(error, ValidationError):
        return from_json(error_details(error))
    return error.message


@dataclass(frozen=True, slots=True, weakref_slot=True)
class _Turn:
    """The calls of one turn: those of a sequential tool run alone."""

    running: list[int] = field(default_factory=lambda: [0])
    changed: anyio.Condition = field(default_factory=anyio.Condition)


@dataclass(frozen=True, slots=True)
class Calls:
    """Runs the calls of an agent's tools.

    Attributes:
        manager: The tools and the toolset they are called through.
        contexts: Makes the functions' contexts.
    """

    manager: ToolManager[Any]
    contexts: Contexts
    _turns: WeakValueDictionary[str, _Turn] = field(default_factory=WeakValueDictionary[str, _Turn])

    async def run(self, name: str, given: RunContext[Any], arguments: str) -> Any:
        """Return what the model is told of a call.

        Raises:
            ModelRetry: The model is to try again.
            Exception: The call failed, and with it the row.
        """
        tool = cast("Mapping[str, ToolsetTool[Any]]", self.manager.tools)[name]
        call = given.call_id.split(".", 3)[-1]
        context = self.contexts.make(
            given,
            tool_name=name,
            tool_call_id=call,
            retry=given.retry,
            retries={name: given.retry},
            max_retries=tool.max_retries,
        )
        try:
            values = tool.args_validator.validate_json(
                arguments or "{}", context=context.validation_context
            )
            if tool.args_validator_func is not None:
                checked = tool.args_validator_func(context, **values)
                if inspect.isawaitable(checked):
                    await checked
            async with self._alone(given.call_id, sequential=tool.tool_def.sequential):
                result = await self.manager.toolset.call_tool(name, values, context, tool)
        except (ValidationError, TheirRetry) as error:
            if given.retry >= tool.max_retries:
                raise TriedTooOften(_told(error), tool.max_retries) from error
            raise ModelRetry(_told(error)) from error
        except ToolFailed as error:
            return {"error": error.message}
        except (CallDeferred, ApprovalRequired) as error:
            what = "put off" if isinstance(error, CallDeferred) else "asked for approval of"
            raise NotInABatch(f"it {what} the call, for which there is nobody here") from error
        return written(name, call, result)

    @asynccontextmanager
    async def _alone(self, call_id: str, *, sequential: bool) -> AsyncGenerator[None]:
        """Let a call begin when no other call of its turn keeps it from that."""
        turn = self._turns.setdefault(".".join(call_id.split(".")[:2]), _Turn())
        async with turn.changed:
            while turn.running[0] if sequential else turn.running[0] < 0:
                await turn.changed.wait()
            turn.running[0] += -1 if sequential else 1
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                async with turn.changed:
                    turn.running[0] += 1 if sequential else -1
                    turn.changed.notify_all()


def tools_of(
    manager: ToolManager[Any], contexts: Contexts, sent: Mapping[str, ToolDefinition]
) -> list[AgentTool]:
    """Return an agent's function tools, in the order they are sent in.

    Args:
        manager: The tools as they are called.
        contexts: Makes their contexts.
        sent: Their definitions as they are sent, by name.
    """
    calls = Calls(manager, contexts)
    made: list[AgentTool] = []
    for name, definition in sent.items():
        functions = functions_of(cast("Any", manager.tools)[name])
        # Its functions stand in the call, for the fingerprint of what runs.
        call = partial(_call, calls, name, partial(_nothing, *functions))
        made.append(AgentTool(definition, call, functions[0] if functions else _call))
    return made


async def _call(
    calls: Calls, name: str, _runs: Callable[..., Any], context: RunContext[Any], *, arguments: str
) -> Any:
    return await calls.run(name, context, arguments)


def _nothing(*_functions: Callable[..., Any]) -> None:
    pass


def functions_of(tool: ToolsetTool[Any]) -> tuple[Callable[..., Any], ...]:
    """Return the functions that a call of a tool may run: its own, and its check of arguments."""
    toolset: Any = tool.toolset
    while isinstance(toolset, WrapperToolset):
        toolset = cast("Any", toolset).wrapped
    found: list[Callable[..., Any]] = []
    name = getattr(tool, "original_name", tool.tool_def.name)
    if isinstance(toolset, FunctionToolset) and name in toolset.tools:
        found.append(toolset.tools[name].function)
    if tool.args_validator_func is not None:
        found.append(tool.args_validator_func)
    return tuple(found)


def written(name: str, call: str, result: Any) -> str:
    """Return a tool's result as the model reads it.

    Raises:
        NotInABatch: It is more than one text or JSON value.
    """
    if isinstance(result, ToolReturn):
        if result.content:
            raise NotInABatch("it returned `ToolReturn.content`, a message beside its result")
        if result.tools:
            raise NotInABatch("it returned `ToolReturn.tools`, and tools do not change in a batch")
        result = result.return_value
    part = ToolReturnPart(tool_name=name, content=result, tool_call_id=call)
    if part.files:
        raise NotInABatch("it returned a file, and the answer to a call is text")
    return part.model_response_str()
