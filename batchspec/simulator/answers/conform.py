"""Says whether a value conforms to a JSON Schema, for where making one up takes trial."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from batchspec.simulator.wire import is_array, is_object

Schema = dict[str, Any] | bool
Check = Callable[[Schema, Any], bool]


def resolve(root: Schema, reference: str) -> Schema:
    """What a local reference points at.

    Raises:
        LookupError: The reference is not local, or points nowhere.
    """
    if not reference.startswith("#"):
        raise LookupError(reference)
    found: Any = root
    for part in reference[1:].split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        try:
            found = found[int(key)] if is_array(found) else found[key]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise LookupError(reference) from error
    if is_object(found) or isinstance(found, bool):
        return found
    raise LookupError(reference)


def same(one: Any, other: Any) -> bool:
    """Equality as JSON Schema has it: 1 is 1.0, but neither is true."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if is_array(one) and is_array(other):
        return len(one) == len(other) and all(map(same, one, other))
    if is_object(one) and is_object(other):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def is_type(value: Any, name: str) -> bool:
    match name:
        case "integer":
            whole = isinstance(value, float) and value.is_integer()
            return (isinstance(value, int) or whole) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case _:
            return isinstance(value, _TYPES.get(name, ()))


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
}


def types_of(schema: Mapping[str, Any]) -> list[str]:
    names = schema.get("type", [])
    return [names] if isinstance(names, str) else list(names)


def conforms(root: Schema, schema: Schema, value: Any) -> bool:
    """Whether the value conforms to a schema whose local references are found in `root`."""
    if isinstance(schema, bool):
        return schema
    if "$ref" in schema:
        try:
            target = resolve(root, schema["$ref"])
        except LookupError:
            return True
        rest = {key: item for key, item in schema.items() if key != "$ref"}
        return conforms(root, target, value) and _conforms(root, rest, value)
    return _conforms(root, schema, value)


def _conforms(root: Schema, schema: dict[str, Any], value: Any) -> bool:
    if "type" in schema and not any(is_type(value, name) for name in types_of(schema)):
        return False

    def check(part: Schema, item: Any) -> bool:
        return conforms(root, part, item)

    if not _logic(schema, value, check):
        return False
    if isinstance(value, str):
        return _string(schema, value)
    if is_object(value):
        return _object(schema, value, check)
    if is_array(value):
        return _array(schema, value, check)
    return not is_type(value, "number") or _number(schema, value)


def _logic(schema: dict[str, Any], value: Any, check: Check) -> bool:
    if "const" in schema and not same(schema["const"], value):
        return False
    if "enum" in schema and not any(same(item, value) for item in schema["enum"]):
        return False
    return _combined(schema, value, check) and not ("not" in schema and check(schema["not"], value))


def _combined(schema: dict[str, Any], value: Any, check: Check) -> bool:
    if not all(check(part, value) for part in schema.get("allOf", ())):
        return False
    if "anyOf" in schema and not any(check(part, value) for part in schema["anyOf"]):
        return False
    if "oneOf" in schema and sum(check(part, value) for part in schema["oneOf"]) != 1:
        return False
    if "if" not in schema:
        return True
    return check(schema.get("then" if check(schema["if"], value) else "else", True), value)


def _string(schema: Mapping[str, Any], value: str) -> bool:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", math.inf):
        return False
    try:
        return "pattern" not in schema or re.search(schema["pattern"], value) is not None
    except re.error:
        return True


def _number(schema: Mapping[str, Any], value: float) -> bool:
    low, high = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    return (
        value >= schema.get("minimum", -math.inf)
        and value <= schema.get("maximum", math.inf)
        and (low is None or isinstance(low, bool) or value > low)
        and (high is None or isinstance(high, bool) or value < high)
        and ("multipleOf" not in schema or is_multiple(value, schema["multipleOf"]))
    )


def is_multiple(value: float, step: float) -> bool:
    if isinstance(value, int) and isinstance(step, int):
        return value % step == 0
    quotient = value / step
    return math.isfinite(quotient) and quotient == int(quotient)


def _array(schema: Mapping[str, Any], value: Sequence[Any], check: Check) -> bool:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf):
        return False
    if schema.get("uniqueItems") and not all_different(value):
        return False
    parts, rest = array_parts(schema)
    if not all(map(check, parts, value)):
        return False
    if not all(check(rest, item) for item in value[len(parts) :]):
        return False
    if "contains" not in schema:
        return True
    found = sum(check(schema["contains"], item) for item in value)
    return bool(schema.get("minContains", 1) <= found <= schema.get("maxContains", math.inf))


def array_parts(schema: Mapping[str, Any]) -> tuple[Sequence[Schema], Schema]:
    """The schemas of an array's first items, and that of all others, in old drafts and new."""
    items = schema.get("items", True)
    if is_array(items):
        return items, schema.get("additionalItems", True)
    return schema.get("prefixItems", ()), items


def all_different(values: Sequence[Any]) -> bool:
    return not any(same(one, two) for at, one in enumerate(values) for two in values[:at])


def _object(schema: Mapping[str, Any], value: Mapping[str, Any], check: Check) -> bool:
    if not schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", math.inf):
        return False
    if not all(name in value for name in schema.get("required", ())):
        return False
    for name, needed in schema.get("dependentRequired", {}).items():
        if name in value and not all(other in value for other in needed):
            return False
    for name, part in schema.get("dependentSchemas", {}).items():
        if name in value and not check(part, value):
            return False
    names = schema.get("propertyNames", True)
    return all(
        check(names, name) and all(check(part, item) for part in property_parts(schema, name))
        for name, item in value.items()
    )


def property_parts(schema: Mapping[str, Any], name: str) -> list[Schema]:
    """Every schema the value of a property must conform to."""
    parts: list[Schema] = []
    properties = schema.get("properties", {})
    if name in properties:
        parts.append(properties[name])
    for pattern, part in schema.get("patternProperties", {}).items():
        if re.search(pattern, name):
            parts.append(part)
    return parts or [schema.get("additionalProperties", True)]
