"""Whether a watcher is well, from what its engine says."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from batchspec.ports import Clock, Hook
from batchspec.state.events import (
    BatchCollected,
    BatchObserved,
    BatchSubmitted,
    CallFailed,
    Event,
)
from batchspec.state.records import BatchRecord, JobProgress
from batchspec.watch.endpoints import Check

SILENT = 60.0
"""Seconds without a sign of life after which an engine counts as hanging."""
_AWAY = 3
"""Calls to providers that fail in a row, after which they count as away."""


@dataclass(slots=True)
class Health:
    """Implements `ports.Hook` by noting how things are.

    Attributes:
        clock: Tells the time.
        beat: When the engine gave a sign of life, unix seconds; None: it has just begun.
        leads: Whether it holds the lease.
        loaded: Whether specs were loaded once.
    """

    clock: Clock
    beat: float | None = None
    leads: bool = False
    loaded: bool = False
    _failures: int = 0
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock.now()

    def live(self) -> Sequence[Check]:
        """Say what has to be well, or the process is to be started anew."""
        silent = self.clock.now() - (self.beat or self._began)
        return [Check("loop", silent < SILENT, f"the last sign of life was {silent:.0f} s ago")]

    def ready(self) -> Sequence[Check]:
        """Say what has to be well for work to be done."""
        return [
            *self.live(),
            Check("lease", self.leads, "" if self.leads else "somebody else holds it, or nobody"),
            Check("specs", self.loaded, "" if self.loaded else "they were never loaded"),
            Check(
                "providers",
                self._failures < _AWAY,
                f"{self._failures} calls failed in a row" if self._failures else "",
            ),
        ]

    # --- implementing Hook

    def event(self, event: Event) -> None:
        """Note whether providers answer."""
        if isinstance(event, CallFailed):
            self._failures += 1
        elif isinstance(event, BatchObserved | BatchSubmitted | BatchCollected):
            self._failures = 0

    def progress(self, jobs: Sequence[JobProgress], batches: Sequence[BatchRecord]) -> None:
        """Ignore how far it is."""

    def warning(self, message: str) -> None:
        """Ignore."""


@dataclass(frozen=True, slots=True)
class Several:
    """Implements `ports.Hook` by telling several."""

    hooks: Sequence[Hook]

    def event(self, event: Event) -> None:
        """Tell an event."""
        for hook in self.hooks:
            hook.event(event)

    def progress(self, jobs: Sequence[JobProgress], batches: Sequence[BatchRecord]) -> None:
        """Tell how far it is."""
        for hook in self.hooks:
            hook.progress(jobs, batches)

    def warning(self, message: str) -> None:
        """Tell a warning."""
        for hook in self.hooks:
            hook.warning(message)
