"""Folds several JSON Schemas that a value must conform to into one."""

from collections.abc import Callable
from fractions import Fraction
from math import lcm
from typing import Any

from batchspec.simulator.answers.conform import Schema, same, types_of


def merge(one: Schema, other: Schema) -> Schema:
    """One schema for both.

    It may ask for less than both together, where two keywords have no common form (two patterns):
    whoever makes a value from it tests the value.
    """
    if one is False or other is False:
        return False
    if isinstance(one, bool):
        return other
    if isinstance(other, bool):
        return one
    merged = {**one, **other}
    for key in one.keys() & other.keys():
        merged[key] = _MERGERS.get(key, _second)(one[key], other[key])
    if "type" in one and "type" in other:
        merged["type"] = _types(types_of(one), types_of(other))
    if "properties" in merged:
        merged["properties"] = _without_closed(one, other, merged["properties"])
    return merged


def _second(_: Any, other: Any) -> Any:
    return other


def _types(one: list[str], other: list[str]) -> list[str]:
    common = [name for name in one if name in other]
    if "integer" not in common and {"integer", "number"} <= {*one, *other}:
        common.append("integer")
    return common


def _both(one: Schema, other: Schema) -> Schema:
    return one if same(one, other) else {"allOf": [one, other]}


def _properties(one: dict[str, Schema], other: dict[str, Schema]) -> dict[str, Schema]:
    return {
        name: _both(one[name], other[name])
        if name in one and name in other
        else {**one, **other}[name]
        for name in [*one, *(name for name in other if name not in one)]
    }


def _without_closed(
    one: dict[str, Any], other: dict[str, Any], properties: dict[str, Schema]
) -> dict[str, Schema]:
    """Leave out what one of the two objects, being closed, does not know."""
    for closed in (one, other):
        if closed.get("additionalProperties") is False and "patternProperties" not in closed:
            known = closed.get("properties", {})
            properties = {name: part for name, part in properties.items() if name in known}
    return properties


def _choices(one: list[Schema], other: list[Schema]) -> list[Schema]:
    return [_both(left, right) for left in one[:16] for right in other[:16]]


def _tuples(one: list[Schema], other: list[Schema]) -> list[Schema]:
    longer = one if len(one) > len(other) else other
    common = [_both(left, right) for left, right in zip(one, other, strict=False)]
    return [*common, *longer[len(common) :]]


def _multiple(one: float, other: float) -> float:
    left, right = Fraction(str(one)), Fraction(str(other))
    denominator = lcm(left.denominator, right.denominator)
    common = Fraction(lcm(int(left * denominator), int(right * denominator)), denominator)
    return int(common) if common.denominator == 1 else float(common)


def _enum(one: list[Any], other: list[Any]) -> list[Any]:
    return [item for item in one if any(same(item, known) for known in other)]


def _required(one: list[str], other: list[str]) -> list[str]:
    return [*one, *(name for name in other if name not in one)]


_MERGERS: dict[str, Callable[[Any, Any], Any]] = {
    **dict.fromkeys(
        ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains"),
        max,
    ),
    **dict.fromkeys(
        ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains"),
        min,
    ),
    **dict.fromkeys(("properties", "patternProperties"), _properties),
    **dict.fromkeys(("items", "additionalProperties", "propertyNames", "contains"), _both),
    **dict.fromkeys(("anyOf", "oneOf"), _choices),
    "allOf": lambda one, other: [*one, *other],
    "prefixItems": _tuples,
    "multipleOf": _multiple,
    "enum": _enum,
    "required": _required,
}
