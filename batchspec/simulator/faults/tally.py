"""Chance, and the counters that make it come out the same again."""

import sqlite3
from hashlib import blake2b

_ADD = """
INSERT INTO fault_counts (rule, key, seen, hit) VALUES (?, ?, ?, ?)
ON CONFLICT (rule, key) DO UPDATE SET seen = seen + excluded.seen, hit = hit + excluded.hit
"""


def chance(seed: int, rule: str, key: str, seen: int) -> float:
    """Return a number in [0, 1) that follows from its arguments alone."""
    text = f"{seed}\0{rule}\0{key}\0{seen}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()[:6]) / 2**48


class Tally:
    """What was drawn and is not stored yet.

    It is written in the transaction of what the draws cause, so that a server that is killed
    between the two draws the same again.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], tuple[int, int]] = {}

    def note(self, rule: str, key: str, *, hit: bool) -> None:
        """Count one occasion."""
        seen, hits = self._counts.get((rule, key), (0, 0))
        self._counts[rule, key] = (seen + 1, hits + hit)

    def write(self, connection: sqlite3.Connection) -> None:
        """Add the counts to those on disk."""
        rows = [(*names, *counts) for names, counts in self._counts.items()]
        connection.executemany(_ADD, rows)

    def __bool__(self) -> bool:
        return bool(self._counts)
