"""How many tokens a prompt has, before anybody counted them: a rule of thumb, said to be one."""

import re
from math import ceil

BYTES_PER_TOKEN = 4
"""A rule of thumb for English and JSON; exact usage is in the replies."""
ENVELOPE = 90
"""Bytes of a line that are no prompt: custom_id, method, url."""

IMAGE_TOKENS = 1_000
"""Of an image, a figure for one of some size; models count 70 to 5,000, by size and detail."""
PAGE_TOKENS = 1_500
"""Of a page of a PDF file, which models get as text and as an image."""
PAGE_BYTES = 100_000
"""A figure: nobody counts the pages of a file here."""
_FILE = re.compile(rb'"data:([\w.+-]+/[\w.+-]+);base64,([A-Za-z0-9+/=]*)"')
_IMAGE = b'"image_url":{'


def data_bytes(messages_json: bytes) -> int:
    """Return how many bytes of messages are no prompt: files count by what they are, not by size.

    Negative where images are named by a URL, which is shorter than what it stands for.

    Args:
        messages_json: Canonical JSON in the neutral form.
    """
    if _IMAGE not in messages_json and b";base64," not in messages_json:
        return 0
    size = documents = 0
    for found in _FILE.finditer(messages_json):
        size += len(found[0])
        if not found[1].startswith(b"image/"):
            documents += PAGE_TOKENS * ceil(len(found[2]) * 3 / 4 / PAGE_BYTES)
    tokens = IMAGE_TOKENS * messages_json.count(_IMAGE) + documents
    return size - BYTES_PER_TOKEN * tokens


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
