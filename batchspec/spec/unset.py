"""Null that stands for a property that was left out, and how it is read back.

In strict mode a model writes every property. Where a type tells "left out" from every value the
property may have, the sent schema allows null for it, and here such a null is taken out again.
"""

from typing import Any, cast

from pydantic_core import from_json, to_json

from batchspec.messages import JsonObject
from batchspec.spec.normal import definition_name
from batchspec.spec.schemas import NULL_IS_UNSET
from batchspec.spec.shapes import is_list, is_object

_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
    "array": list,
    "object": dict,
}


def without_unset(text: str, marked: JsonObject) -> str:
    """Return JSON text without the nulls that stand for what is left out.

    Args:
        text: As a model wrote it. What is no JSON comes back as it is.
        marked: The schema it was asked for, with its marks.
    """
    try:
        value = from_json(text)
    except ValueError:
        return text
    return to_json(_read(value, marked, marked)[0]).decode()


def _read(value: Any, schema: JsonObject, root: JsonObject) -> tuple[Any, bool]:
    if "$ref" in schema:
        return _read(value, _target(schema["$ref"], root), root)
    if "anyOf" in schema:
        return _any_of(value, schema["anyOf"], root)
    if not _is_allowed(value, schema):
        return value, False
    if is_object(value) and "properties" in schema:
        return _object(value, schema, root)
    if is_list(value) and "items" in schema:
        read = [_read(item, schema["items"], root) for item in value]
        return [item for item, _ in read], all(fit for _, fit in read)
    return value, True


def _target(reference: str, root: JsonObject) -> JsonObject:
    name = definition_name(reference)
    # A reference that leads nowhere is a problem of its own.
    return root if reference == "#" else root.get("$defs", {}).get(name, {})


def _any_of(value: Any, members: list[JsonObject], root: JsonObject) -> tuple[Any, bool]:
    for member in members:
        read, fit = _read(value, member, root)
        if fit:
            return read, True
    return value, False


def _is_allowed(value: Any, schema: JsonObject) -> bool:
    kinds = schema.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is_of(value, kind) for kind in kinds):
        return False
    if "const" in schema and not _same(value, schema["const"]):
        return False
    return "enum" not in schema or any(_same(value, other) for other in schema["enum"])


def _is_of(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(kind, ()))


def _same(one: Any, other: Any) -> bool:
    return isinstance(one, bool) is isinstance(other, bool) and one == other


def _object(value: JsonObject, schema: JsonObject, root: JsonObject) -> tuple[JsonObject, bool]:
    properties = cast("dict[str, JsonObject]", schema["properties"])
    fit = value.keys() <= properties.keys()
    result: JsonObject = {}
    for name, item in value.items():
        inner = properties.get(name, {})
        if item is None and inner.get(NULL_IS_UNSET):
            continue
        result[name], inner_fit = _read(item, inner, root)
        fit = fit and inner_fit
    missing = properties.keys() - value.keys()
    return result, fit and all(properties[name].get(NULL_IS_UNSET) for name in missing)


def allows(value: Any, schema: JsonObject, root: JsonObject) -> bool:
    """Tell whether a schema allows a JSON value, or one of its type where it has parts."""
    if "$ref" in schema:
        return allows(value, _target(schema["$ref"], root), root)
    if "anyOf" in schema:
        return any(allows(value, member, root) for member in schema["anyOf"])
    return _is_allowed(value, schema)
