"""Output modes: what a job asks the model to answer with, and how the answer is read."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model
from pydantic_core import to_json

from batchspec.messages import OutputContract
from batchspec.spec.strict import Problem, Strict, plain_schema, strict_schema

FEEDBACK = "This is automated feedback about your last answer, not a message from the user."
"""First line of what the model is told when its answer was not accepted."""
_DEFAULT_NAME = "final_result"
_FENCE = re.compile(r"\s*```[a-zA-Z]*\n(.*?)\n?```\s*\Z", re.DOTALL)


class OutputInvalid(ValueError):  # noqa: N818 - reads as what is said
    """The model's answer does not fit the output type.

    Attributes:
        message: What the model is told in the next turn.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class NativeOutput:
    """Asks for a type in the provider's native mode, where it enforces the JSON schema.

    A bare type as `output` means the same.

    Args:
        type: What the answer is: a Pydantic model, a dataclass, a TypedDict, or any other type
            with a JSON schema, such as `list[str]` (which is wrapped in an object).
        name: Of the schema, as the provider sees it.
        description: Of the schema, as the model sees it.
        strict: False asks the provider for its best effort only, which allows every schema.
    """

    type: Any
    name: str | None = None
    description: str | None = None
    strict: bool = True


@dataclass(frozen=True, slots=True)
class TextMode:
    """The answer is text."""

    contract: None = None
    problems: tuple[Problem, ...] = ()

    def parse(self, text: str) -> str:
        """Return the text.

        Raises:
            OutputInvalid: There is none.
        """
        if not text.strip():
            raise OutputInvalid(f"{FEEDBACK}\nThe answer was empty. Please return text.")
        return text

    def dump(self, value: Any) -> Any:
        """Return a value as JSON value."""
        return value

    def load(self, value: Any) -> Any:
        """Return what `dump` was given."""
        return value


class NativeMode:
    """The answer is JSON of a type; types that are no objects are wrapped in `{"response": …}`."""

    def __init__(self, marker: NativeOutput) -> None:
        self.marker = marker

    @cached_property
    def _plain(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.marker.type)

    @cached_property
    def _wrapper(self) -> type[BaseModel] | None:
        schema = plain_schema(self._plain.json_schema())
        if schema.get("type") == "object":
            return None
        return create_model(
            "Response", __config__=ConfigDict(extra="forbid"), response=(self.marker.type, ...)
        )

    @cached_property
    def _strict(self) -> Strict:
        root = self._wrapper
        schema = root.model_json_schema() if root else self._plain.json_schema()
        return strict_schema(schema) if self.marker.strict else Strict(plain_schema(schema), ())

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What the provider's strict mode would refuse."""
        return self._strict.problems

    @cached_property
    def contract(self) -> OutputContract:
        """What the provider is asked to enforce."""
        marker = self.marker
        return OutputContract(
            name=marker.name or _schema_name(marker.type),
            schema=self._strict.schema,
            description=marker.description,
            strict=marker.strict,
        )

    def parse(self, text: str) -> Any:
        """Return the value an answer stands for.

        Raises:
            OutputInvalid: The text is not JSON, or does not fit the type.
        """
        try:
            return self._read(text)
        except ValidationError as error:
            # Endpoints that do not enforce the schema like to wrap JSON in a Markdown fence.
            if match := _FENCE.match(text):
                return self.parse(match[1])
            raise OutputInvalid(
                f"{FEEDBACK}\nThe answer did not validate:\n{error_details(error)}\n"
                "Answer again with JSON that fits the schema, and nothing else."
            ) from error

    def dump(self, value: Any) -> Any:
        """Return a value as JSON value, as the model would write it."""
        return self._plain.dump_python(value, mode="json", by_alias=True)

    def load(self, value: Any) -> Any:
        """Return what `dump` was given.

        Raises:
            ValidationError: The type has changed and no longer accepts the value.
        """
        return self._plain.validate_json(to_json(value))

    def _read(self, text: str) -> Any:
        wrapper = self._wrapper
        if wrapper is None:
            return self._plain.validate_json(text)
        return cast("Any", wrapper.model_validate_json(text)).response


OutputMode = TextMode | NativeMode


def output_mode(output: Any) -> OutputMode:
    """Return the mode a job's `output` stands for."""
    if output is None or output is str:
        return TextMode()
    return NativeMode(output if isinstance(output, NativeOutput) else NativeOutput(output))


def error_details(error: ValidationError) -> str:
    """Return validation errors as the JSON array a model is told."""
    return error.json(include_url=False, include_context=False, include_input=True)


def _schema_name(kind: Any) -> str:
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", getattr(kind, "__name__", "") or "")
    is_own = isinstance(kind, type) and kind.__module__ != "builtins"
    return name[:64] if name and is_own else _DEFAULT_NAME
