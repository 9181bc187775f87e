"""Embeddings made up from the words of a text."""

from array import array
from functools import lru_cache
from hashlib import blake2b, shake_128
from math import hypot

_WORDS = 400
"""How many words of a text are looked at."""
_PLACES = 16
"""Components that a word moves, each up or down."""
_STEPS = 1e8
_NOISE = 0.05 / 2**15


def unit_vector(text: str, size: int) -> list[float]:
    """A vector of length 1; texts that share words are near each other.

    Args:
        text: Any text; the same one gets the same vector.
        size: How many components.
    """
    # Every text differs from every other one, if only by a little.
    noise = array("h", shake_128(text.encode(errors="replace")).digest(2 * size))
    values = [component * _NOISE for component in noise]
    for word in text.lower().split()[:_WORDS]:
        for place, sign in _moves(word, size):
            values[place] += sign
    scale = _STEPS / (hypot(*values) or 1.0)
    # Eight decimals, as the service sends; `round` takes six times as long.
    return [int(value * scale) / _STEPS for value in values]


@lru_cache(maxsize=4_096)
def _moves(word: str, size: int) -> list[tuple[int, float]]:
    draws = array("I", blake2b(word.encode(errors="replace"), digest_size=4 * _PLACES).digest())
    return [((draw >> 1) % size, 1.0 if draw & 1 else -1.0) for draw in draws]
