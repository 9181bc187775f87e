"""One form for what JSON Schema can say in several: before strict mode, without loss."""

import json
from collections.abc import Mapping
from typing import Any, cast

from batchspec.messages import JsonObject
from batchspec.spec.shapes import is_list, is_object

_JSON_TYPES = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
    list: "array",
}


def says_something(schema: JsonObject) -> bool:
    """Tell whether a schema gives a type."""
    return bool(schema.keys() & {"type", "anyOf", "oneOf", "allOf", "$ref", "enum", "const"})


def normal(schema: JsonObject, definitions: JsonObject) -> JsonObject:
    """Return a schema with `anyOf` for `oneOf`, one type at a time, and its keys as properties.

    Only one of several may be right in `oneOf`; the type on this machine still sees to that.
    """
    if "oneOf" in schema and "anyOf" not in schema:
        schema = {"anyOf" if name == "oneOf" else name: value for name, value in schema.items()}
    return _with_named_keys(_one_type(schema), definitions)


def definition_name(reference: str) -> str | None:
    """Return the name of the definition a reference leads to; None where it leads elsewhere."""
    for start in ("#/$defs/", "#/definitions/"):
        name = reference.removeprefix(start)
        if name != reference and "/" not in name:
            return name.replace("~1", "/").replace("~0", "~")
    return None


def resolved(schema: Any, definitions: JsonObject) -> JsonObject:
    """Return what a schema says that may be a reference to a definition."""
    given = schema if is_object(schema) else {}
    target = definitions.get(definition_name(str(given.get("$ref", ""))) or "")
    if not is_object(target):
        return given
    return {**target, **{name: value for name, value in given.items() if name != "$ref"}}


def rooted(schema: Mapping[str, Any]) -> JsonObject:
    """Return a schema whose root is no reference, as that of a recursive type is."""
    definitions = cast("JsonObject", schema.get("$defs", {}))
    root = resolved({name: v for name, v in schema.items() if name != "$defs"}, definitions)
    return root | ({"$defs": definitions} if definitions else {})


def _one_type(schema: JsonObject) -> JsonObject:
    # `["object", "null"]` becomes a union: an object has keywords that null has not.
    kinds = schema.get("type")
    if not is_list(kinds) or not {"object", "array"} & set(kinds):
        return schema
    rest = {n: value for n, value in schema.items() if n not in ("type", "description")}
    union: JsonObject = {"anyOf": [_typed(kind, rest) for kind in kinds]}
    return union | {n: schema[n] for n in ("description",) if n in schema}


def _typed(kind: str, rest: JsonObject) -> JsonObject:
    return {"type": kind} if kind == "null" else {"type": kind, **rest}


def _with_named_keys(schema: JsonObject, definitions: JsonObject) -> JsonObject:
    # `dict[Literal["a", "b"], X]` has two properties, each of which may be left out.
    names = resolved(schema.get("propertyNames"), definitions)
    closed: list[Any] = names.get("enum", [names["const"]] if "const" in names else [])
    value = schema.get("additionalProperties")
    if schema.get("properties") or not closed or not is_object(value):
        return schema
    if not all(isinstance(name, str) for name in closed):
        return schema
    rest = {n: v for n, v in schema.items() if n != "propertyNames"}
    return rest | {"properties": dict.fromkeys(closed, value), "additionalProperties": False}


def merged(schema: JsonObject, definitions: JsonObject) -> JsonObject | None:
    """Return a schema that says at once what its `allOf` says in parts; None where none can."""
    members = [_resolved_where_needed(member, schema, definitions) for member in schema["allOf"]]
    result: JsonObject = {}
    for part in [*members, {n: v for n, v in schema.items() if n != "allOf"}]:
        for name, value in part.items():
            if name == "properties":
                known = cast("JsonObject", result.setdefault("properties", {}))
                if any(known.get(n, v) != v for n, v in value.items()):
                    return None
                known |= value
            elif name == "required":
                result[name] = list(dict.fromkeys([*result.get(name, ()), *value]))
            elif name in ("title", "description", "default") or result.get(name, value) == value:
                result[name] = value
            else:
                return None
    return result


def _resolved_where_needed(member: Any, schema: JsonObject, definitions: JsonObject) -> JsonObject:
    # A single reference stays one, with what is said beside it.
    return member if len(schema["allOf"]) == 1 else resolved(member, definitions)


def close(schema: JsonObject) -> str | None:
    """Give closed values a type and each value once; return what is wrong with them."""
    values: list[Any] = schema.get("enum", [schema["const"]] if "const" in schema else [])
    types = list(dict.fromkeys(_json_type(value) for value in values))
    if {"array", "object"} & set(types):
        return "an enum of lists or objects; use texts or numbers as values"
    if values and "type" not in schema:
        schema["type"] = types[0] if len(types) == 1 else types
    if "enum" in schema:
        schema["enum"] = list({json.dumps(value): value for value in values}.values())
    return None


def _json_type(value: object) -> str:
    return next((name for kind, name in _JSON_TYPES.items() if type(value) is kind), "object")
