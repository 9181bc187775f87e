"""Values that JSON does not have, found where users put them."""

from collections.abc import Iterator
from typing import Any

from batchspec.fingerprint import canonical_json
from batchspec.spec.shapes import is_list, is_mapping

_DEEPEST = 100
"""Levels of a value that are gone into; one that holds itself has no end."""


def unjson(value: Any, path: str) -> str | None:
    """Return what of a value JSON does not have, and where, as a sentence; None: it is JSON.

    Args:
        value: What is to be sent.
        path: What it is called.
    """
    if (why := _refusal(value)) is None:
        return None
    for _ in range(_DEEPEST):
        inner = ((p, v, told) for p, v in _inside(value, path) if (told := _refusal(v)))
        place = next(inner, None)
        if place is None:
            return f"{path} cannot be sent as JSON: {why}; got {value!r:.80}."
        path, value, why = place
    return f"{path[:80]}… cannot be sent as JSON: it is nested too deeply, or holds itself."


def _refusal(value: Any) -> str | None:
    try:
        canonical_json(value)
    except RecursionError:
        return "it is nested too deeply, or holds itself"
    except (TypeError, ValueError) as error:
        return str(error)
    return None


def _inside(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if is_mapping(value):
        yield from ((f"{path}.{name}", one) for name, one in value.items())
    elif is_list(value):
        yield from ((f"{path}[{at}]", one) for at, one in enumerate(value))
