"""The strict subset of JSON Schema, as the service checks it before a request runs."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from pydantic_core import from_json

from batchspec.simulator.wire import is_array, is_object

_UNSUPPORTED = (
    "allOf", "not", "dependentRequired", "dependentSchemas", "if", "then", "else",
    "patternProperties", "unevaluatedProperties", "propertyNames", "minProperties",
    "maxProperties", "unevaluatedItems", "contains", "minContains", "maxContains", "uniqueItems",
    "oneOf", "prefixItems",
)  # fmt: skip
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
)
_MAX_DEPTH = 10
_MAX_PROPERTIES = 5_000

Context = tuple[str, ...]


@lru_cache(maxsize=512)
def strict_violation(schema: bytes) -> str | None:
    """The first way in which a schema, as JSON text, breaks the subset."""
    return next(_root(from_json(schema)), None)


def _root(schema: Any) -> Iterator[str]:
    if not is_object(schema):
        yield "schema must be a JSON Schema object."
        return
    if schema.get("type") != "object":
        got = schema.get("type")
        yield (
            "schema must be a JSON Schema of 'type: \"object\"', "
            f"got 'type: \"{got if got is not None else 'None'}\"'."
        )
        return
    for keyword in ("anyOf", "oneOf", "allOf", "enum", "not"):
        if keyword in schema:
            yield f"schema must have type 'object' and not have '{keyword}' at the top level."
    yield from _node(schema, (), 0)
    if _count_properties(schema) > _MAX_PROPERTIES:
        yield f"schema has more than {_MAX_PROPERTIES} object properties."


def _node(schema: Any, context: Context, depth: int) -> Iterator[str]:
    if not is_object(schema):
        yield f"In context={context}, schema must be an object."
        return
    # Levels are objects in objects; lists are none, and a definition starts anew.
    depth += "properties" in schema
    if depth > _MAX_DEPTH:
        yield f"In context={context}, schema exceeds the {_MAX_DEPTH} levels of nesting allowed."
        return
    for keyword in _UNSUPPORTED:
        if keyword in schema:
            yield f"In context={context}, '{keyword}' is not permitted."
    if (name := schema.get("format")) is not None and name not in _FORMATS:
        yield f"In context={context}, '{name}' is not a valid format."
    if not any(k in schema for k in ("type", "anyOf", "$ref", "enum", "const")):
        yield f"In context={context}, schema must have a 'type' key."
    if schema.get("type") == "object" or "properties" in schema:
        yield from _object(schema, context)
    yield from _children(schema, context, depth)


def _object(schema: Mapping[str, Any], context: Context) -> Iterator[str]:
    if schema.get("additionalProperties") is not False:
        yield (
            f"In context={context}, 'additionalProperties' is required to be supplied "
            "and to be false."
        )
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    missing = next((name for name in properties if name not in required), None)
    if missing is not None:
        yield (
            f"In context={context}, 'required' is required to be supplied and to be an array "
            f"including every key in properties. Missing '{missing}'."
        )
    extra = next((name for name in required if name not in properties), None)
    if extra is not None:
        yield f"In context={context}, Extra required key '{extra}' supplied."


def _children(schema: Mapping[str, Any], context: Context, depth: int) -> Iterator[str]:
    for name, child in schema.get("properties", {}).items():
        yield from _node(child, (*context, "properties", name), depth)
    for key in ("$defs", "definitions"):
        for name, child in schema.get(key, {}).items():
            yield from _node(child, (*context, key, name), 0)
    for index, child in enumerate(schema.get("anyOf", ())):
        yield from _node(child, (*context, "anyOf", str(index)), depth)
    types = schema.get("type")
    if types == "array" or (is_array(types) and "array" in types) or "items" in schema:
        if not schema.get("items"):
            yield f"In context={context}, array schema missing items."
        else:
            yield from _node(schema["items"], (*context, "items"), depth)


def _count_properties(schema: Any) -> int:
    if is_array(schema):
        return sum(_count_properties(child) for child in schema)
    if not is_object(schema):
        return 0
    own = len(schema.get("properties", ()))
    return own + sum(_count_properties(child) for child in schema.values())
