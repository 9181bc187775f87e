"""The schema subset that providers can enforce ("strict mode"), and how to get into it.

What strict mode cannot enforce is moved into the description, where the model still reads it, and
stays enforced on this machine by the Pydantic type. What cannot be said at all is a problem.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from batchspec.messages import JsonObject
from batchspec.spec.limits import beyond_limits, nodes_of
from batchspec.spec.normal import close, definition_name, merged, normal, rooted, says_something
from batchspec.spec.schemas import MADE, NULL_IS_UNSET, OWN, UNREACHABLE, without
from batchspec.spec.shapes import is_object
from batchspec.spec.unset import allows, without_unset

_KEPT = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "anyOf", "$ref"}
    | {"enum", "const", "description", "minimum", "maximum", "multipleOf", "minItems", "maxItems"}
)
_DROPPED = OWN | {"title", "$schema", "$id", "$comment", "$defs", "definitions", "discriminator"}
_NOT_SENT = OWN | {"title"}
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
)
# Of a pattern: an escape, a class of characters, the start of a special group, a possessive repeat.
_TOKEN = re.compile(r"\\(.)|\[(?:\\.|[^\]\\])*\]|(\(\?(?!:))|([*+?}]\+)", re.DOTALL)
_PYTHONS_ESCAPES = frozenset("AZz123456789")
_FREE = (
    "an object with free keys (such as `dict[str, X]`); list the keys as fields,"
    " or use a list of key/value objects"
)
_OPEN = (
    'an object with free keys beside its fields (`extra="allow"`); forbid them,'
    " or list them as fields"
)
_PATH_ONLY = "only an `AliasPath` leads here, which is no property; give the field a plain alias"


@dataclass(frozen=True, slots=True)
class Problem:
    """What strict mode cannot express.

    Attributes:
        path: Leads to it from the root by the names of fields, as in `$.items[].price`.
        message: What it is, and what to do.
        inside: Name of the type it is written in, where that is not the root's.
    """

    path: str
    message: str
    inside: str | None = None

    def __str__(self) -> str:
        inside = f" (in {self.inside})" if self.inside else ""
        return f"at {self.path}{inside}: {self.message}"


@dataclass(frozen=True, slots=True)
class Strict:
    """A schema as it is sent; it is only usable where `problems` is empty.

    Attributes:
        schema: What is sent.
        problems: What strict mode cannot express.
        enforced: Whether the provider is asked to enforce it.
    """

    schema: JsonObject
    problems: tuple[Problem, ...] = ()
    enforced: bool = True
    _marked: JsonObject | None = None

    def read(self, text: str) -> str:
        """Return a model's JSON text as the type reads it: null may stand for "left out"."""
        return text if self._marked is None else without_unset(text, self._marked)


def sent_schema(schema: Mapping[str, Any], *, strict: bool | None) -> Strict:
    """Return the schema of an object as it is sent.

    Args:
        schema: Made by `schema_of`, or any JSON schema.
        strict: True rewrites it into the strict subset, False leaves it as it is, None rewrites it
            where that is possible and leaves it as it is elsewhere.
    """
    if strict is False:
        unreadable = [p for p in strict_schema(schema).problems if p.message == _PATH_ONLY]
        return Strict(plain_schema(schema), tuple(unreadable), enforced=False)
    result = strict_schema(schema)
    if strict is None and result.problems:
        return sent_schema(schema, strict=False)
    return result


def strict_schema(schema: Mapping[str, Any]) -> Strict:
    """Rewrite a JSON schema of an object into the strict subset."""
    definitions: JsonObject = {**schema.get("definitions", {}), **schema.get("$defs", {})}
    rewriting = _Rewriting(definitions)
    result = rewriting.whole(rooted({**schema, "$defs": definitions}))
    problems = rewriting.problems
    if result.get("type") != "object" or "anyOf" in result:
        problems.insert(0, Problem("$", "the root must be an object; wrap it in a model"))
    for place, told in beyond_limits(result):
        problems.append(Problem(rewriting.paths.get(place or "", "$"), told, place))
    marked = any(NULL_IS_UNSET in node for node in _all_nodes(result))
    sent = cast("JsonObject", without(result, OWN)) if marked else result
    return Strict(sent, tuple(problems), _marked=result if marked else None)


def plain_schema(schema: Mapping[str, Any]) -> JsonObject:
    """Return the schema as it is, with an object at its root and without titles."""
    return cast("JsonObject", without(rooted(schema), _NOT_SENT))


@dataclass(slots=True)
class _Rewriting:
    """One schema on its way into the subset; definitions are rewritten as they are met."""

    definitions: JsonObject
    problems: list[Problem] = field(default_factory=list[Problem])
    paths: dict[str, str] = field(default_factory=dict[str, str])
    _inside: str | None = None
    _open: list[tuple[JsonObject, str, Any]] = field(
        default_factory=list[tuple[JsonObject, str, Any]]
    )

    def whole(self, root: JsonObject) -> JsonObject:
        """Rewrite the root and every definition it leads to."""
        result = self.rewrite(root, "$")
        done: JsonObject = {}
        while waiting := [name for name in self.paths if name not in done]:
            for name in waiting:
                definition = self.definitions[name]
                self._inside = self._title(name)
                done[name] = self.rewrite(definition, self.paths[name])
        if done:
            # In the order they came in: requests stay the same, byte for byte.
            result["$defs"] = {name: done[name] for name in self.definitions if name in done}
        for properties, name, given in self._open:
            _allow_unset(properties, name, given, result)
        return result

    def tell(self, path: str, message: str) -> None:
        """Note what cannot be said."""
        self.problems.append(Problem(path, message, self._inside))

    def rewrite(self, schema: Any, path: str) -> JsonObject:
        """Rewrite one schema, which is at `path`."""
        given = self._normal(schema, path)
        if not given:
            return {}
        result: JsonObject = {name: value for name, value in given.items() if name in _KEPT}
        notes = [_note(name, value) for name, value in given.items() if _is_note(name, value)]
        for name in ("pattern", "format"):
            if name in given and not _is_note(name, given[name]):
                result[name] = given[name]
        if problem := close(result):
            self.tell(path, problem)
            return {}
        if given.get(UNREACHABLE):
            self.tell(path, _PATH_ONLY)
        if "anyOf" in given:
            result["anyOf"] = self._members(given["anyOf"], path)
        if given.get("type") == "object":
            self._object(given, result, path)
        if given.get("type") == "array":
            notes += self._array(given, result, path)
        _describe(result, notes)
        return self._reference(result, path)

    def _normal(self, schema: Any, path: str) -> JsonObject:
        given: JsonObject | None = schema if is_object(schema) else {}
        if given and "allOf" in given:
            given = merged(given, self.definitions)
            if given is None:
                self.tell(path, "it must fit several schemas at once (`allOf`); write one")
                return {}
        if not given or not says_something(given):
            what = "no value" if schema is False else "any value"
            self.tell(path, f"{what} is allowed here; give it a type")
            return {}
        return normal(given, self.definitions)

    def _members(self, members: Any, path: str) -> list[JsonObject]:
        several = sum(member != {"type": "null"} for member in members) > 1
        return [
            self.rewrite(member, f"{path}|{self._called(member, number)}" if several else path)
            for number, member in enumerate(members, 1)
        ]

    def _called(self, member: Any, number: int) -> str:
        name = definition_name(str(member.get("$ref", ""))) if is_object(member) else None
        return self._title(name) if name in self.definitions else str(number)

    def _title(self, name: str) -> str:
        definition = self.definitions[name]
        return str(definition.get("title", name)) if is_object(definition) else name

    def _reference(self, schema: JsonObject, path: str) -> JsonObject:
        if "$ref" not in schema:
            return schema
        reference = str(schema["$ref"])
        name = definition_name(reference)
        if name in self.definitions:
            self.paths.setdefault(str(name), path)
            reference = reference.replace("#/definitions/", "#/$defs/")
        elif reference != "#":
            self.tell(path, f"it refers to `{reference}`; only definitions can be referred to")
        rest = {name: value for name, value in schema.items() if name != "$ref"}
        if "anyOf" in rest:
            self.tell(path, "a reference and a union at once; write one of them")
        return {"anyOf": [{"$ref": reference}], **rest} if rest else {"$ref": reference}

    def _object(self, given: JsonObject, result: JsonObject, path: str) -> None:
        properties = cast("JsonObject", given.get("properties", {}))
        if given.get("additionalProperties", "properties" not in given) is not False:
            self.tell(path, _OPEN if properties else _FREE)
        # Keys of one dict share their schema: what is wrong with it is told once.
        written: dict[int, JsonObject] = {}
        for name, value in properties.items():
            if id(value) not in written:
                written[id(value)] = self.rewrite(value, f"{path}.{name}")
        result["properties"] = {name: written[id(value)] for name, value in properties.items()}
        for name, value in properties.items():
            if name not in given.get("required", ()) and is_object(value):
                self._open.append((result["properties"], name, value))
        result["required"] = list(properties)
        result["additionalProperties"] = False

    def _array(self, given: JsonObject, result: JsonObject, path: str) -> list[str]:
        prefix = given.get("prefixItems")
        if not prefix:
            # Nothing is ever in an empty tuple, but its items want a type.
            given = {"items": {"type": "string"}, **given} if given.get("maxItems") == 0 else given
            result["items"] = self.rewrite(given.get("items"), f"{path}[]")
            return []
        rest = [given["items"]] if is_object(given.get("items")) else []
        members = [
            self.rewrite(member, f"{path}[{index}]")
            for index, member in enumerate([*prefix, *rest])
        ]
        distinct = [member for at, member in enumerate(members) if member not in members[:at]]
        result["items"] = distinct[0] if len(distinct) == 1 else {"anyOf": distinct}
        return [] if len(distinct) == 1 else [_note("prefixItems", prefix)]


def _allow_unset(properties: JsonObject, name: str, given: JsonObject, root: JsonObject) -> None:
    # A default the property may also be given loses nothing; neither does one a factory makes.
    schema = properties[name]
    is_told = "default" in given and allows(given["default"], schema, root)
    if is_told or given.get(MADE) or not schema or allows(None, schema, root):
        return
    inner = {n: value for n, value in schema.items() if n != "description"}
    members = inner["anyOf"] if inner.keys() == {"anyOf"} else [inner]
    result: JsonObject = {"anyOf": [*members, {"type": "null"}], NULL_IS_UNSET: True}
    if "description" in schema:
        result["description"] = schema["description"]
    _describe(result, ["null: left out"])
    properties[name] = result


def _is_note(name: str, value: Any) -> bool:
    if name == "pattern":
        return not _is_enforced(str(value))
    if name == "format":
        return value not in _FORMATS
    if name == "default":
        return value is not None
    return name not in _KEPT | _DROPPED | {"prefixItems"}


def _is_enforced(pattern: str) -> bool:
    # No look-around, no references back, and nothing that only Python's patterns have.
    return not any(
        escape in _PYTHONS_ESCAPES if escape else group or possessive
        for escape, group, possessive in _TOKEN.findall(pattern)
    )


def _note(name: str, value: Any) -> str:
    # The items of a named tuple have their names as titles.
    dropped = OWN if name == "prefixItems" else _NOT_SENT
    text = value if isinstance(value, str) else json.dumps(without(value, dropped), default=str)
    return f"{name}: {text}"


def _describe(result: JsonObject, notes: list[str]) -> None:
    if not notes:
        return
    said = [result["description"]] if result.get("description") else []
    result["description"] = " ".join([*said, f"({'; '.join(notes)})"])


def _all_nodes(schema: JsonObject) -> list[JsonObject]:
    parts = [schema, *schema.get("$defs", {}).values()]
    return [node for part in parts for node in nodes_of(part)]
