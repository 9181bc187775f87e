"""A checker of the strict subset, written from the documentation alone.

It knows nothing of how schemas are rewritten, only what a provider would take. The rules are those
of "Structured outputs: supported schemas" in the provider's guide.
"""

import re
from collections.abc import Iterator
from typing import Any

TYPES = {"string", "number", "integer", "boolean", "object", "array", "null"}
KEYWORDS = {
    "anywhere": {"type", "enum", "const", "anyOf", "$ref", "$defs", "description"},
    "string": {"pattern", "format"},
    "number": {"minimum", "maximum", "multipleOf"},
    "array": {"items", "minItems", "maxItems"},
    "object": {"properties", "required", "additionalProperties"},
}
FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
TARGET = re.compile(r"#|#/\$defs/[^/]+")
LOOK_AROUND = re.compile(r"(?<!\\)(?:\\\\)*\(\?<?[=!]")


def violations(schema: Any) -> list[str]:
    """Say in which ways a schema is not in the strict subset; none: it is."""
    found = list(_root(schema))
    for place, part in _parts(schema):
        found += _node(part, place, schema)
        if (depth := _levels(part)) > 10:
            found.append(f"{place}: {depth} levels of objects")
    found += _sizes([node for _, part in _parts(schema) for node in _all(part)], schema)
    return found


def _parts(schema: dict[str, Any]) -> list[tuple[str, Any]]:
    return [("root", schema), *((f"$defs {n}", d) for n, d in schema.get("$defs", {}).items())]


def _root(schema: Any) -> Iterator[str]:
    if schema.get("type") != "object" or "anyOf" in schema:
        yield "root: it is an object, and no union"


def _node(node: Any, place: str, root: dict[str, Any]) -> Iterator[str]:
    if not isinstance(node, dict):
        yield f"{place}: {node!r} is no object"
        return
    kinds = node.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if unknown := set(kinds) - TYPES:
        yield f"{place}: types {unknown}"
    if not node.keys() & {"type", "anyOf", "$ref"}:
        yield f"{place}: it has no type"
    yield from _keywords(node, kinds, place)
    yield from _references(node, place, root)
    if "object" in kinds:
        yield from _object(node, place)
    if "array" in kinds and "items" not in node:
        yield f"{place}: an array without items"
    for where, child in _children(node):
        yield from _node(child, f"{place}.{where}", root)


def _keywords(node: dict[str, Any], kinds: list[str], place: str) -> Iterator[str]:
    groups = {"number" if kind == "integer" else kind for kind in kinds} & KEYWORDS.keys()
    allowed = KEYWORDS["anywhere"].union(*(KEYWORDS[group] for group in groups))
    if unknown := node.keys() - allowed:
        yield f"{place}: keywords {sorted(unknown)} beside types {kinds}"
    if "$defs" in node and place != "root":
        yield f"{place}: definitions are at the root"
    if node.get("format", "uuid") not in FORMATS:
        yield f"{place}: format {node['format']!r}"
    if LOOK_AROUND.search(str(node.get("pattern", ""))):
        yield f"{place}: look-around in {node['pattern']!r}"
    if not isinstance(node.get("description", ""), str):
        yield f"{place}: description is no text"
    if any(isinstance(value, dict | list) for value in [*node.get("enum", []), node.get("const")]):
        yield f"{place}: a closed value that is no scalar"
    if node.get("anyOf") == [] or node.get("enum") == []:
        yield f"{place}: nothing to choose from"


def _references(node: dict[str, Any], place: str, root: dict[str, Any]) -> Iterator[str]:
    if "$ref" not in node:
        return
    target = node["$ref"]
    if len(node) > 1:
        yield f"{place}: {sorted(node)} beside a reference"
    if not TARGET.fullmatch(target):
        yield f"{place}: a reference to {target}"
    elif target != "#" and target.removeprefix("#/$defs/") not in root.get("$defs", {}):
        yield f"{place}: {target} leads nowhere"


def _object(node: dict[str, Any], place: str) -> Iterator[str]:
    if node.get("additionalProperties") is not False:
        yield f"{place}: additionalProperties is false in every object"
    if list(node.get("required", [])) != list(node.get("properties", {})):
        yield f"{place}: every property is required, and nothing else"


def _children(node: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from node.get("properties", {}).items()
    if "items" in node:
        yield "[]", node["items"]
    yield from ((f"|{number}", member) for number, member in enumerate(node.get("anyOf", [])))


def _all(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for _, child in _children(node):
            yield from _all(child)


def _levels(node: Any) -> int:
    inner = max((_levels(child) for _, child in _children(node)), default=0)
    return inner + (node.get("type") == "object")


def _sizes(nodes: list[dict[str, Any]], root: dict[str, Any]) -> Iterator[str]:
    names = [name for node in nodes for name in node.get("properties", {})]
    enums = [node["enum"] for node in nodes if "enum" in node]
    values = [value for enum in enums for value in enum]
    constants = [node["const"] for node in nodes if "const" in node]
    if len(names) > 5_000:
        yield f"{len(names)} properties"
    if len(values) > 1_000:
        yield f"{len(values)} enum values"
    if (
        sum(len(str(text)) for text in [*names, *values, *constants, *root.get("$defs", {})])
        > 120_000
    ):
        yield "more than 120,000 characters of names and values"
    for enum in enums:
        if len(enum) > 250 and sum(len(str(value)) for value in enum) > 15_000:
            yield "an enum of more than 15,000 characters"
