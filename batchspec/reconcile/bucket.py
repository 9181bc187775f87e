"""How often something may be done: a token bucket, as a value."""

from dataclasses import dataclass, replace

BURST = 10.0
"""Seconds of the rate that may be used at once, after a rest."""

_LONGEST = 3600.0


@dataclass(frozen=True, slots=True)
class Bucket:
    """What is left of a rate.

    Attributes:
        per_minute: How many calls in a minute.
        full_at: When it will be full again, unix seconds, if nothing is taken.
    """

    per_minute: int
    full_at: float = 0.0

    @property
    def _each(self) -> float:
        return 60.0 / self.per_minute

    @property
    def _most(self) -> float:
        """Seconds it takes to fill it; one call has room in any."""
        return max(BURST, self._each)

    def take(self, now: float) -> tuple["Bucket", float]:
        """Take one; returns the bucket then, and the seconds to wait before it may be used.

        Args:
            now: Unix seconds; a clock that went back costs an hour at most.
        """
        full_at = min(max(self.full_at, now), now + _LONGEST) + self._each
        return replace(self, full_at=full_at), max(0.0, full_at - now - self._most)
