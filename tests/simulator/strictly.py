"""Holds what the simulator emits against the SDK's own models, strictly."""

import re
from collections.abc import Mapping
from typing import Any

from openai.types.responses import Response
from pydantic import TypeAdapter

_UNDECLARED: Mapping[Any, frozenset[str]] = {Response: frozenset({"store"})}
"""Keys the service was seen to send and the SDK does not know."""


def conforms(expected: Any, value: Any) -> None:
    """Fail unless a JSON value has all keys a model demands, of the right types, and no others."""
    if known := _UNDECLARED.get(expected):
        value = {key: item for key, item in value.items() if key not in known}
    TypeAdapter(expected).validate_python(value, strict=True, extra="forbid")


def has_id(prefix: str, length: int, value: str) -> bool:
    return re.fullmatch(rf"{prefix}[0-9a-f]{{{length}}}", value) is not None
