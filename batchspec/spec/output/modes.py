"""The output modes: what is asked for in each, and how an answer is read."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from pydantic import ValidationError

from batchspec.messages import OutputContract, Reply, ToolContract
from batchspec.spec.context import takes_context
from batchspec.spec.feedback import FEEDBACK, OutputInvalid, error_details
from batchspec.spec.output.forms import Choice, Form, plain_value
from batchspec.spec.output.markers import NativeOutput, PromptedOutput, TextOutput
from batchspec.spec.output.members import DEFAULT_NAME, Member, is_several, text_member
from batchspec.spec.strict import Problem

TEMPLATE = (
    "Answer with one JSON object that fits this JSON schema, and with nothing else: no text"
    " around it, no Markdown fence.\n\n{schema}"
)
"""What the model is told in prompted mode."""
# Two expressions, so that no text takes longer than its length: what begins is not always closed.
_FENCE = re.compile(r"```\w*\s*(?=[{\[])")
_END = re.compile(r"(?<=[}\]])\s*(?:```|\Z)")


class Candidate(NamedTuple):
    """A part of a reply that may be the answer.

    Attributes:
        text: What the state keeps where it is accepted; `parse` reads it.
        call: The id of the call it is the arguments of.
        tool: The name of that call's tool.
    """

    text: str
    call: str | None = None
    tool: str | None = None


class OutputMode:
    """What every mode knows; this one is text.

    Attributes:
        contract: The JSON schema the provider is asked to enforce.
        tools: What is offered to the model to answer with.
        tool_choice: The setting that goes with them; None: the provider's own.
        json_mode: Whether the provider is asked for JSON of any shape.
        instructions: What the system message says beside the job's own instructions.
        problems: What the provider's strict mode would refuse.
        typed: Whether an output is more than the model's text.
        runs: What runs on this machine, by its role in the policy.
        max_retries: How often what a tool carries is asked for again, where that has a bound of
            its own.
        takes_context: Whether an output function wants a `RunContext`.
        finishes: Whether there is an output function.
        allows_nothing: Whether a reply without text and calls is an answer too: None.
    """

    contract: OutputContract | None = None
    tools: tuple[ToolContract, ...] = ()
    tool_choice: str | None = None
    json_mode: bool = False
    instructions: str | None = None
    problems: tuple[Problem, ...] = ()
    typed: bool = False
    takes_context: bool = False
    finishes: bool = False
    allows_nothing: bool = False

    @property
    def runs(self) -> Mapping[str, Any]:
        """What runs on this machine, by its role in the policy."""
        return {}

    @property
    def max_retries(self) -> Mapping[str, int]:
        """Bounds of single output tools, by name."""
        return {}

    def candidates(self, reply: Reply) -> Sequence[Candidate]:
        """Return the parts of a reply that may be its answer; the first valid one is."""
        if self.allows_nothing and not (reply.text or reply.tool_calls):
            return (Candidate(""),)
        return self._candidates(reply)

    def _candidates(self, reply: Reply) -> Sequence[Candidate]:
        return (Candidate(reply.text or ""),)

    def read(self, reply: Reply) -> str:
        """Return the text of a reply that is its answer; the state keeps it.

        Raises:
            OutputInvalid: There is none.
        """
        problem: OutputInvalid | None = None
        for candidate in self.candidates(reply):
            try:
                self.parse(candidate.text)
            except OutputInvalid as error:
                problem = problem or self.misfit(error, candidate)
            else:
                return candidate.text
        raise problem or OutputInvalid(self.nothing())

    def parse(self, text: str) -> Any:
        """Return the value an accepted text stands for; `finished` has the last word on it.

        Raises:
            OutputInvalid: The text does not fit.
        """
        return None if self.allows_nothing and not text else self._parse(text)

    def _parse(self, text: str) -> Any:
        if not text.strip():
            raise OutputInvalid(f"{FEEDBACK}\nThe answer was empty. {self.wanted()}")
        return text

    def nothing(self) -> str:
        """Return what the model is told of a reply without an answer."""
        return f"{FEEDBACK}\n{self.wanted()}"

    def wanted(self) -> str:
        """Say what is wanted, to a model that gave nothing of the kind."""
        return "Please return text."

    def misfit(self, error: OutputInvalid, candidate: Candidate) -> OutputInvalid:  # noqa: ARG002 - for modes with calls
        """Return what the model is told of a candidate that does not fit."""
        return error

    def retry(self, said: str, candidate: Candidate) -> str:  # noqa: ARG002 - for modes with calls
        """Return what the model is told where `ModelRetry` was raised, or a bug of ours."""
        return f"{FEEDBACK}\n{said}"

    def dump(self, value: Any) -> Any:
        """Return an output as JSON value."""
        return value


class TextMode(OutputMode):
    """The answer is text, or what a function makes of it."""

    def __init__(self, marker: TextOutput | None = None) -> None:
        self.marker = marker
        self._member = None if marker is None else text_member(marker.function)
        self.typed = self.finishes = marker is not None
        self.takes_context = marker is not None and takes_context(marker.function)

    @property
    def runs(self) -> Mapping[str, Any]:
        """The function."""
        return {} if self.marker is None else {"output": self.marker.function}

    def _parse(self, text: str) -> Any:
        super()._parse(text)
        return text if self._member is None else self._member(text)

    def dump(self, value: Any) -> Any:
        """Return an output as JSON value."""
        return value if self.marker is None else plain_value(value)


class SchemaMode(OutputMode):
    """The answer is JSON text: what native and prompted mode share."""

    typed = True

    def __init__(self, given: Any, *, strict: bool | None) -> None:
        self.members = [Member(each) for each in (given if is_several(given) else [given])]
        several = is_several(given) and len(self.members) > 1
        self.form: Form | Choice = (
            Choice(self.members, strict=strict) if several else Form(self.members[0], strict=strict)
        )
        self.finishes = any(member.function for member in self.members)

    @property
    def takes_context(self) -> bool:  # type: ignore[override]
        """Whether an output function wants a `RunContext`."""
        return any(member.takes_context for member in self.members)

    @property
    def runs(self) -> Mapping[str, Any]:
        """The types and functions."""
        if isinstance(self.form, Form):
            return {"output": self.members[0].given}
        return {f"output {name}": member.given for name, member in self.form.members.items()}

    def _candidates(self, reply: Reply) -> Sequence[Candidate]:
        return (Candidate(_unfenced(reply.text or "")),)

    def _parse(self, text: str) -> Any:
        try:
            return self.form.read(text)
        except ValidationError as error:
            if (inner := _unfenced(text)) != text:
                return self._parse(inner)
            super()._parse(text)
            raise OutputInvalid(
                f"{FEEDBACK}\nThe answer did not validate:\n{error_details(error)}\n"
                "Answer again with JSON that fits the schema, and nothing else."
            ) from error

    def wanted(self) -> str:
        """Say what is wanted."""
        return "Answer with JSON that fits the schema, and nothing else."

    def dump(self, value: Any) -> Any:
        """Return a value as JSON value, as the model would write it."""
        return None if value is None else self.form.dump(value)


class NativeMode(SchemaMode):
    """The provider enforces the schema."""

    def __init__(self, marker: NativeOutput) -> None:
        super().__init__(marker.type, strict=marker.strict)
        self.marker = marker

    @property
    def problems(self) -> tuple[Problem, ...]:  # type: ignore[override]
        """What the provider's strict mode would refuse."""
        return self.form.schema.problems

    @cached_property
    def contract(self) -> OutputContract:  # type: ignore[override]
        """What the provider is asked to enforce."""
        marker = self.marker
        own = self.members[0].name if isinstance(self.form, Form) else ""
        return OutputContract(
            name=marker.name or own or DEFAULT_NAME,
            schema=self.form.schema.schema,
            description=marker.description,
            strict=self.form.schema.enforced,
        )


class PromptedMode(SchemaMode):
    """The schema is part of the instructions."""

    def __init__(self, marker: PromptedOutput) -> None:
        super().__init__(marker.type, strict=False)
        self.marker = marker

    @cached_property
    def instructions(self) -> str:  # type: ignore[override]
        """What the model is told of the schema."""
        marker = self.marker
        said = {"title": marker.name, "description": marker.description}
        schema = {name: text for name, text in said.items() if text} | {
            name: value
            for name, value in self.form.schema.schema.items()
            if name != "description" or not marker.description
        }
        # As it is: in a template other braces stand for themselves.
        return (marker.template or TEMPLATE).replace(
            "{schema}", json.dumps(schema, ensure_ascii=False)
        )

    @property
    def json_mode(self) -> bool:  # type: ignore[override]
        """JSON mode is refused where no message has the word in it."""
        return "json" in self.instructions.lower()


def _unfenced(text: str) -> str:
    """Return the JSON in the first Markdown fence of a text that is no JSON itself.

    The fence may be left open, and JSON may hold fences of its own.
    """
    if text.lstrip().startswith(("{", "[")) or (fence := _FENCE.search(text)) is None:
        return text
    end = _END.search(text, fence.end())
    return text if end is None else text[fence.end() : end.start()]
