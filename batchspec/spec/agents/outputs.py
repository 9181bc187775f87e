"""The output type of an agent as `output` of a job."""

import inspect
from collections.abc import Callable
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic_ai import output as theirs
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition
from typing_extensions import TypeAliasType

from batchspec.spec.agents.calls import output_function
from batchspec.spec.agents.context import Contexts
from batchspec.spec.agents.found import Findings
from batchspec.spec.output import (
    NativeOutput,
    OrNothing,
    PromptedOutput,
    TextOutput,
    ToolOutput,
)
from batchspec.spec.shapes import is_list

_NOT_OURS = {
    "DeferredToolRequests": "calls that are put off, for which a batch has nobody to answer",
    "BinaryImage": "an image, which no batch endpoint answers with",
    "PendingModelResponse": "a pending response; a batch waits for all of them",
}
"""By the names of Pydantic AI, not all of which are in each version."""


class Outputs:
    """Turns one agent's output type into a job's.

    Args:
        agent: Whose it is.
        contexts: Makes the contexts of output functions.
        sent: What the first request asks for.
        retries: How often an answer is asked for again.
        found: Gets what cannot be asked for.
    """

    def __init__(
        self,
        contexts: Contexts,
        sent: ModelRequestParameters,
        retries: int,
        found: Findings,
    ) -> None:
        self._contexts, self._sent, self._retries, self._found = contexts, sent, retries, found

    def of(self, output_type: Any) -> Any:
        """Return `output` of the job; None where text is asked for."""
        members = [each for each in _flat(output_type) if not self._refused(each)]
        given = [each for each in members if not _is_none(each)]
        made = self._made(given or [str], [each for each in members if _is_none(each)])
        return made if len(given) == len(members) else OrNothing(made)

    def _made(self, given: list[Any], nones: list[Any]) -> Any:
        """Return what is asked for.

        Args:
            given: What an answer may be, but for None.
            nones: The ways in which None is among it.
        """
        match given[0]:
            case theirs.NativeOutput():
                return self._native(_outputs(given[0]), given[0])
            case theirs.PromptedOutput():
                return self._prompted(_outputs(given[0]), given[0])
            case _:
                texts = [each for each in given if _is_text(each)]
                typed = _in_order([each for each in given if not _is_text(each)], nones)
                return self._by_mode(typed, texts)

    def _by_mode(self, typed: list[Any], texts: list[Any]) -> Any:
        match self._sent.output_mode:
            case "native":
                return self._native(typed, None)
            case "prompted":
                return self._prompted(typed, None)
            case _:
                tools = self._sent.output_tools
                if len(tools) != len(typed):
                    self._found.broken("Its output tools are not those of its output type.")
                made = [self._tool(*both) for both in zip(typed, tools, strict=False)]
                made += [str if each is str else self._text(each) for each in texts]
                alone = made[0] if len(made) == 1 else made
                return None if alone is str else alone

    def _tool(self, given: Any, sent: ToolDefinition) -> Any:
        if not _is_tool(given):
            return _tool(self._type(given), sent, None)
        return _tool(self._type(given.output), sent, given.max_retries)

    def _text(self, marker: Any) -> TextOutput:
        return TextOutput(self._function(marker.output_function))

    def _native(self, outputs: Any, marker: Any) -> NativeOutput:
        asked = self._sent.output_object
        if marker is not None and marker.template:
            self._found.refuse(
                "output_type", "NativeOutput(template=…) puts the schema into the instructions too."
            )
        return NativeOutput(
            self._types(outputs),
            name=asked.name if asked else None,
            description=asked.description if asked else None,
            strict=bool(asked and asked.strict),
        )

    def _prompted(self, outputs: Any, marker: Any) -> PromptedOutput:
        template = self._sent.prompted_output_template
        if template is False:
            self._found.refuse("output_type", "PromptedOutput(template=False) tells no schema.")
        return PromptedOutput(
            self._types(outputs),
            name=marker.name if marker else None,
            description=marker.description if marker else None,
            template=template.strip() if isinstance(template, str) else None,
        )

    def _types(self, outputs: Any) -> Any:
        made = [self._type(each) for each in _flat(outputs)]
        return made[0] if len(made) == 1 else made

    def _type(self, given: Any) -> Any:
        if inspect.isroutine(given):
            return self._function(given)
        return NoneType if given is None else given

    def _function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return output_function(function, self._contexts, self._retries)

    def _refused(self, given: Any) -> bool:
        is_theirs = getattr(given, "__module__", "").startswith("pydantic_ai.")
        why = _NOT_OURS.get(getattr(given, "__name__", "")) if is_theirs else None
        if why is not None:
            self._found.refuse("output_type", f"Its output type allows {why}.")
        return why is not None


def _tool(kind: Any, sent: ToolDefinition, most: int | None) -> ToolOutput:
    return ToolOutput(
        kind,
        name=sent.name,
        description=sent.description,
        strict=bool(sent.strict),
        max_retries=most,
    )


def _outputs(marker: Any) -> Any:
    return marker.outputs


def _flat(given: Any) -> list[Any]:
    """Return what an answer may be, as Pydantic AI takes it apart: `A | B` is `[A, B]`."""
    if is_list(given):
        return [member for each in given for member in _flat(each)]
    return _union(given) or [given]


def _union(given: Any) -> list[Any]:
    """Return the members of a union as they are written; none: it is no union."""
    if isinstance(given, TypeAliasType):
        given = given.__value__
    bare = _bare(given)
    return list(get_args(bare)) if get_origin(bare) in {Union, UnionType} else []


def _bare(given: Any) -> Any:
    """Return a type without the notes of `Annotated`."""
    while get_origin(given) is Annotated:
        given = get_args(given)[0]
    return given


def _is_none(given: Any) -> bool:
    return _bare(given) in (None, NoneType)


def _is_text(given: Any) -> bool:
    return given is str or isinstance(given, theirs.TextOutput)


def _is_tool(given: Any) -> bool:
    return isinstance(given, theirs.ToolOutput)


def _in_order(typed: list[Any], nones: list[Any]) -> list[Any]:
    """Return what has a tool of its own in the order of Pydantic AI: `None` is the last one."""
    named = [each for each in typed if _is_tool(each)]
    others = [each for each in typed if not _is_tool(each)]
    noted = next((each for each in nones if each not in (None, NoneType)), NoneType)
    return [*named, *others, *([noted] if typed and nones else [])]
