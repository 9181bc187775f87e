"""Trivial answers, so that the server's time is not what is measured."""

from typing import Any


def answer(body: dict[str, Any]) -> str:
    """Repeat the end of the prompt."""
    return "billing: " + body["messages"][-1]["content"][:24]
