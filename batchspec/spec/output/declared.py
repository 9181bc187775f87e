"""What `output=` accepts, checked as the job is made."""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel

from batchspec.spec.context import takes_context
from batchspec.spec.output.markers import (
    NativeOutput,
    OrNothing,
    PromptedOutput,
    TextOutput,
    ToolOutput,
)
from batchspec.spec.output.members import is_function, is_several
from batchspec.spec.shapes import LARGEST

_ONE = "write output=[ToolOutput(A), ToolOutput(B)] for a tool each"


def output_problems(output: Any) -> Iterator[str]:
    """Yield what is wrong with an output, a sentence each."""
    if isinstance(output, OrNothing):
        yield from output_problems(output.output)
    elif is_several(output):
        if not output:
            yield "a list of outputs cannot be empty."
        yield from _listed(output)
    else:
        yield from _single(output)


def _single(output: Any) -> Iterator[str]:
    match output:
        case NativeOutput() | PromptedOutput():
            yield from _of_schema(output)
        case ToolOutput():
            yield from _of_tool(output)
        case TextOutput():
            yield from _of_text(output.function)
        case _:
            yield from _type(output)


def _of_text(given: object) -> Iterator[str]:
    if not callable(given) or isinstance(given, type):
        yield f"TextOutput takes a function of the text; got {given!r:.80}."
        return
    try:
        # Later each answer would be paid for before the call fails.
        inspect.signature(given).bind(*[None] * (1 + takes_context(given)))
    except (TypeError, ValueError):
        yield (
            f"the function of TextOutput must take (text), or (ctx: RunContext, text); got"
            f" {given!r:.80}."
        )


def _listed(outputs: Any) -> Iterator[str]:
    for output in outputs:
        if isinstance(output, NativeOutput | PromptedOutput):
            kind = type(output).__name__
            yield f"{kind} stands alone: write {kind}([A, B]), not [{kind}(A), B]."
        elif output is None:
            yield "None is no output; write `str` where text is allowed."
        elif is_several(output):
            yield "a list of outputs holds no other list."
        else:
            yield from _single(output)
    texts = [each for each in outputs if each is str or isinstance(each, TextOutput)]
    if len(texts) > 1:
        yield "text can be read in one way only: keep one `str` or `TextOutput`."
    else:
        yield from _doubled(outputs)


def _doubled(outputs: Sequence[Any]) -> Iterator[str]:
    """Yield what stands twice: the model would choose between equals."""
    asked = [each if isinstance(each, ToolOutput) else ToolOutput(each) for each in outputs]
    for place, each in enumerate(asked):
        if asked.index(each) < place:
            yield f"{_shown(outputs[place])} stands twice in a list of outputs: keep one."


def _shown(output: Any) -> str:
    return output.__name__ if isinstance(output, type) else f"{output!r:.80}"


def _of_schema(output: NativeOutput | PromptedOutput) -> Iterator[str]:
    yield from _words(output)
    members = output.type if is_several(output.type) else [output.type]
    if not members:
        yield "a list of outputs cannot be empty."
    for member in members:
        if isinstance(member, NativeOutput | PromptedOutput | ToolOutput | TextOutput):
            name = type(member).__name__
            yield f"{type(output).__name__} takes types and functions; got {name}(…)."
        elif is_several(output.type) and member is str:
            yield f"{type(output).__name__} asks for JSON; put `str` beside it in tool mode."
        elif not (member is str or member is None):
            yield from _type(member)
    yield from _doubled(members)
    template = getattr(output, "template", None)
    if template is not None and "{schema}" not in str(template):
        yield "`template` of PromptedOutput needs `{schema}` in it."


def _words(output: NativeOutput | PromptedOutput | ToolOutput) -> Iterator[str]:
    kind = type(output).__name__
    for name in ("name", "description", "template"):
        text: object = getattr(output, name, None)
        if text is not None and not isinstance(text, str):
            yield f"`{name}` of {kind} is a text; got {text!r:.80}."
    strict: object = getattr(output, "strict", None)
    if strict is not None and not isinstance(strict, bool):
        yield f"`strict` of {kind} is True, False or None; got {strict!r:.80}."


def _of_tool(output: ToolOutput) -> Iterator[str]:
    yield from _words(output)
    if is_several(output.type):
        yield f"ToolOutput takes one type; {_ONE}."
    else:
        yield from _type(output.type)
    most: object = output.max_retries
    if most is not None and (type(most) is not int or not 0 <= most <= LARGEST):
        yield (
            f"`max_retries` of ToolOutput is a whole number from 0 to {LARGEST:_}; got"
            f" {most!r:.80}."
        )


def _type(output: Any) -> Iterator[str]:
    if isinstance(output, str | int | float | dict | set | BaseModel):
        yield (
            "it is None or str for text, a type, a function, a list of these, or NativeOutput(…),"
            f" ToolOutput(…), PromptedOutput(…) or TextOutput(…); got {output!r:.80}."
        )
    elif is_function(output) and not _asks(output):
        yield f"an output function makes the output of its parameters; got {output!r:.80}."


def _asks(function: Any) -> bool:
    """Tell whether there is anything a model could give a function."""
    try:
        return len(inspect.signature(function).parameters) > takes_context(function)
    except ValueError:
        return False
