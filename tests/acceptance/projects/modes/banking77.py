"""The questions of a bank's customers in every output mode, at both endpoints."""

import os
from collections.abc import Iterator
from itertools import islice
from typing import Any

from dying import reach
from intents import Classified, Intent, is_right, questions

from batchspec import Job, NativeOutput, PromptedOutput, ToolOutput, rows


def some() -> Iterator[dict[str, Any]]:
    """Yield as many questions as are wanted."""
    yield from islice(questions(), int(os.environ["ROWS"]))


def sorted_as(intent: Intent, confidence: float) -> Classified:
    """Say what the customer wants.

    Args:
        intent: One of 77.
        confidence: From 0 to 1.
    """
    reach("function")
    return Classified(intent=intent, confidence=min(1, max(0, confidence)))


def classify(provider: str, output: object) -> Job:
    """Return the job in one mode at one endpoint."""
    return Job(
        model=f"{provider}:gpt-5-mini",
        rows=rows.iterable(some, key="id"),
        instructions="You sort questions of a bank's customers by intent.",
        prompt="{text}",
        output=output,
        grade=is_right,
    )


chat_native = classify("openai", NativeOutput(Classified))
chat_tool = classify("openai", ToolOutput(Classified))
chat_prompted = classify("openai", PromptedOutput(Classified))
chat_function = classify("openai", ToolOutput(sorted_as))
responses_native = classify("openai-responses", NativeOutput(Classified))
responses_tool = classify("openai-responses", ToolOutput(Classified))
responses_prompted = classify("openai-responses", PromptedOutput(Classified))
