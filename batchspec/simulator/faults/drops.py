"""Ending a connection without an answer, as an ASGI message.

An application sends it like any other message. Who carries the messages does it: to a socket
(`connections`), or as the exception the client would see (`transport`).
"""

from typing import Literal

from starlette.types import Message

Drop = Literal["refuse", "reset", "close", "hang", "kill"]
"""`refuse` is a reset before the request was read, `close` an orderly end in the middle of an
answer, `hang` an answer that never comes, and `kill` the death of the server's process."""

DROP = "simulator.drop"
"""The type of the message."""


def drop(kind: Drop) -> Message:
    """Return the message that ends a connection."""
    return {"type": DROP, "kind": kind}
