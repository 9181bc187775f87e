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
    messages: Sequence[Any],
    assistant: Sequence[JsonObject],
    feedback: str,
    answers: Sequence[JsonObject] = (),
) -> list[Any]:
    """Return the messages of the next turn after an output that was not accepted.

    Args:
        messages: The messages of the turn that was answered.
        assistant: What the model said, unchanged.
        feedback: What the model is told, as a message by itself.
        answers: One for every call, in order; then they are what the model is told.
    """
    told = answers or [{"role": "user", "content": feedback}]
    return [*messages, *assistant, *told]
