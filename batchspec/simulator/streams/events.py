"""Server-sent events, and the pieces in which a text is told."""

import re
from collections.abc import Iterator

from pydantic_core import to_json

from batchspec.simulator.wire import Json

_PIECE = re.compile(r"\s*\S{1,8}|\s+")
DONE = b"data: [DONE]\n\n"


def event(data: Json, *, named: bool = False) -> bytes:
    """One event on the wire; a named one says its `type` in a line of its own."""
    name = f"event: {data['type']}\n".encode() if named else b""
    return name + b"data: " + to_json(data) + b"\n\n"


def pieces(text: str) -> Iterator[str]:
    """A text in pieces of about a token, which together are the text."""
    yield from _PIECE.findall(text)
