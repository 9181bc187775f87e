"""What a file is about, from its first line."""

from pathlib import Path

from pydantic_core import from_json

from batchspec.simulator.wire import is_object

_MOST = 2**20
"""Bytes of a line that are read; a longer one is about no model."""


def model_of(path: Path) -> str | None:
    """Return the model of the first line in a file, of a request or of an answer, if it has one."""
    try:
        with path.open("rb") as file:
            line = from_json(file.readline(_MOST))
    except (OSError, ValueError):
        return None
    if not is_object(line):
        return None
    response = line.get("response")
    body = response.get("body") if is_object(response) else line.get("body")
    model = body.get("model") if is_object(body) else None
    return model if isinstance(model, str) else None
