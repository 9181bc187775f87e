"""JSON schemas of Python types, as Pydantic makes them, and what they leave out.

Pydantic's schema does not say everything strict mode must know of a type: whether a field that may
be left out gets a value from a factory, whether a pattern ignores case, whether a field is reached
by a path instead of a name. The writer says it in keywords of its own, which are never sent.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from batchspec.messages import JsonObject
from batchspec.spec.shapes import is_list, is_object

MADE = "x-batchspec-made"
"""True where a factory makes the value of a field that was left out."""
UNREACHABLE = "x-batchspec-unreachable"
"""True where no property of the object reaches a field (`AliasPath`)."""
NULL_IS_UNSET = "x-batchspec-null-is-unset"
"""True where strict mode lets null stand for a property that is left out."""
OWN = frozenset({MADE, UNREACHABLE, NULL_IS_UNSET})

_FLAGS = ((re.IGNORECASE, "i"), (re.MULTILINE, "m"), (re.DOTALL, "s"), (re.VERBOSE, "x"))


def schema_of(kind: Any) -> JsonObject:
    """Return the JSON schema of what a type accepts as JSON.

    Raises:
        PydanticUserError, PydanticSchemaGenerationError, PydanticInvalidForJsonSchema: A part of
            the type has no JSON schema.
    """
    return TypeAdapter(kind).json_schema(schema_generator=SchemaWriter)


def without(schema: Any, keywords: frozenset[str]) -> Any:
    """Return a schema without some keywords, but with the properties of those names."""
    if is_list(schema):
        return [without(item, keywords) for item in schema]
    if not is_object(schema):
        return schema
    return {
        name: {n: without(s, keywords) for n, s in value.items()}
        if name in ("properties", "$defs") and is_object(value)
        else without(value, keywords)
        if name not in ("enum", "const", "default", "examples")
        else value
        for name, value in schema.items()
        if name not in keywords
    }


class SchemaWriter(GenerateJsonSchema):
    """Pydantic's writer of JSON schemas, which also says what strict mode must know."""

    # A default that is no JSON is one the model cannot write; it is no reason to warn.
    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Tell a value that is made from one that is missing."""
        written = super().default_schema(schema)
        if "default" in written and not _is_json(written["default"]):
            del written["default"]
        return {**written, MADE: True} if "default_factory" in schema else written

    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        """Keep the flags of a compiled pattern, without which it means something else."""
        written = super().str_schema(schema)
        pattern: Any = schema.get("pattern")
        if isinstance(pattern, re.Pattern):
            compiled = cast("re.Pattern[str]", pattern)
            letters = "".join(letter for flag, letter in _FLAGS if compiled.flags & flag)
            written["pattern"] = f"(?{letters}){compiled.pattern}" if letters else compiled.pattern
        return written

    def dataclass_args_schema(self, schema: core_schema.DataclassArgsSchema) -> JsonSchemaValue:
        """Leave out the fields a dataclass fills itself: it refuses them when they are given."""
        fields = [field for field in schema["fields"] if field.get("init", True)]
        return super().dataclass_args_schema({**schema, "fields": fields})

    def model_field_schema(self, schema: core_schema.ModelField) -> JsonSchemaValue:
        """Mark a field that is reached by a path only."""
        return _reached(schema, super().model_field_schema(schema))

    def dataclass_field_schema(self, schema: core_schema.DataclassField) -> JsonSchemaValue:
        """Mark a field that is reached by a path only."""
        return _reached(schema, super().dataclass_field_schema(schema))

    def typed_dict_field_schema(self, schema: core_schema.TypedDictField) -> JsonSchemaValue:
        """Mark a field that is reached by a path only."""
        return _reached(schema, super().typed_dict_field_schema(schema))


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _reached(field: Mapping[str, Any], written: JsonSchemaValue) -> JsonSchemaValue:
    alias: Any = field.get("validation_alias", "")
    paths = [alias] if alias and isinstance(alias[0], str) else alias
    if isinstance(alias, str) or any(len(path) == 1 for path in paths):
        return written
    return {**written, UNREACHABLE: True}
