"""The schema subset that providers can enforce ("strict mode"), and how to get into it.

What strict mode cannot enforce is moved into the description, where the model still reads it, and
stays enforced on this machine by the Pydantic type. What cannot be said at all is a problem.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from batchspec.messages import JsonObject
from batchspec.spec.shapes import is_list

_KEPT = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "anyOf", "$ref", "$defs"}
    | {"enum", "const", "description", "minimum", "maximum", "multipleOf", "minItems", "maxItems"}
)
_DROPPED = frozenset({"title", "$schema", "$id", "$comment", "discriminator"})
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
)
_JSON_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
_LOOK_AROUND = re.compile(r"\(\?<?[=!]")

MAX_PROPERTIES = 5_000
MAX_DEPTH = 10
MAX_ENUM_VALUES = 1_000
MAX_ENUM_CHARS = 15_000
MAX_NAME_CHARS = 120_000


@dataclass(frozen=True, slots=True)
class Problem:
    """What strict mode cannot express; `path` leads to it from the root, as in `$.items[]`."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"at {self.path}: {self.message}"


@dataclass(frozen=True, slots=True)
class Strict:
    """A schema in the strict subset; it is only usable where `problems` is empty."""

    schema: JsonObject
    problems: tuple[Problem, ...]


def strict_schema(schema: Mapping[str, Any]) -> Strict:
    """Rewrite a JSON schema of an object into the strict subset."""
    definitions: JsonObject = dict(schema.get("$defs", {}))
    root = {name: value for name, value in schema.items() if name != "$defs"}
    problems: list[Problem] = []
    result = _rewrite(_inline_root(root, definitions), "$", problems)
    if definitions:
        result["$defs"] = {
            name: _rewrite(definition, name, problems) for name, definition in definitions.items()
        }
    if result.get("type") != "object":
        problems.insert(0, Problem("$", "the root must be an object"))
    problems += _limits(result)
    return Strict(result, tuple(problems))


def plain_schema(schema: Mapping[str, Any]) -> JsonObject:
    """Return the schema as it is, with an object at its root and without titles."""
    definitions: JsonObject = dict(schema.get("$defs", {}))
    root = {name: value for name, value in schema.items() if name != "$defs"}
    result: JsonObject = without_titles(_inline_root(root, definitions))
    if definitions:
        result["$defs"] = {n: without_titles(d) for n, d in definitions.items()}
    return result


def without_titles(schema: Any) -> Any:
    """Return a schema without `title`, but with the properties of that name."""
    if is_list(schema):
        return [without_titles(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    given = cast("JsonObject", schema)
    return {
        name: {n: without_titles(s) for n, s in value.items()}
        if name in ("properties", "$defs")
        else without_titles(value)
        if name not in ("enum", "const", "default", "examples")
        else value
        for name, value in given.items()
        if name != "title"
    }


def _inline_root(root: JsonObject, definitions: JsonObject) -> JsonObject:
    # A recursive type has only a reference at its root, which must be an object.
    reference = str(root.get("$ref", ""))
    target = definitions.get(reference.removeprefix("#/$defs/"))
    if target is None:
        return root
    return {**target, **{name: value for name, value in root.items() if name != "$ref"}}


def _rewrite(schema: Any, path: str, problems: list[Problem]) -> JsonObject:
    if not isinstance(schema, dict) or not _says_something(cast("JsonObject", schema)):
        problems.append(Problem(path, "any value is allowed here; give it a type"))
        return {}
    given = _unwrap(cast("JsonObject", schema))
    result: JsonObject = {name: value for name, value in given.items() if name in _KEPT}
    notes = [_note(name, value) for name, value in given.items() if _is_note(name, value)]
    for name in ("pattern", "format"):
        if name in given and not _is_note(name, given[name]):
            result[name] = given[name]
    if "enum" in result and "type" not in result:
        result["type"] = _enum_type(result["enum"])
    if "anyOf" in given:
        result["anyOf"] = [
            _rewrite(member, f"{path}|{number}", problems)
            for number, member in enumerate(given["anyOf"], 1)
        ]
    if given.get("type") == "object":
        _object(given, result, path, problems)
    if given.get("type") == "array":
        notes += _array(given, result, path, problems)
    _describe(result, notes)
    return _reference(result)


def _unwrap(schema: JsonObject) -> JsonObject:
    if "oneOf" in schema and "anyOf" not in schema:
        schema = {"anyOf" if name == "oneOf" else name: value for name, value in schema.items()}
    members: Any = schema.get("allOf", ())
    if len(members) == 1:
        rest = {name: value for name, value in schema.items() if name != "allOf"}
        schema = {**members[0], **rest}
    return schema


def _reference(schema: JsonObject) -> JsonObject:
    if "$ref" not in schema or len(schema) == 1:
        return schema
    rest = {name: value for name, value in schema.items() if name != "$ref"}
    return {"anyOf": [{"$ref": schema["$ref"]}], **rest}


def _says_something(schema: JsonObject) -> bool:
    return bool(schema.keys() & {"type", "anyOf", "oneOf", "allOf", "$ref", "enum", "const"})


def _object(given: JsonObject, result: JsonObject, path: str, problems: list[Problem]) -> None:
    properties = cast("JsonObject", given.get("properties", {}))
    if given.get("additionalProperties", "properties" not in given) is not False:
        problems.append(
            Problem(
                path,
                "an object with free keys (such as `dict[str, X]`); list the keys as fields,"
                " or use a list of key/value objects",
            )
        )
    result["properties"] = {
        name: _rewrite(value, f"{path}.{name}", problems) for name, value in properties.items()
    }
    result["required"] = list(properties)
    result["additionalProperties"] = False


def _array(given: JsonObject, result: JsonObject, path: str, problems: list[Problem]) -> list[str]:
    if "prefixItems" not in given:
        result["items"] = _rewrite(given.get("items"), f"{path}[]", problems)
        return []
    members = [
        _rewrite(member, f"{path}[{index}]", problems)
        for index, member in enumerate(given["prefixItems"])
    ]
    distinct = [member for at, member in enumerate(members) if member not in members[:at]]
    if not distinct:
        problems.append(Problem(path, "an empty tuple; leave it out"))
        return []
    result["items"] = distinct[0] if len(distinct) == 1 else {"anyOf": distinct}
    return [] if len(distinct) == 1 else [_note("prefixItems", given["prefixItems"])]


def _is_note(name: str, value: Any) -> bool:
    if name == "pattern":
        return bool(_LOOK_AROUND.search(str(value)))
    if name == "format":
        return value not in _FORMATS
    if name == "default":
        return value is not None
    return name not in _KEPT | _DROPPED | {"prefixItems"}


def _note(name: str, value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(without_titles(value), default=str)
    return f"{name}: {text}"


def _describe(result: JsonObject, notes: list[str]) -> None:
    if not notes:
        return
    said = [result["description"]] if result.get("description") else []
    result["description"] = " ".join([*said, f"({'; '.join(notes)})"])


def _enum_type(values: list[Any]) -> str | list[str]:
    types = list(dict.fromkeys(_json_type(value) for value in values))
    return types[0] if len(types) == 1 else types


def _json_type(value: object) -> str:
    return next((name for kind, name in _JSON_TYPES.items() if type(value) is kind), "object")


def _limits(schema: JsonObject) -> Iterator[Problem]:
    parts = {"$": {n: v for n, v in schema.items() if n != "$defs"}, **schema.get("$defs", {})}
    nodes = [(path, node) for path, part in parts.items() for node in _nodes(part)]
    names = [name for _, node in nodes for name in node.get("properties", ())]
    values = [value for _, node in nodes for value in _closed_values(node)]
    for path, part in parts.items():
        if (depth := _depth(part)) > MAX_DEPTH:
            yield Problem(path, f"{depth} levels of nesting; at most {MAX_DEPTH} are allowed")
    for path, node in nodes:
        chars = sum(len(str(value)) for value in node.get("enum", ()))
        if len(node.get("enum", ())) > 250 and chars > MAX_ENUM_CHARS:
            yield Problem(path, f"an enum of {chars} characters; at most {MAX_ENUM_CHARS:_} fit")
    totals = (
        ("properties", len(names), MAX_PROPERTIES),
        ("enum values", len(values), MAX_ENUM_VALUES),
        (
            "characters of names and enum values",
            sum(len(str(text)) for text in [*names, *values, *schema.get("$defs", ())]),
            MAX_NAME_CHARS,
        ),
    )
    for what, count, limit in totals:
        if count > limit:
            yield Problem("$", f"{count:_} {what}; at most {limit:_} are allowed")


def _closed_values(node: JsonObject) -> list[Any]:
    return [*node.get("enum", ()), *([node["const"]] if "const" in node else [])]


def _children(node: JsonObject) -> list[JsonObject]:
    items = [node["items"]] if isinstance(node.get("items"), dict) else []
    return [*node.get("properties", {}).values(), *items, *node.get("anyOf", ())]


def _nodes(schema: JsonObject) -> Iterator[JsonObject]:
    yield schema
    for child in _children(schema):
        yield from _nodes(child)


def _depth(schema: JsonObject) -> int:
    inner = max(map(_depth, _children(schema)), default=0)
    return inner + (schema.get("type") in ("object", "array"))
