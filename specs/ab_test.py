"""A/B testing: two ways to ask and two models, over the same letters, with one measure for all.

See `batchspec compare ab_test.replies`.
"""

from collections.abc import Mapping
from typing import Any

from batchspec import Job, matrix, rows

LETTERS = [
    {"id": "l-1", "order": "B-2041", "text": "Order B-2041 came with one glass broken. What now?"},
    {"id": "l-2", "order": "B-1987", "text": "I was charged twice for B-1987. Please look."},
    {
        "id": "l-3",
        "order": "B-2110",
        "text": "Can B-2110 go to my neighbour? I am away till Monday.",
    },
    {"id": "l-4", "order": "B-2003", "text": "B-2003: the blue is not the blue in your picture."},
    {"id": "l-5", "order": "B-1875", "text": "Third time I write about B-1875. Is anybody there?"},
    {"id": "l-6", "order": "B-2098", "text": "Just to say thank you, B-2098 arrived in two days!"},
]
TERSE = "Answer the customer in at most three sentences. Name the order."
WARM = (
    "Answer the customer like a good neighbour: thank, explain, promise one thing. Name the order."
)


def is_good(letter: Mapping[str, Any], reply: str) -> float:
    """Half a point for naming the order, half a point for at most 60 words."""
    return (letter["order"] in reply) / 2 + (len(reply.split()) <= 60) / 2


replies = Job(
    model="openai:gpt-5-mini",
    rows=rows.inline(LETTERS, key="id"),
    prompt="{text}",
    grade=is_good,
    settings={"reasoning_effort": "minimal", "max_completion_tokens": 500},
    variants=matrix(
        instructions={"terse": TERSE, "warm": WARM},
        model={"mini": "openai:gpt-5-mini", "nano": "openai:gpt-5-nano"},
    ),
)
