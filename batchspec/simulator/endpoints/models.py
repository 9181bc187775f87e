"""The models that are known by name, and what follows from a name."""

import re
from functools import lru_cache

MODELS = {
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-4.1-nano": "gpt-4.1-nano-2025-04-14",
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-5": "gpt-5-2025-08-07",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "gpt-5-nano": "gpt-5-nano-2025-08-07",
    "text-embedding-3-large": "text-embedding-3-large",
    "text-embedding-3-small": "text-embedding-3-small",
    "text-embedding-ada-002": "text-embedding-ada-002",
}
"""Models that are answered under their dated name."""

_SIZES = {
    "text-embedding-3-large": (3_072, True),
    "text-embedding-3-small": (1_536, True),
    "text-embedding-ada-002": (1_536, False),
}
_REASONING = re.compile(r"o\d|gpt-([5-9]|\d\d)(?!.*chat)")


def dated_model(model: str) -> str:
    """The name under which the service reports a model."""
    return MODELS.get(model, model)


@lru_cache(maxsize=64)
def is_reasoning(model: str) -> bool:
    """Whether a model thinks before it speaks: `o` models, and `gpt-5` and later."""
    return _REASONING.match(model) is not None


def embedding_size(model: str) -> tuple[int, bool]:
    """How many components a model's vectors have, and whether a request may ask for fewer."""
    return _SIZES.get(model, (1_536, True))
