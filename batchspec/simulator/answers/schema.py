"""Makes instances of JSON Schemas."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from batchspec.simulator.answers.conform import (
    Schema,
    all_different,
    array_parts,
    conforms,
    property_parts,
    resolve,
    types_of,
)
from batchspec.simulator.answers.merging import merge
from batchspec.simulator.answers.scalars import (
    Unsatisfiable,
    make_integer,
    make_number,
    make_string,
)
from batchspec.simulator.answers.voice import Voice

_DEEP = 10
_TOO_DEEP = 40
_ATTEMPTS = 12
_BUDGET = 5_000
"""Values made for one instance before everything optional is left out."""

_TRIED = frozenset(
    {
        "allOf", "anyOf", "oneOf", "not", "if", "contains", "dependentSchemas", "patternProperties",
        "propertyNames",
    }
)  # fmt: skip
"""Keywords whose values are made by trial."""
_DECISIONS = frozenset({"$ref", "allOf", "anyOf", "oneOf", "if"})
"""Those among them, and references, that lead to another schema."""

_TYPE_HINTS = (
    ("object", ("properties", "required", "additionalProperties", "patternProperties",
                "minProperties", "maxProperties", "propertyNames", "dependentRequired")),
    ("array", ("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains")),
    ("string", ("pattern", "format", "minLength", "maxLength")),
    ("number", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
)  # fmt: skip


def make_instance(schema: Schema, voice: Voice) -> Any:
    """A value that conforms to the schema, plausible where the schema leaves a choice.

    A schema that allows no value, or whose demands cannot be met by trial, gets a value that
    comes near, or null.
    """
    try:
        return _Maker(schema, voice).make(schema, "", 0)
    except Unsatisfiable:
        return None


class _Maker:
    def __init__(self, root: Schema, voice: Voice) -> None:
        self._root = root
        self._voice = voice
        self._random = voice.random
        self._open_refs: Counter[str] = Counter()
        self._made = 0
        self._makers: dict[str, Callable[[dict[str, Any], str, int], Any]] = {
            "object": lambda schema, _name, depth: self._object(schema, depth),
            "array": self._array,
            "string": lambda schema, name, _depth: make_string(schema, self._voice, name),
            "integer": lambda schema, _name, _depth: make_integer(schema, self._random),
            "number": lambda schema, _name, _depth: make_number(schema, self._random),
            "boolean": lambda _schema, _name, _depth: self._random.random() < 0.5,
            "null": lambda _schema, _name, _depth: None,
        }

    def make(self, schema: Schema, name: str, depth: int) -> Any:
        self._made += 1
        if schema is False or depth > _TOO_DEEP:
            raise Unsatisfiable
        if schema is True:
            return self._voice.phrase()
        if "$ref" in schema:
            return self._reference(schema, name, depth)
        if _TRIED.isdisjoint(schema):
            return self._plain(schema, name, depth)
        return self._try(schema, name, depth)

    # --- choices

    def _reference(self, schema: dict[str, Any], name: str, depth: int) -> Any:
        reference = schema["$ref"]
        rest = {key: item for key, item in schema.items() if key != "$ref"}
        try:
            target = resolve(self._root, reference)
        except LookupError:
            return self.make(rest, name, depth)
        self._open_refs[reference] += 1
        try:
            return self.make(merge(target, rest) if rest else target, name, depth + 1)
        finally:
            self._open_refs[reference] -= 1

    def _try(self, schema: dict[str, Any], name: str, depth: int) -> Any:
        """Follow the ways to fulfil a schema until one leads to a value that conforms."""
        nearest: list[Any] = []
        attempts = 0
        while attempts < _ATTEMPTS:
            for way in self._ways(schema, depth):
                attempts += 1
                try:
                    value = self._follow(way, name, depth)
                except Unsatisfiable:
                    continue
                if conforms(self._root, schema, value):
                    return value
                nearest.append(value)
                if self._made > _BUDGET:
                    return value
        if not nearest:
            raise Unsatisfiable
        return nearest[-1]

    def _follow(self, way: Schema, name: str, depth: int) -> Any:
        if isinstance(way, bool) or not _DECISIONS.isdisjoint(way):
            return self.make(way, name, depth)
        return self._plain(way, name, depth)

    def _ways(self, schema: dict[str, Any], depth: int) -> Iterator[Schema]:
        """Schemas with one decision less to take, each as good as another."""
        if "allOf" in schema:
            merged: Schema = _without(schema, "allOf")
            for part in schema["allOf"]:
                merged = merge(merged, self._dereferenced(part))
            yield merged
            return
        for key in ("anyOf", "oneOf"):
            if key in schema:
                rest = _without(schema, key)
                for branch in self._ordered(schema[key], depth):
                    yield merge(rest, self._dereferenced(branch)) if _binding(rest) else branch
                return
        if "if" in schema:
            rest = _without(schema, "if", "then", "else")
            holds = merge(self._dereferenced(schema["if"]), schema.get("then", True))
            yield merge(rest, holds)
            yield merge(rest, schema.get("else", True))
            return
        yield schema

    def _dereferenced(self, schema: Schema) -> Schema:
        """A schema that can be merged: its own reference followed."""
        for _ in range(_TOO_DEEP):
            if isinstance(schema, bool) or "$ref" not in schema:
                return schema
            try:
                target = resolve(self._root, schema["$ref"])
            except LookupError:
                return _without(schema, "$ref")
            schema = merge(target, _without(schema, "$ref"))
        raise Unsatisfiable

    def _ordered(self, branches: list[Schema], depth: int) -> list[Schema]:
        if self._is_deep(depth):
            return sorted(branches, key=lambda branch: self._height(branch, frozenset()))
        # Null is a legal answer that says little.
        telling = [branch for branch in branches if branch != {"type": "null"}]
        self._random.shuffle(telling)
        spared = [branch for branch in branches if branch == {"type": "null"}]
        return [*spared, *telling] if self._random.random() < 0.15 else [*telling, *spared]

    def _is_deep(self, depth: int) -> bool:
        recursive = any(count > 1 for count in self._open_refs.values())
        return recursive or depth >= _DEEP or self._made > _BUDGET

    def _height(self, schema: Schema, seen: frozenset[str]) -> float:
        """How many levels the smallest value has; infinite where a reference comes back."""
        if isinstance(schema, bool) or "const" in schema or "enum" in schema:
            return 0
        if "$ref" in schema:
            reference = schema["$ref"]
            if reference in seen or len(seen) > _TOO_DEEP:
                return float("inf")
            return self._height(self._resolved(reference), seen | {reference})
        parts = [min(self._height(part, seen) for part in schema[key])
                 for key in ("anyOf", "oneOf") if schema.get(key)]  # fmt: skip
        parts += [self._height(part, seen) for part in schema.get("allOf", ())]
        properties = schema.get("properties", {})
        parts += [1 + self._height(properties.get(name, True), seen)
                  for name in schema.get("required", ())]  # fmt: skip
        if schema.get("minItems"):
            first, rest = array_parts(schema)
            parts.append(1 + max(self._height(part, seen) for part in (*first, rest)))
        return max(parts, default=0)

    def _resolved(self, reference: str) -> Schema:
        try:
            return resolve(self._root, reference)
        except LookupError:
            return True

    # --- values

    def _plain(self, schema: dict[str, Any], name: str, depth: int) -> Any:
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            fitting = schema["enum"]
            if _binding(rest := _without(schema, "enum")):
                fitting = [item for item in fitting if conforms(self._root, rest, item)]
            if not fitting:
                raise Unsatisfiable
            return self._random.choice(fitting)
        return self._makers[self._type(schema, depth)](schema, name, depth)

    def _type(self, schema: dict[str, Any], depth: int) -> str:
        if "type" not in schema:
            return next((t for t, keys in _TYPE_HINTS if any(k in schema for k in keys)), "string")
        names = [name for name in types_of(schema) if name in self._makers]
        if not names:
            raise Unsatisfiable
        if "null" in names and self._is_deep(depth):
            return "null"
        telling = [name for name in names if name != "null"]
        if not telling or (len(telling) < len(names) and self._random.random() < 0.15):
            return "null"
        return self._random.choice(telling)

    def _array(self, schema: dict[str, Any], name: str, depth: int) -> list[Any]:
        first, rest = array_parts(schema)
        low, high = schema.get("minItems", 0), schema.get("maxItems")
        if self._is_deep(depth):
            count = low
        else:
            count = max(low, len(first), 1) + self._random.randint(0, 2)
        count = count if high is None else min(count, high)
        parts: list[Schema] = [*first[:count], *([rest] * (count - len(first)))]
        if "contains" in schema:
            wanted = schema.get("minContains", 1)
            parts = [*parts, *([rest] * (wanted - len(parts)))]
            parts[-wanted:] = [merge(part, schema["contains"]) for part in parts[-wanted:]]
        unique = schema.get("uniqueItems", False)
        return self._items(parts, name, depth, low=low, unique=unique)

    def _items(
        self, parts: list[Schema], name: str, depth: int, *, low: int, unique: bool
    ) -> list[Any]:
        items: list[Any] = []
        for part in parts:
            try:
                items.append(self._different(part, name, depth, items if unique else []))
            except Unsatisfiable:
                # Fewer will do, unless they will not.
                if len(items) >= low:
                    break
                raise
        return items

    def _different(self, part: Schema, name: str, depth: int, others: list[Any]) -> Any:
        for _ in range(_ATTEMPTS * 4):
            item = self.make(part, _singular(name), depth + 1)
            if not others or all_different([*others, item]):
                return item
        raise Unsatisfiable

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        required = list(schema.get("required", ()))
        properties = schema.get("properties", {})
        high = schema.get("maxProperties", len(required) + len(properties) + 2)
        found: dict[str, Any] = {}
        for name in [*properties, *(name for name in required if name not in properties)]:
            if name in required:
                found[name] = self._property(schema, name, depth)
            elif len(found) + len(required) < high and self._wants_optional(schema, depth):
                with suppress(Unsatisfiable):
                    found[name] = self._property(schema, name, depth)
        self._complete(schema, found, depth)
        self._extend(schema, found, depth)
        return found

    def _wants_optional(self, schema: dict[str, Any], depth: int) -> bool:
        share = 0.5 if "maxProperties" in schema else 0.75
        return not self._is_deep(depth) and self._random.random() < share

    def _property(self, schema: dict[str, Any], name: str, depth: int) -> Any:
        parts = property_parts(schema, name)
        part = parts[0]
        for other in parts[1:]:
            part = merge(self._dereferenced(part), self._dereferenced(other))
        return self.make(part, name, depth + 1)

    def _complete(self, schema: dict[str, Any], found: dict[str, Any], depth: int) -> None:
        """Add what the presence of other properties asks for."""
        dependent = schema.get("dependentRequired", {})
        names = list(found)
        for name in names:
            for needed in dependent.get(name, ()):
                if needed not in found:
                    found[needed] = self._property(schema, needed, depth)
                    names.append(needed)

    def _extend(self, schema: dict[str, Any], found: dict[str, Any], depth: int) -> None:
        """Add entries with names of our own, for dictionaries and where too few are named."""
        low, high = schema.get("minProperties", 0), schema.get("maxProperties")
        # Only a schema for the values says that a dictionary is meant.
        dictionary = isinstance(schema.get("additionalProperties"), dict) or (
            "patternProperties" in schema
        )
        wanted = low - len(found)
        if dictionary and not self._is_deep(depth):
            wanted = max(wanted, 0 if schema.get("properties") else self._random.randint(1, 2))
        if high is not None:
            wanted = min(wanted, high - len(found))
        for _ in range(max(wanted, 0) * _ATTEMPTS):
            if wanted <= 0:
                return
            name = self._name(schema, found)
            if name in found or name in schema.get("properties", {}):
                continue
            try:
                found[name] = self._property(schema, name, depth)
            except Unsatisfiable:
                continue
            wanted -= 1
        if len(found) < low:
            self._add_optional(schema, found, depth)

    def _add_optional(self, schema: dict[str, Any], found: dict[str, Any], depth: int) -> None:
        for name in schema.get("properties", {}):
            if len(found) < schema.get("minProperties", 0) and name not in found:
                found[name] = self._property(schema, name, depth)
        if len(found) < schema.get("minProperties", 0):
            raise Unsatisfiable

    def _name(self, schema: dict[str, Any], found: dict[str, Any]) -> str:
        if "propertyNames" in schema:
            names = merge({"type": "string"}, self._dereferenced(schema["propertyNames"]))
            return str(self.make(names, "", 1))
        if patterns := list(schema.get("patternProperties", {})):
            pattern = self._random.choice(patterns)
            name = make_string({"pattern": pattern}, self._voice, "")
            longer = name + self._voice.word()
            return longer if re.search(pattern, longer) else name
        word = self._voice.word().lower()
        return f"{word}_{len(found) + 1}" if word in found else word


def _without(schema: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: item for key, item in schema.items() if key not in keys}


def _binding(schema: dict[str, Any]) -> bool:
    """Whether a schema says anything about values."""
    return not {"title", "description", "default", "examples", "discriminator", "$defs"} >= set(
        schema
    )


def _singular(name: str) -> str:
    return name[:-1] if name.endswith("s") and len(name) > 3 else name
