"""What an input file is about, from its first line."""

from pathlib import Path

from pydantic_core import from_json

from batchspec.simulator.wire import is_object

_MOST = 2**20
"""Bytes of a line that are read; a longer one is about no model."""


def model_of(path: Path) -> str | None:
    """Return the model of the first request in a file, if it can be read."""
    try:
        with path.open("rb") as file:
            line = from_json(file.readline(_MOST))
    except (OSError, ValueError):
        return None
    body = line.get("body") if is_object(line) else None
    model = body.get("model") if is_object(body) else None
    return model if isinstance(model, str) else None
