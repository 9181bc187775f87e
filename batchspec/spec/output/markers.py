"""The words of `output=`: which mode an answer is asked for in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class NativeOutput:
    """Asks for a type in the provider's native mode, where it enforces the JSON schema.

    A bare type as `output` means the same.

    Args:
        type: What the answer is: a Pydantic model, a dataclass, a TypedDict, or any other type
            with a JSON schema, such as `list[str]` (which is wrapped in an object); a function
            that makes it of such parameters; or a list of these, of which the model chooses one.
        name: Of the schema, as the provider sees it.
        description: Of the schema, as the model sees it.
        strict: False asks the provider for its best effort only, which allows every schema; None
            asks it to enforce the schema where it can.
    """

    type: Any
    name: str | None = None
    description: str | None = None
    strict: bool | None = True


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """Asks for a type as the arguments of a tool, whose call ends the conversation.

    Args:
        type: A type with a JSON schema, or a function that makes the answer of its parameters.
        name: Of the tool; `final_result` where it is the only one, else `final_result_<Type>`.
        description: Of the tool; by default the docstring of the type or the function.
        strict: False asks the provider for its best effort only, which allows every schema; None
            asks it to enforce the schema where it can.
        max_retries: How often this answer is asked for again, instead of `output_retries`.
    """

    type: Any
    name: str | None = None
    description: str | None = None
    strict: bool | None = True
    max_retries: int | None = None


@dataclass(frozen=True, slots=True)
class PromptedOutput:
    """Asks for a type in the instructions, for models that know no other way.

    Args:
        type: As of `NativeOutput`.
        name: Told with the schema, as its title.
        description: Told with the schema.
        template: What the model is told, with `{schema}` in it.
    """

    type: Any
    name: str | None = None
    description: str | None = None
    template: str | None = None


@dataclass(frozen=True, slots=True)
class TextOutput:
    """Asks for text, and makes the output of it on this machine.

    Args:
        function: `(text)` or `(ctx, text)`, `def` or `async def`; its result is the output, and
            `ModelRetry` in it asks the model again.
    """

    function: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class OrNothing:
    """Takes a reply without text and calls as an answer, None, as agents of Pydantic AI do.

    Args:
        output: What is asked for.
    """

    output: Any


Marker = NativeOutput | ToolOutput | PromptedOutput
