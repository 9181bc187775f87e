"""Keys of rows from a file or from stdin, one per line."""

import sys
from pathlib import Path

from batchspec.errors import UsageError


def read_keys(name: str) -> list[str]:
    """Return the keys of a file, `-` for stdin; empty lines are none.

    Raises:
        UsageError: The file cannot be read, is no text, or has no key.
    """
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The keys in {name!r} cannot be read: {error}.") from error
    keys = [line.rstrip("\r") for line in text.split("\n")]
    if not (found := [key for key in keys if key]):
        raise UsageError(f"There is no key in {name!r}: one per line is expected.")
    return found
