"""Brings JSON schemas into one form, so that equal ones mean the same.

What is not compared: titles, the names of definitions, the order of keys and of members of a
union, `discriminator` (a hint for parsers), how a moved keyword is worded in a description (that it
is told is compared), `oneOf` for `anyOf`, and whether the object around a value that is none is
closed.
"""

import json
import re
from typing import Any

OURS = re.compile(r" ?\(((?:\w+: [^\n]*?; )*\w+: [^\n]*)\)$")
TOLD = "minLength|maxLength|uniqueItems|format|pattern|patternProperties|propertyNames|contains"
DROPPED = {"title", "$schema", "discriminator", "$defs"}


def meaning(schema: Any) -> Any:
    """Return what a schema says, in one form."""
    return _node(schema, schema, ())


def _node(node: Any, root: Any, above: tuple[str, ...]) -> Any:
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _reference(node, root, above)
    if "oneOf" in node:
        node = {"anyOf" if k == "oneOf" else k: v for k, v in node.items()}
    found = {k: _value(k, v, root, above) for k, v in node.items() if k not in DROPPED}
    return _plain(found)


def _reference(node: dict[str, Any], root: Any, above: tuple[str, ...]) -> Any:
    reference = node["$ref"]
    name = reference.removeprefix("#/$defs/")
    target = root if reference == "#" else root["$defs"][name]
    # The root may be a definition too: what it is called says nothing.
    identity = json.dumps(_bare(target), sort_keys=True)
    if identity in above:
        inlined: dict[str, Any] = {"recursive": len(above) - above.index(identity)}
    else:
        bare = {k: v for k, v in target.items() if k != "$defs"}
        inlined = _node(bare, root, (*above, identity))
    rest = {k: _value(k, v, root, above) for k, v in node.items() if k not in DROPPED | {"$ref"}}
    return _plain(_merged(inlined, rest))


def _merged(inner: dict[str, Any], outer: dict[str, Any]) -> dict[str, Any]:
    """Return what both say of the same value; what is said outside counts for more."""
    outer = _told(outer)
    told = sorted({*inner.get("told", ()), *outer.get("told", ())})
    return {**inner, **outer, **({"told": told} if told else {})}


def _bare(target: Any) -> Any:
    if not isinstance(target, dict):
        return target
    return {k: v for k, v in target.items() if k not in ("$defs", "description", "title")}


def _value(key: str, value: Any, root: Any, above: tuple[str, ...]) -> Any:
    if key == "properties":
        return {name: _node(inner, root, above) for name, inner in value.items()}
    if key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        members = [_node(inner, root, above) for inner in value]
        return members if key == "prefixItems" else sorted(members, key=json.dumps)
    if key in ("items", "additionalProperties", "propertyNames"):
        return _node(value, root, above)
    return value


def _plain(node: dict[str, Any]) -> dict[str, Any]:
    for union in ("anyOf", "allOf"):
        if len(node.get(union, ())) == 1:
            (only,) = node.pop(union)
            node = _merged(only, node)
    if node.get("type") == "object":
        node.setdefault("properties", {})
        is_wrapper = list(node["properties"]) == ["response"]
        if node.get("additionalProperties") is True or is_wrapper:
            node.pop("additionalProperties", None)
    if node.get("required") is not None:
        node["required"] = sorted(node["required"])
    if not node.get("required", True):
        del node["required"]
    return dict(sorted(_told(node).items()))


def _told(node: dict[str, Any]) -> dict[str, Any]:
    """Take what is told of moved keywords out of a description; kept ones count as told."""
    told = {key for key in node if re.fullmatch("minLength|maxLength", key)}
    told |= set(node.get("told", ()))
    text = " ".join(str(node.get("description", "")).split())
    if found := OURS.search(text):
        told |= set(re.findall(r"(?:^|; )(\w+): ", found[1]))
        text = text[: found.start()]
    elif found := re.search(rf"(?:^| \()(?=(?:{TOLD})=)(.*?)\)?$", text):
        told |= set(re.findall(r"(?:^|, )(\w+)=", found[1]))
        text = text[: found.start()]
    rest = {k: v for k, v in node.items() if k not in {*told, "description"}}
    if text.strip():
        rest["description"] = text.strip()
    if told:
        rest["told"] = sorted(told)
    return rest
