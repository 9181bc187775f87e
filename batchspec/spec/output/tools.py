"""Tool mode: the answer is the arguments of a tool, whose call ends the conversation."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from batchspec.messages import Reply, ToolContract
from batchspec.spec.feedback import OutputInvalid, call_error, invalid_call
from batchspec.spec.output.forms import Form, plain_value
from batchspec.spec.output.markers import TextOutput, ToolOutput
from batchspec.spec.output.members import DEFAULT_NAME, Member, names_of, unique
from batchspec.spec.output.modes import Candidate, OutputMode, TextMode
from batchspec.spec.strict import Problem

DESCRIPTION = "The final answer. Calling this ends the conversation."
"""Of an output tool whose type says nothing itself."""


class OutputTool:
    """One output tool."""

    def __init__(self, name: str, marker: ToolOutput, *, prefix: str) -> None:
        self.name = name
        self.marker = marker
        self.form = Form(Member(marker.type), strict=marker.strict)
        self._prefix = prefix

    @cached_property
    def contract(self) -> ToolContract:
        """What the model is told."""
        schema = dict(self.form.schema.schema)
        own = schema.pop("description", None)
        function = self.form.member.function
        said = (function and function.description) or own or DESCRIPTION
        # What a person wrote for the model is sent as it is.
        told = self.marker.description or f"{self._prefix}{said}"
        return ToolContract(self.name, told, schema, self.form.schema.enforced)


class ToolMode(OutputMode):
    """Each thing an answer may be is a tool; where text is allowed too, it need not be called.

    What the state keeps is the arguments; `{"tool": …, "arguments": …}` where it takes a name to
    tell what they are.
    """

    typed = True

    def __init__(self, markers: Sequence[ToolOutput], text: TextMode | None = None) -> None:
        self.text = text
        self.output_tools = {tool.name: tool for tool in _named(markers)}
        self._lone = next(iter(self.output_tools.values())) if len(markers) == 1 else None
        self._lone = None if text else self._lone
        self.tool_choice = None if text else "required"
        functions = [tool.form.member.function for tool in self.output_tools.values()]
        self.finishes = any(functions) or (text is not None and text.finishes)

    @property
    def takes_context(self) -> bool:  # type: ignore[override]
        """Whether an output function wants a `RunContext`."""
        wants = any(tool.form.member.takes_context for tool in self.output_tools.values())
        return wants or (self.text is not None and self.text.takes_context)

    @cached_property
    def tools(self) -> tuple[ToolContract, ...]:  # type: ignore[override]
        """The output tools, as the model sees them."""
        return tuple(tool.contract for tool in self.output_tools.values())

    @property
    def problems(self) -> tuple[Problem, ...]:  # type: ignore[override]
        """What the provider's strict mode would refuse."""
        tools = self.output_tools.values()
        return tuple(problem for tool in tools for problem in tool.form.schema.problems)

    @property
    def runs(self) -> Mapping[str, Any]:
        """The types and functions."""
        found = {
            f"output {name}": tool.form.member.given for name, tool in self.output_tools.items()
        }
        return {**found, **(self.text.runs if self.text is not None else {})}

    @property
    def max_retries(self) -> Mapping[str, int]:
        """Bounds of single output tools, by name."""
        bounds = {name: tool.marker.max_retries for name, tool in self.output_tools.items()}
        return {name: bound for name, bound in bounds.items() if bound is not None}

    def _candidates(self, reply: Reply) -> Sequence[Candidate]:
        calls = [call for call in reply.tool_calls if call.name in self.output_tools]
        if not calls and self.text is not None:
            return self.text.candidates(reply)
        return [
            Candidate(self._kept(call.name, call.arguments), call.id, call.name) for call in calls
        ]

    def _kept(self, name: str, arguments: str) -> str:
        """Return what the state keeps of a call."""
        arguments = arguments.strip() or "{}"
        return arguments if self._lone is not None else f"{_head(name)}{arguments}}}"

    def _parse(self, text: str) -> Any:
        if self._lone is not None:
            return _read(self._lone, text)
        if (called := self._called(text)) is not None:
            return _read(*called)
        if self.text is None or not text.strip():
            raise OutputInvalid(self.nothing())
        return self.text.parse(text)

    def _called(self, text: str) -> tuple[OutputTool, str] | None:
        for name, tool in self.output_tools.items():
            if text.startswith(head := _head(name)) and text.endswith("}"):
                return tool, text[len(head) : -1]
        return None

    def wanted(self) -> str:
        """Say what is wanted."""
        names = ", ".join(repr(name) for name in self.output_tools)
        one = f"the tool {names}" if len(self.output_tools) == 1 else f"one of the tools {names}"
        text = "return text, or " if self.text is not None else ""
        return f"Please {text}give your answer by calling {one}."

    def misfit(self, error: OutputInvalid, candidate: Candidate) -> OutputInvalid:
        """Return what the model is told of a candidate that does not fit."""
        return OutputInvalid(error.message, candidate.call)

    def retry(self, said: str, candidate: Candidate) -> str:
        """Return what the model is told where `ModelRetry` was raised, or a bug of ours."""
        return super().retry(said, candidate) if candidate.call is None else call_error(said)

    def dump(self, value: Any) -> Any:
        """Return an output as JSON value."""
        if value is None or self._lone is None:
            return plain_value(value)
        return self._lone.form.dump(value)


def _head(name: str) -> str:
    # The arguments stay as the model wrote them: a number is not what it was once it was a float.
    return f'{{"tool":"{name}","arguments":'


def _read(tool: OutputTool, arguments: str) -> Any:
    try:
        return tool.form.read(arguments)
    except ValidationError as error:
        raise OutputInvalid(invalid_call(error)) from error


def _named(markers: Sequence[ToolOutput]) -> list[OutputTool]:
    several = len(markers) > 1
    members = [Member(marker.type) for marker in markers]
    made = names_of(members, f"{DEFAULT_NAME}_") if several else [DEFAULT_NAME]
    labels = names_of(members)
    tools: list[OutputTool] = []
    for marker, name, label in zip(markers, made, labels, strict=True):
        taken = [tool.name for tool in tools]
        own = marker.name or unique(name, taken)
        prefix = f"{label}: " if several else ""
        tools.append(OutputTool(own, marker, prefix=prefix))
    return tools


def text_allowed(outputs: Sequence[Any]) -> TextMode | None:
    """Return how text is read where it is among what an answer may be."""
    for output in outputs:
        if output is str:
            return TextMode()
        if isinstance(output, TextOutput):
            return TextMode(output)
    return None
