"""Tokens of texts and requests, estimated: near what the service counts, and cheap.

Measured against the tokenizer of current models, English prose, source code and JSON come out
within 15 % on average; Chinese and Japanese are 10 to 15 % short, and Hindi counts double.
"""

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from batchspec.simulator.answers.port import Answer
from batchspec.simulator.endpoints.models import is_reasoning
from batchspec.simulator.endpoints.port import Usage
from batchspec.simulator.wire import Json, is_array, is_object

_IMAGE = 255
"""A small picture; what is in it cannot be seen here."""
_MOST_TOKENS = 2**53
_EFFORTS = {"none": 0, "minimal": 0, "low": 4, "medium": 12, "high": 40, "xhigh": 80, "max": 120}
"""The most steps of 64 tokens that a model thinks, by effort."""


def text_tokens(text: str) -> int:
    """Estimate the tokens of a text."""
    size = len(text)
    # Quotation marks tell JSON from prose; its pieces are shorter.
    tokens = 1 + 0.24 * size + 0.35 * text.count('"')
    if not text.isascii():
        # Scripts of three bytes a character take about one token for each.
        tokens += 0.45 * max(0, len(text.encode(errors="replace")) - 2 * size)
    return int(tokens)


def prompt_tokens(chat: Mapping[str, Any]) -> int:
    """Estimate the tokens of a request in the words of chat completions, which may be any JSON."""
    messages = chat.get("messages")
    if not is_array(messages):
        return 0
    tokens = 3
    for message in messages:
        tokens += _message_tokens(message)
    for extra in (chat.get("tools"), chat.get("response_format")):
        if extra:
            # What the model sees is shorter than the JSON.
            tokens += len(to_json(extra)) // 5
    return tokens


def answer_tokens(answer: Answer) -> int:
    """Estimate the tokens of what the model says, thoughts not counted."""
    tokens = text_tokens(answer.content) if answer.content else 1
    if answer.refusal:
        tokens += text_tokens(answer.refusal)
    for call in answer.tool_calls:
        tokens += 8 + text_tokens(call.name) + text_tokens(call.arguments)
    return tokens


def reasoning_tokens(chat: Mapping[str, Any], draw: int) -> int:
    """Draw how long a model thinks, in the service's steps of 64 tokens.

    Args:
        chat: The request.
        draw: A number from 0 to 255 that belongs to it; most are far below the longest.
    """
    if not is_reasoning(chat["model"]):
        return 0
    most = _EFFORTS.get(chat.get("reasoning_effort") or "medium", 12)
    return 64 * (most * draw * draw >> 16)


def read_usage(usage: object) -> Usage:
    """The tokens a body reports, in the words of any endpoint; what makes no sense counts 0."""
    if not is_object(usage):
        return Usage()
    read = usage.get("prompt_tokens_details"), usage.get("input_tokens_details")
    written = usage.get("completion_tokens_details"), usage.get("output_tokens_details")
    return Usage(
        _count(usage, "prompt_tokens", "input_tokens"),
        sum(_count(part, "cached_tokens") for part in read),
        _count(usage, "completion_tokens", "output_tokens"),
        sum(_count(part, "reasoning_tokens") for part in written),
    )


def _count(counts: object, *names: str) -> int:
    if not is_object(counts):
        return 0
    found = (counts.get(name) for name in names)
    return next((n for n in found if type(n) is int and 0 <= n <= _MOST_TOKENS), 0)


def _message_tokens(message: object) -> int:
    if not is_object(message):
        return 0
    content = message.get("content")
    tokens = 3
    if isinstance(content, str):
        tokens += text_tokens(content)
    elif is_array(content):
        tokens += sum(_part_tokens(part) for part in content if is_object(part))
    if calls := message.get("tool_calls"):
        tokens += len(to_json(calls)) // 5
    return tokens


def _part_tokens(part: Json) -> int:
    text = part.get("text") or part.get("refusal")
    return text_tokens(text) if isinstance(text, str) else _IMAGE
