"""Functions of an agent, made callable by a job.

They get a `RunContext` of Pydantic AI instead of ours, and what they raise to ask the model again
becomes our `ModelRetry`. A wrapper leads to the function it wraps by `__wrapped__`, so that a
change of its body is seen as one of the job.
"""

import inspect
from collections.abc import Awaitable, Callable
from functools import update_wrapper
from typing import Any, cast, get_origin, get_type_hints

import pydantic_ai
from pydantic_ai.exceptions import ModelRetry as TheirRetry

from batchspec.errors import ModelRetry
from batchspec.spec.agents.context import Contexts
from batchspec.spec.context import RunContext


def validator(function: Callable[..., Any], contexts: Contexts, most: int) -> Callable[..., Any]:
    """Return an output validator of an agent as one of a job.

    Args:
        function: `(value)` or `(ctx, value)`, `def` or `async def`.
        contexts: Makes its context.
        most: How often an answer is asked for again.
    """
    if len(inspect.signature(function).parameters) == 1:

        def plain(value: Any) -> Any:
            return _asked(function, value)

        return _as(plain, function)

    def with_context(ctx: RunContext[Any], value: Any) -> Any:
        made = contexts.make(ctx, retry=ctx.retry, max_retries=most)
        return _asked(function, made, value)

    return _as(with_context, function)


def output_function(
    function: Callable[..., Any], contexts: Contexts, most: int
) -> Callable[..., Any]:
    """Return an output function of an agent as one of a job, with the same parameters."""
    signature = inspect.signature(function)
    hints = get_type_hints(function, include_extras=True)
    names = list(signature.parameters)
    takes_context = bool(names) and is_their_context(hints.get(names[0]))

    def call(*args: Any, **kwargs: Any) -> Any:
        given = list(args)
        if takes_context:
            ctx = cast("RunContext[Any]", given[0])
            given[0] = contexts.make(ctx, retry=ctx.retry, max_retries=most)
        return _asked(function, *given, **kwargs)

    if takes_context:
        hints[names[0]] = RunContext[Any]
    made: Any = _as(call, function)
    parameters = [
        parameter.replace(annotation=hints.get(name, parameter.annotation))
        for name, parameter in signature.parameters.items()
    ]
    made.__annotations__ = hints
    made.__signature__ = signature.replace(parameters=parameters)
    return cast("Callable[..., Any]", made)


def is_their_context(hint: Any) -> bool:
    """Tell whether an annotation is the `RunContext` of Pydantic AI."""
    return hint is pydantic_ai.RunContext or get_origin(hint) is pydantic_ai.RunContext


def again(error: TheirRetry) -> ModelRetry:
    """Return our way to ask the model again."""
    return ModelRetry(error.message)


def _asked(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    try:
        result = function(*args, **kwargs)
    except TheirRetry as error:
        raise again(error) from error
    return _later(result) if inspect.isawaitable(result) else result


async def _later(result: Awaitable[Any]) -> Any:
    try:
        return await result
    except TheirRetry as error:
        raise again(error) from error


def _as(made: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    kept = dict(made.__annotations__)
    update_wrapper(made, function)
    made.__annotations__ = kept
    # The parameters are the wrapper's own, whatever it leads to.
    made.__signature__ = inspect.Signature(
        [
            inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=hint)
            for name, hint in kept.items()
            if name != "return"
        ]
    )
    return cast("Callable[..., Any]", made)
