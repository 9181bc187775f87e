"""How large a schema may be in strict mode, as the provider's documentation counts it."""

from collections.abc import Iterator
from typing import Any, cast

from batchspec.messages import JsonObject

MAX_PROPERTIES = 5_000
MAX_DEPTH = 10
MAX_ENUM_VALUES = 1_000
MAX_ENUM_CHARS = 15_000
MAX_NAME_CHARS = 120_000
LARGE_ENUM = 250
"""An enum of more values has at most `MAX_ENUM_CHARS` characters."""


def beyond_limits(schema: JsonObject) -> Iterator[tuple[str | None, str]]:
    """Yield what is too large: the definition it is in (None at the root), and what it is.

    Properties, values and characters are counted over the whole schema. Levels are those of objects
    in objects, and start anew in every definition: references are not followed.
    """
    root = {name: value for name, value in schema.items() if name != "$defs"}
    definitions = cast("dict[str, JsonObject]", schema.get("$defs", {}))
    parts: list[tuple[str | None, JsonObject]] = [(None, root), *definitions.items()]
    for place, part in parts:
        if (depth := _depth(part)) > MAX_DEPTH:
            yield place, f"{depth} levels of nesting; at most {MAX_DEPTH} are allowed"
    nodes = [(place, node) for place, part in parts for node in nodes_of(part)]
    for place, node in nodes:
        chars = sum(len(str(value)) for value in node.get("enum", ()))
        if len(node.get("enum", ())) > LARGE_ENUM and chars > MAX_ENUM_CHARS:
            yield place, f"an enum of {chars} characters; at most {MAX_ENUM_CHARS:_} fit"
    yield from ((None, told) for told in _totals([node for _, node in nodes], list(definitions)))


def _totals(nodes: list[JsonObject], definitions: list[str]) -> Iterator[str]:
    names = [name for node in nodes for name in node.get("properties", ())]
    values = [value for node in nodes for value in node.get("enum", ())]
    constants = [node["const"] for node in nodes if "const" in node]
    chars = sum(len(str(text)) for text in [*names, *values, *constants, *definitions])
    for what, count, limit in (
        ("properties", len(names), MAX_PROPERTIES),
        ("enum values", len(values), MAX_ENUM_VALUES),
        ("characters of names and enum values", chars, MAX_NAME_CHARS),
    ):
        if count > limit:
            yield f"{count:_} {what}; at most {limit:_} are allowed"


def nodes_of(schema: JsonObject) -> Iterator[JsonObject]:
    """Yield a schema of the strict subset and all within it, definitions apart."""
    yield schema
    for child in _children(schema):
        yield from nodes_of(child)


def _children(node: JsonObject) -> list[Any]:
    items = [node["items"]] if isinstance(node.get("items"), dict) else []
    return [*node.get("properties", {}).values(), *items, *node.get("anyOf", ())]


def _depth(schema: JsonObject) -> int:
    inner = max(map(_depth, _children(schema)), default=0)
    return inner + ("properties" in schema)
