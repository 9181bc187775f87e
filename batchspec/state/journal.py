"""Events read back from the journal's JSON."""

import json
from functools import cache
from typing import get_args

from pydantic import TypeAdapter, ValidationError

from batchspec.state.events import Event

_ADDED: dict[str, dict[str, object]] = {"BatchIntended": {"parts": ()}}
"""What events written with schema 1 lack; without parts a batch is not held against the journal."""
_KINDS: dict[str, type[Event]] = {kind.__name__: kind for kind in get_args(Event)}


@cache
def _adapter(kind: str) -> TypeAdapter[Event] | None:
    found = _KINDS.get(kind)
    return None if found is None else TypeAdapter(found)


def event_from_json(kind: str, payload: str | bytes) -> Event | None:
    """Return an event as it was journalled, or None when this version knows no such event.

    Args:
        kind: The name of its class.
        payload: Its fields, as JSON.
    """
    adapter = _adapter(kind)
    if adapter is None:
        return None
    try:
        return adapter.validate_json(payload)
    except ValidationError:
        pass
    try:
        return adapter.validate_python(json.loads(payload) | _ADDED.get(kind, {}))
    except (ValidationError, ValueError, TypeError):
        return None
