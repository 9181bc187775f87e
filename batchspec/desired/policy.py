"""The policy fingerprint: what runs on this machine, as a canonical form of its source.

Neither `ast.dump` nor `ast.unparse` will do: both differ between Python versions, and both see
layout-free things differently. Docstrings, comments, line numbers and file names do not count;
where a function lives does not count either, so moving one is free.
"""

import ast
import enum
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any
from uuid import UUID

from batchspec.fingerprint import canonical_json
from batchspec.spec.shapes import is_list, is_mapping, is_set

VERSION = 1
"""Part of every payload, so that a better algorithm can tell itself from a changed policy."""

_UNSEEN = frozenset({"ctx", "kind", "type_comment", "type_ignores", "lineno", "col_offset"})


def _pattern(pattern: re.Pattern[Any]) -> Any:
    return [pattern.flags, canonical_value(pattern.pattern)]


_WRITERS: Mapping[type[Any], Callable[[Any], Any]] = {
    int: str,
    float: float.hex,
    bytes: bytes.hex,
    re.Pattern: _pattern,
    **dict.fromkeys((Decimal, date, time, timedelta, PurePath, UUID, complex), str),
}


def canonical_ast(node: ast.AST) -> list[Any]:
    """Return a syntax tree as JSON value, `[type, {field: value}]`."""
    fields: dict[str, Any] = {}
    for name, value in ast.iter_fields(node):
        if name in _UNSEEN:
            continue
        seen = _field(node, name, value)
        if seen not in (None, []):
            fields[name] = seen
    return [type(node).__name__, fields]


def canonical_value(value: object) -> Any:
    """Return a constant as type-tagged JSON value; an object of unknown kind is its type only."""
    if value is None or isinstance(value, bool | str):
        return value
    if is_mapping(value):
        return ["map", [[canonical_value(k), canonical_value(v)] for k, v in value.items()]]
    if is_list(value):
        return ["list", [canonical_value(item) for item in value]]
    if is_set(value):
        return ["set", sorted(map(canonical_value, value), key=canonical_json)]
    return _tagged(value)


def _tagged(value: object) -> list[Any]:
    if isinstance(value, enum.Enum):
        inner: object = value.value
        return ["enum", type(value).__qualname__, value.name, canonical_value(inner)]
    for kind, write in _WRITERS.items():
        if isinstance(value, kind):
            return [kind.__name__, write(value)]
    return ["object", type(value).__qualname__]


def policy(
    entries: Mapping[str, Any], reached: Mapping[str, Any], bounds: Mapping[str, int]
) -> tuple[bytes, bytes]:
    """Return the fingerprint of a policy and the payload that explains it.

    Args:
        entries: From a role (`tool lookup_order`, `validator 1`) to the canonical form of what
            fills it.
        reached: From a name to the canonical form of what the entries use, directly or not.
        bounds: Numbers that are part of the policy.
    """
    parts: dict[str, dict[str, Any]] = {
        "entries": {role: _digest(form) for role, form in entries.items()},
        "reached": {name: _digest(form) for name, form in reached.items()},
        "bounds": dict(bounds),
    }
    content = {**parts, "reached": sorted(parts["reached"].values()), "version": VERSION}
    payload = canonical_json({"version": VERSION, "payload": parts})
    return hashlib.sha256(canonical_json(content)).digest(), payload


def chains(node: ast.AST) -> Iterator[tuple[str, ...]]:
    """Yield every name a tree reads, with the attributes taken of it: `rates.low` in two parts."""
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load):
            yield (part.id,)
        elif isinstance(part, ast.Attribute):
            chain = _chain(part)
            if chain:
                yield chain


def _chain(node: ast.expr) -> tuple[str, ...]:
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute):
        inner = _chain(node.value)
        return (*inner, node.attr) if inner else ()
    return ()


def _field(node: ast.AST, name: str, value: Any) -> Any:
    if isinstance(node, ast.Constant) and name == "value":
        return ["constant", canonical_value(value)]
    if isinstance(node, ast.JoinedStr) and name == "values":
        return _joined(value)
    if is_list(value):
        return [_any(item) for item in value if not _is_bare_text(item)]
    return _any(value)


def _any(value: Any) -> Any:
    return canonical_ast(value) if isinstance(value, ast.AST) else value


def _is_bare_text(node: Any) -> bool:
    # A docstring, or a text that serves as comment.
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _joined(values: list[ast.expr]) -> list[Any]:
    # How the literal text of an f-string is cut into constants differs between Python versions.
    result: list[Any] = []
    for value in values:
        if not isinstance(value, ast.Constant):
            result.append(canonical_ast(value))
        elif result and isinstance(result[-1], str):
            result[-1] += str(value.value)
        else:
            result.append(str(value.value))
    return result


def _digest(form: Any) -> str:
    return hashlib.sha256(canonical_json(form)).hexdigest()[:32]
