"""Time, and who watches."""

from collections.abc import Sequence
from typing import Protocol

from batchspec.state.events import Event
from batchspec.state.records import (
    BatchRecord,
    JobProgress,
)


class Clock(Protocol):
    """The time and the only way to wait; tests pass one that moves by itself."""

    def now(self) -> float:
        """Return unix seconds."""
        ...

    async def sleep_until(self, when: float) -> None:
        """Return when `now()` is at least `when`."""
        ...


class Hook(Protocol):
    """An observer of the loop; it must not raise and must not block."""

    def event(self, event: Event) -> None: ...
    def progress(self, jobs: Sequence[JobProgress], batches: Sequence[BatchRecord]) -> None: ...
    def warning(self, message: str) -> None: ...
