"""The next request of a conversation: what was said so far, the reply, and what follows it."""

from collections.abc import Sequence
from typing import Any

from batchspec.messages import JsonObject


def after_tools(
    messages: Sequence[Any], assistant: Sequence[JsonObject], answers: Sequence[JsonObject]
) -> list[Any]:
    """Return the messages of the next turn after tool calls.

    Args:
        messages: The messages of the turn that was answered.
        assistant: What the model said, its tool calls among it, unchanged.
        answers: One for every call, in order, as the endpoint wants them.
    """
    return [*messages, *assistant, *answers]


def after_feedback(
    messages: Sequence[Any], assistant: Sequence[JsonObject], feedback: str
) -> list[Any]:
    """Return the messages of the next turn after an output that was not accepted."""
    return [*messages, *assistant, {"role": "user", "content": feedback}]
