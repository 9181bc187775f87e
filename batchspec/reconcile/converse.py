"""The next request of a conversation: what was said so far, the reply, and what follows it."""

from collections.abc import Sequence
from typing import Any

from batchspec.messages import JsonObject


def after_tools(
    messages: Sequence[Any], assistant: JsonObject, results: Sequence[tuple[str, str]]
) -> list[Any]:
    """Return the messages of the next turn after tool calls.

    Args:
        messages: The messages of the turn that was answered.
        assistant: The assistant's message with its tool calls, unchanged.
        results: (call id, content) for every call of that message, in order.
    """
    answers: list[Any] = [
        {"role": "tool", "tool_call_id": call, "content": content} for call, content in results
    ]
    return [*messages, assistant, *answers]


def after_feedback(messages: Sequence[Any], assistant: JsonObject, feedback: str) -> list[Any]:
    """Return the messages of the next turn after an output that was not accepted."""
    return [*messages, assistant, {"role": "user", "content": feedback}]
