"""Guessing what a person meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a sentence that names the likeliest known word, or else all of them."""
    names = sorted(known)
    close = get_close_matches(word, names, n=1, cutoff=0.6)
    if not close and len(word) > 2:
        close = [name for name in names if name.startswith(word)][:1]
    if not close:
        lowered = {name.lower(): name for name in names}
        close = [lowered[match] for match in get_close_matches(word.lower(), lowered, n=1)]
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known: {', '.join(names)}." if names else "There are none."
