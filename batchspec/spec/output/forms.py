"""How types are written as one JSON object, and read back."""

from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Any, Literal, Union, cast

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from pydantic_core import to_jsonable_python

from batchspec.spec.output.members import Member, names_of
from batchspec.spec.schemas import schema_of
from batchspec.spec.strict import Strict, plain_schema, sent_schema


class Form:
    """One member; types that are no objects are wrapped in `{"response": …}`."""

    def __init__(self, member: Member, *, strict: bool | None) -> None:
        self.member = member
        self._is_strict = strict

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        """Validates the type itself."""
        return TypeAdapter(self.member.kind)

    @cached_property
    def _wrapper(self) -> type[BaseModel] | None:
        schema = plain_schema(schema_of(self.member.kind))
        if schema.get("type") == "object":
            return None
        return create_model(
            "Response", __config__=ConfigDict(extra="forbid"), response=(self.member.kind, ...)
        )

    @property
    def wraps(self) -> bool:
        """Whether the type is no object by itself."""
        return self._wrapper is not None

    @cached_property
    def schema(self) -> Strict:
        """The JSON schema, in the strict subset where that is wanted."""
        return sent_schema(schema_of(self._wrapper or self.member.kind), strict=self._is_strict)

    def read(self, text: str) -> Any:
        """Return what a text stands for; it may be unfinished.

        Raises:
            ValidationError: The text is not JSON, or does not fit.
        """
        text, wrapper = self.schema.read(text), self._wrapper
        if wrapper is None:
            return self.member.value(self.adapter.validate_json(text))
        return self.member.value(cast("Any", wrapper.model_validate_json(text)).response)

    def dump(self, value: Any) -> Any:
        """Return an output as JSON value, as the model would write it."""
        if self.member.function is not None:
            return plain_value(value)
        return self.adapter.dump_python(value, mode="json", by_alias=True)


class Choice:
    """One of several members, as `{"result": {"kind": "<Type>", "data": …}}`.

    A root that is a choice itself is nothing that strict mode takes.
    """

    def __init__(self, members: Sequence[Member], *, strict: bool | None) -> None:
        self.members = dict(zip(names_of(members), members, strict=True))
        self._is_strict = strict

    @cached_property
    def _root(self) -> type[BaseModel]:
        config = ConfigDict(extra="forbid")
        kinds: list[Any] = [
            create_model(
                name,
                __config__=config,
                __doc__=member.function.description if member.function else None,
                **_fields(name, member.kind),
            )
            for name, member in self.members.items()
        ]
        union: Any = kinds[0]
        if len(kinds) > 1:
            union = Annotated[Union[tuple(kinds)], Field(discriminator="kind")]  # noqa: UP007 - of a list
        return create_model("Choice", __config__=config, result=(union, ...))

    @cached_property
    def schema(self) -> Strict:
        """The JSON schema, in the strict subset where that is wanted."""
        return sent_schema(schema_of(self._root), strict=self._is_strict)

    def read(self, text: str) -> Any:
        """Return what a text stands for; it may be unfinished.

        Raises:
            ValidationError: The text is not JSON, or does not fit.
        """
        read = self._root.model_validate_json(self.schema.read(text))
        result: Any = cast("Any", read).result
        return self.members[result.kind].value(result.data)

    def dump(self, value: Any) -> Any:
        """Return an output as JSON value."""
        return plain_value(value)


def _fields(name: str, kind: Any) -> dict[str, Any]:
    return {"kind": (Literal[name], ...), "data": (kind, ...)}


def plain_value(value: Any) -> Any:
    """Return any value as JSON value; what JSON cannot hold is told by its name."""
    return to_jsonable_python(value, by_alias=True, serialize_unknown=True)
