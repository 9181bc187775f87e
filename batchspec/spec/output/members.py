"""What an answer may be: a type, or a function that makes it."""

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, is_dataclass
from functools import cached_property, partial
from types import NoneType
from typing import Any, TypeGuard, cast, get_origin, get_type_hints

from pydantic import BaseModel
from typing_extensions import is_typeddict

from batchspec.spec.context import takes_context
from batchspec.spec.result import completed
from batchspec.spec.shapes import is_list
from batchspec.spec.tool import Tool

DEFAULT_NAME = "final_result"
MAX_NAME = 64


class Member:
    """One thing an answer may be.

    Attributes:
        given: The type, or the function, as it was written.
        function: What makes the output; None for a type, which is the output itself.
    """

    def __init__(self, given: Any) -> None:
        self.given = given
        self.function: Tool[..., Any] | None = None
        if is_function(given):
            self.function = (
                cast("Tool[..., Any]", given) if isinstance(given, Tool) else Tool(given)
            )

    @cached_property
    def kind(self) -> Any:
        """The type the model's JSON has to fit."""
        if self.function is None:
            return self.given
        return self._only if self._only is not None else self.function.arguments

    @cached_property
    def _only(self) -> Any:
        """The type of a function's only parameter, where that is an object by itself."""
        function = self.function
        if function is None:
            return None
        parameters = list(inspect.signature(function.function).parameters)
        names = parameters[function.takes_context :]
        hints = get_type_hints(function.function, include_extras=True) if len(names) == 1 else {}
        kind = hints.get(names[0]) if names else None
        return kind if _is_object(kind) else None

    @property
    def name(self) -> str:
        """What it is called, "" where it has no name of its own."""
        if self.function is not None:
            return self.function.name
        given = self.given
        name = re.sub(r"[^a-zA-Z0-9_-]", "_", getattr(given, "__name__", "") or "")
        is_own = isinstance(given, type) and given.__module__ != "builtins"
        return name[:MAX_NAME] if is_own else ""

    @property
    def takes_context(self) -> bool:
        """Whether it is a function that wants a `RunContext`."""
        return self.function is not None and self.function.takes_context

    def value(self, read: Any) -> Any:
        """Return what was read, or what is to be made of it."""
        if self.function is None:
            return read
        if self._only is not None:
            return Unfinished(self.function.function, self.takes_context, (read,), {})
        keywords = self.function.keywords(read)
        return Unfinished(self.function.function, self.takes_context, (), keywords)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What an output function is still to be called with."""

    function: Callable[..., Any]
    takes_context: bool
    arguments: Sequence[Any]
    keywords: dict[str, Any]

    def finish(self, context: Any) -> Any:
        """Call the function.

        Raises:
            ModelRetry: The function asks for another answer.
            Exception: Whatever else it raises.
        """
        before = (context,) if self.takes_context else ()
        return completed(self.function(*before, *self.arguments, **self.keywords))


def finished(value: Any, context: Any) -> Any:
    """Return an output after its function, if it has one."""
    return value.finish(context) if isinstance(value, Unfinished) else value


def text_member(function: Callable[..., Any]) -> Callable[[str], Unfinished]:
    """Return what reads a text for a `TextOutput`."""
    wants = takes_context(function)
    return lambda text: Unfinished(function, wants, (text,), {})


def is_function(given: object) -> bool:
    """Tell whether an output is a function, not a type."""
    return inspect.isroutine(given) or isinstance(given, partial | Tool)


def names_of(members: Sequence[Member], prefix: str = "") -> list[str]:
    """Return a name for each; one that is taken gets `_2`, `_3`, …."""
    names: list[str] = []
    for member in members:
        name = f"{prefix}{member.name or _plain_name(member.given)}"
        names.append(unique(name, names))
    return names


def unique(name: str, taken: Sequence[str]) -> str:
    """Return a name that is not taken and short enough."""
    name, number = name[:MAX_NAME], 2
    found = name
    while found in taken:
        found = f"{name[: MAX_NAME - 4]}_{number}"
        number += 1
    return found


def _plain_name(given: Any) -> str:
    if given is NoneType:
        return "None"  # what a person writes
    origin = get_origin(given)
    name = getattr(given, "__name__", None) or getattr(origin, "__name__", None) or "value"
    return re.sub(r"[^a-zA-Z0-9_-]", "_", str(name))


def _is_object(kind: Any) -> bool:
    bare: Any = get_origin(kind) or kind
    if isinstance(bare, type) and issubclass(bare, BaseModel):
        return True
    return is_dataclass(cast("object", bare)) or is_typeddict(cast("object", bare))


def is_several(given: object) -> TypeGuard[Sequence[Any]]:
    """Tell whether an output is a list of what the model may choose from."""
    return is_list(given)
