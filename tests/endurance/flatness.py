"""What is counted at the end of each day of a life, and how far it may grow.

The bounds are some twice of what lives of thirty days showed. Resident memory holds the provider
and what the test itself remembers; what an engine leaves behind is counted in objects.
"""

import gc
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_BESIDE = ("batchspec.simulator", "batchspec.testing")
_CACHED = {"Member"}
"""Of these a bounded cache holds one for each job that ever was."""
KEPT = 2 + 1 + 2
"""Days a file is at the provider at most: what `keep` says, the next tidying, and a provider that
is away or refuses meanwhile."""


@dataclass(frozen=True, slots=True)
class Day:
    """What was counted at the end of a day."""

    handles: int
    memory: int
    """Bytes that are resident."""
    events: int
    warnings: int
    journal: int
    """Rows of the day."""
    final: int
    artifacts: int
    """Bytes of bodies on disk."""
    state: int
    """Bytes of the state file."""
    files_there: int
    old: int
    """Files that are at the provider for longer than `KEPT` days."""
    pending: int
    alive: int
    """Objects of the product, the provider's left out, in a moment in which no engine runs."""
    troubled: bool
    """Whether the provider was away, or refused the key, for long."""


def handles() -> int:
    """Count open files of this process."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def memory() -> int:
    """Return how many bytes of this process are resident."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def alive() -> int:
    """Count objects of the product that are left where no engine runs."""
    kinds = (type(one) for one in gc.get_objects())
    return sum(
        kind.__module__.startswith(("batchspec.", "sqlite3"))
        and not kind.__module__.startswith(_BESIDE)
        and kind.__name__ not in _CACHED
        for kind in kinds
        if isinstance(kind.__module__, str)
    )


def check_flat(days: Sequence[Day]) -> None:
    """See that nothing grows but what was answered and what was done."""
    if len(days) < 3:
        return
    last, counted = days[-1], [day.alive for day in days]
    assert last.final >= 5 * len(days), "it hardly lived"
    assert max(day.handles for day in days) <= days[0].handles + 1, days
    assert max(counted) <= min(counted) + 10, counted
    late = [day.memory for day in days[10:]]
    assert not late or max(late) - late[0] <= 24_000_000, late
    for day in days:
        # Where nothing can be reached, every change of data begins to ask anew.
        assert day.events < 4_000, day
        assert day.warnings < (1_800 if day.troubled else 600), day
        assert day.journal < 5_000, day
    assert sum(day.events for day in days) < 1_000 * len(days), days
    assert sum(day.warnings for day in days) < 200 * len(days), days
    assert max(day.pending for day in days) <= 8, days
    assert max(day.files_there for day in days) < 300, days
    assert max(day.old for day in days) <= 3, days
    rows = sum(day.journal for day in days)
    assert last.state <= 1_200_000 + 600 * rows, days
    assert last.artifacts <= 100_000 + 1_000 * last.final, days
