"""Trivial answers, so that the server's time is not what is measured."""

from typing import Any


def answer(body: dict[str, Any]) -> str:
    """Repeat the end of the prompt; a judge gets a verdict."""
    text = body["messages"][-1]["content"]
    if "response_format" in body:
        return '{"response":true}' if len(text) % 3 else '{"response":false}'
    return "billing: " + text[:24]
