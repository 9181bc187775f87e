"""Tools: Python functions a model may call."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial, update_wrapper
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar, get_args, overload

from pydantic import BaseModel, ValidationError

from batchspec.errors import Diagnostic, Source, SpecError
from batchspec.messages import JsonObject, ToolContract
from batchspec.spec.context import takes_context
from batchspec.spec.feedback import error_details
from batchspec.spec.origin import call_site, code_source
from batchspec.spec.shapes import LARGEST
from batchspec.spec.signature import Signature, Undescribed, function_name, written
from batchspec.spec.strict import Strict, sent_schema

if TYPE_CHECKING:
    import pydantic_ai

P = ParamSpec("P")
R = TypeVar("R")

MAX_DESCRIPTION = 1_024
LONGEST_TIMEOUT = 31_536_000
"""Seconds of a year; the clocks of some systems count no further than some hundreds."""
Executor = Literal["thread", "process"]
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")


class ArgumentsInvalid(ValueError):  # noqa: N818 - reads as what is said
    """A model called a tool with arguments that do not fit.

    Attributes:
        message: What the model is told: a JSON array of error details.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Tool(Generic[P, R]):
    """A function and what a model is told about it; calling it calls the function.

    Attributes:
        name: As the model sees it.
        function: The user's function, `def` or `async def`.
        takes_context: Whether its first parameter is a `RunContext`.
        timeout: Seconds one attempt may take.
        retries: Further attempts after an exception.
        once: Never start the same call twice, not even after a crash.
        limit: Calls an item may make; None: any number.
        concurrency: Calls that run at once, whichever items they are of; None: any number.
        pure: Whether equal arguments have one answer, for every row and in every run.
        executor: Where it runs. None: a thread; async functions in a loop of their own.
        strict: Whether the provider is asked to enforce the parameters' schema; None where it can.
        source: Where the function is defined.
    """

    def __init__(  # noqa: PLR0913 - each is a word of the language
        self,
        function: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
        timeout: float | None = None,
        retries: int | None = None,
        once: bool = False,
        limit: int | None = None,
        concurrency: int | None = None,
        pure: bool = False,
        executor: Executor | None = None,
        strict: bool | None = True,
    ) -> None:
        code = getattr(inspect.unwrap(written(function)), "__code__", None)
        self.source: Source = code_source(code) if code else call_site()
        self.function = function
        self.name = name or function_name(function)
        self.takes_context = takes_context(function)
        self.timeout = timeout
        self.retries = (0 if once else 1) if retries is None else retries
        self.once = once
        self.limit = limit
        self.concurrency = concurrency
        self.pure = pure
        self.executor = executor
        self.strict = strict
        self._description = description
        _check_policy(self, description)
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Tool {self.name}>"

    @property
    def description(self) -> str:
        """What the model is told the tool does: the docstring before its first section."""
        return self._signature.description if self._description is None else self._description

    @property
    def parameters(self) -> JsonObject:
        """The JSON schema of the arguments."""
        return self._schema.schema

    @cached_property
    def contract(self) -> ToolContract:
        """What the model is told; problems are not looked at."""
        return ToolContract(self.name, self.description, self.parameters, self._schema.enforced)

    def bind(self, arguments: str) -> dict[str, Any]:
        """Return validated keyword arguments for the function.

        Args:
            arguments: JSON text as the model wrote it.

        Raises:
            ArgumentsInvalid: The text is no JSON, or does not fit the parameters.
        """
        try:
            return self._signature.bind(self._schema.read(arguments))
        except ValidationError as error:
            raise ArgumentsInvalid(error_details(error)) from error

    @property
    def arguments(self) -> type[BaseModel]:
        """The type of the arguments."""
        return self._signature.arguments

    def keywords(self, bound: BaseModel) -> dict[str, Any]:
        """Return validated arguments by the names of the function's parameters."""
        return self._signature.keywords(bound)

    def to_pydantic_ai(self) -> "pydantic_ai.Tool[Any]":
        """Return the tool for an `Agent` of Pydantic AI; needs the extra `pydantic-ai`.

        It tells the model the same and calls the same function; `ModelRetry` means the same. A
        `RunContext` has the run's `deps`, and as `row` what its `metadata` has under that name.
        """
        # By its name: most specs know nothing of Pydantic AI.
        made: pydantic_ai.Tool[Any] = import_module("batchspec.spec.agents.back").tool_of(self)
        return made

    def problems(self) -> list[Diagnostic]:
        """Return what a provider would refuse, or Pydantic cannot describe."""
        try:
            return [self._diagnostic(summary, detail) for summary, detail in self._refusals()]
        except SpecError as error:
            return list(error.diagnostics)

    def _refusals(self) -> Iterator[tuple[str, str]]:
        yield from refusals(self.contract)
        for problem in self._schema.problems:
            yield (
                f"parameters of tool {self.name!r} do not fit strict mode",
                f"{problem}. Or write `@tool(strict=False)`, which only asks for the schema.",
            )

    def _diagnostic(self, summary: str, detail: str) -> Diagnostic:
        return Diagnostic(summary=summary, detail=detail, source=self.source)

    @cached_property
    def _signature(self) -> Signature:
        return Signature(self.function, takes_context=self.takes_context)

    @cached_property
    def _schema(self) -> Strict:
        try:
            return sent_schema(self._signature.schema, strict=self.strict)
        except Undescribed as error:
            why = str(error)
            what = f"tool {self.name!r} cannot be described to a model"
            raise SpecError([self._diagnostic(what, f"{why[0].upper()}{why[1:]}.")]) from error


@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...


@overload
def tool(
    *,
    timeout: float | None = None,
    retries: int | None = None,
    once: bool = False,
    limit: int | None = None,
    concurrency: int | None = None,
    pure: bool = False,
    executor: Executor | None = None,
    name: str | None = None,
    description: str | None = None,
    strict: bool | None = True,
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...


def tool(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a tool; used bare or with options.

    Args:
        function: `def` or `async def`, with or without a `RunContext` first.
        **options: `timeout` in seconds for one attempt; `retries` after an exception (default 1);
            `once=True` never starts a call a second time, not even after a crash; `limit` bounds
            the calls of an item, `concurrency` those that run at once; `pure=True` answers equal
            calls once; `executor="process"` runs it in a process of its own, `"thread"` in a
            thread; `name` and `description` for the model, instead of the function's own;
            `strict=False` where the provider cannot enforce the parameters, `strict=None` to ask
            for it where it can.
    """
    if function is None:
        return partial(Tool, **options)
    if not callable(function):
        raise _refused("`tool` decorates a function", f"Got {function!r:.80}.", call_site())
    return Tool(function)


def _check_policy(tool: Tool[..., Any], description: object) -> None:
    for summary, detail in _impossible(tool, description):
        raise _refused(summary, detail, tool.source)


def _impossible_numbers(tool: Tool[..., Any], own: str) -> Iterator[tuple[str, str]]:
    timeout: Any = tool.timeout
    if timeout is not None and not (
        type(timeout) in {int, float} and 0 < timeout <= LONGEST_TIMEOUT
    ):
        told = f"It is in seconds, more than 0 and at most {LONGEST_TIMEOUT:_}"
        yield f"`timeout` {own} is not a time", f"{told}; got {timeout!r:.80}."
    if type(tool.retries) is not int or not 0 <= tool.retries <= LARGEST:
        told = f"It is a whole number from 0 to {LARGEST:_}; got {tool.retries!r:.80}."
        yield f"`retries` {own} is not a number of attempts", told
    for name in ("limit", "concurrency"):
        value = getattr(tool, name)
        if value is not None and (type(value) is not int or not 1 <= value <= LARGEST):
            told = f"It is a whole number from 1 to {LARGEST:_}; got {value!r:.80}."
            yield f"`{name}` {own} is not a number of calls", told


def _impossible_words(
    tool: Tool[..., Any], own: str, description: object
) -> Iterator[tuple[str, str]]:
    texts: Mapping[str, Any] = {"name": tool.name, "description": description}
    for name, text in texts.items():
        if text is not None and not isinstance(text, str):
            yield f"`{name}` {own} is no text", f"Got {text!r:.80}."
    switches: Mapping[str, Any] = {"once": tool.once, "pure": tool.pure, "strict": tool.strict}
    for name, switch in switches.items():
        if not isinstance(switch, bool) and not (name == "strict" and switch is None):
            yield f"`{name}` {own} is neither True nor False", f"Got {switch!r:.80}."


def _impossible(tool: Tool[..., Any], description: object) -> Iterator[tuple[str, str]]:
    """Yield what of the options cannot be."""
    own = f"of tool {tool.name!r}"
    yield from _impossible_numbers(tool, own)
    yield from _impossible_words(tool, own, description)
    if tool.executor not in (None, *get_args(Executor)):
        yield f"`executor` {own} is not known", f'"thread" or "process"; got {tool.executor!r:.80}.'
    if tool.once and tool.retries:
        what = f"tool {tool.name!r} cannot have both `once` and `retries`"
        yield what, "A tool that runs once is not tried again."
    if tool.once and tool.pure:
        what = f"tool {tool.name!r} cannot be both `once` and `pure`"
        yield what, "`once` is for what has effects, `pure` for what has none."
    if tool.pure and tool.takes_context:
        what = f"tool {tool.name!r} is `pure` and takes a RunContext"
        yield what, "The answer of a pure tool depends on its arguments alone; drop one of the two."
    if tool.executor == "process" and tool.takes_context:
        what = f"tool {tool.name!r} runs in a process and takes a RunContext"
        yield what, "What `deps` made is of this process; give it what it needs as arguments."


def refusals(contract: ToolContract) -> Iterator[tuple[str, str]]:
    """Yield what a provider would refuse in a tool's name and description, and what to do."""
    if not _NAME.match(contract.name):
        yield (
            f"tool name {contract.name!r} is out of bounds",
            "1 to 64 letters, digits, _ and - are allowed; set `@tool(name=…)`.",
        )
    if len(contract.description) > MAX_DESCRIPTION:
        length = len(contract.description)
        detail = (
            f"It has {length:_} characters, at most {MAX_DESCRIPTION:_} are allowed; shorten"
            " the docstring or set `@tool(description=…)`."
        )
        yield f"description of tool {contract.name!r} is too long", detail


def _refused(summary: str, detail: str, source: Source) -> SpecError:
    return SpecError([Diagnostic(summary=summary, detail=detail, source=source)])
