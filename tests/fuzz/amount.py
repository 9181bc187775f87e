"""How much is tried: little with a fixed seed among the tests, much by `make fuzz`."""

import os
from time import monotonic

SEED = int(os.environ.get("BATCHSPEC_FUZZ_SEED", "0"))
"""Of everything; the same seed tries the same."""
MINUTES = float(os.environ.get("BATCHSPEC_FUZZ_MINUTES", "0"))
"""How long `make fuzz` is to look; 0: the number that the tests always try."""
FILES = int(os.environ.get("BATCHSPEC_FUZZ_FILES", "10000"))
"""Mutated result files, at least; 1 tries those of one seed alone."""


class Patience:
    """Tells whether another case is to be tried.

    Args:
        share: Of the minutes.
    """

    def __init__(self, share: float) -> None:
        self._until = monotonic() + 60 * MINUTES * share

    def __bool__(self) -> bool:
        return monotonic() < self._until
