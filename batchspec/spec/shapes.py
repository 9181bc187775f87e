"""Shapes of values that come from users and from JSON, for the type checkers' sake too."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, TypeGuard

LARGEST = 1_000_000_000
"""Of whole numbers in a spec: more than anybody means, and every state can hold it."""


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Tell whether a value is a mapping."""
    return isinstance(value, Mapping)


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Tell whether a value of JSON is an object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[Sequence[Any]]:
    """Tell whether a value is a list or a tuple."""
    return isinstance(value, list | tuple)


def is_set(value: object) -> TypeGuard[AbstractSet[Any]]:
    """Tell whether a value is a set."""
    return isinstance(value, AbstractSet)


def is_rows(value: object) -> TypeGuard[Iterable[Any]]:
    """Tell whether a value can be gone through row by row."""
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
