"""The output type of an agent as `output` of a job."""

import inspect
from collections.abc import Callable
from typing import Any, cast

from pydantic_ai import output as theirs
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition

from batchspec.spec.agents.calls import output_function
from batchspec.spec.agents.context import Contexts
from batchspec.spec.agents.found import Findings
from batchspec.spec.output import NativeOutput, PromptedOutput, TextOutput, ToolOutput
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
        self._tools = list(sent.output_tools)

    def of(self, output_type: Any) -> Any:
        """Return `output` of the job; None where text is asked for."""
        given: Any = self._known(output_type)
        match given:
            case theirs.NativeOutput():
                return self._native(_outputs(given), given)
            case theirs.PromptedOutput():
                return self._prompted(_outputs(given), given)
            case theirs.TextOutput():
                return self._text(given)
            case _ if given is str:
                return None
            case _:
                return self._by_mode(given)

    def _by_mode(self, given: Any) -> Any:
        match self._sent.output_mode:
            case "native":
                return self._native(given, None)
            case "prompted":
                return self._prompted(given, None)
            case "text":
                return None
            case _:
                made = [self._member(each) for each in _flat(given)]
                return made[0] if len(made) == 1 else made

    def _member(self, given: Any) -> Any:
        if given is str:
            return str
        if isinstance(given, theirs.TextOutput):
            return self._text(given)
        sent = self._tools.pop(0)
        if not isinstance(given, theirs.ToolOutput):
            return _tool(self._type(given), sent, None)
        marker = cast("Any", given)
        return _tool(self._type(marker.output), sent, marker.max_retries)

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
        return self._function(given) if inspect.isroutine(given) else given

    def _function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return output_function(function, self._contexts, self._retries)

    def _known(self, given: Any) -> Any:
        """Return an output type without what a job cannot answer with."""
        members = _flat(given)
        kept = [each for each in members if not self._refused(each)]
        if len(kept) == len(members):
            return given
        return kept[0] if len(kept) == 1 else kept or str

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
    return list(given) if is_list(given) else [given]
