"""How many tokens a prompt has, before anybody counted them: a rule of thumb, said to be one."""

from math import ceil

BYTES_PER_TOKEN = 4
"""A rule of thumb for English and JSON; exact usage is in the replies."""
ENVELOPE = 90
"""Bytes of a line that are no prompt: custom_id, method, url."""


def largest_line(tokens: int | None) -> int | None:
    """Return the bytes of the largest line, without newline, that has no more prompt tokens."""
    return None if tokens is None else tokens * BYTES_PER_TOKEN + ENVELOPE - 1


def prompt_tokens(requests: int, size: int) -> int:
    """Return about how many prompt tokens some requests have together.

    Args:
        requests: How many.
        size: Bytes of their lines in an input file.
    """
    return ceil(max(0, size - ENVELOPE * requests) / BYTES_PER_TOKEN)
