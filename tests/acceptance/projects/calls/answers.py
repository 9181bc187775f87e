"""Calls a tool in the first turn, and says in the second what it said."""

from typing import Any


def answer(body: dict[str, Any]) -> Any:
    """Answer by the request alone."""
    last = body["messages"][-1]
    if last["role"] == "tool":
        return f"It is {last['content']}."
    call = {"name": "double", "arguments": {"number": int(last["content"].split()[-1])}}
    return {"role": "assistant", "tool_calls": [call]}
