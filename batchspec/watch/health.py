"""Whether a watcher is well, from what it does and from what its engine says."""

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
from batchspec.state.watching import ConditionChanged
from batchspec.watch.endpoints import Check

_AWAY = 3
"""Calls to providers that fail in a row, after which they count as away."""


@dataclass(slots=True)
class Health:
    """Implements `ports.Hook` by noting how things are.

    Attributes:
        clock: Tells the time.
        silent: Seconds without a sign of life after which a watcher or its engine counts as
            hanging.
        tick: When the watcher itself ran last, unix seconds.
        beat: When the engine in charge gave a sign of life, or was told to take over; None: there
            is none.
        leads: Whether that engine holds the lease.
        loaded: Whether specs were loaded once.
        draining: Whether it was told to stop.
    """

    clock: Clock
    silent: float = 60.0
    tick: float = field(init=False)
    beat: float | None = None
    leads: bool = False
    loaded: bool = False
    draining: bool = False
    _spec: str = ""
    """Why the specs on disk do not load; empty: they do."""
    _failures: int = 0
    _stalled: str = ""
    """What lets all work rest, or a provider's: often something that a person must mend."""

    def __post_init__(self) -> None:
        self.tick = self.clock.now()

    # --- what the watcher says

    def ticked(self) -> None:
        """Note that the watcher itself runs."""
        self.tick = self.clock.now()

    def in_charge(self) -> None:
        """Note that an engine was told to take over."""
        self.beat, self.leads = self.clock.now(), False

    def alone(self) -> None:
        """Note that the engine in charge is gone."""
        self.beat, self.leads = None, False

    # --- what it means

    def live(self) -> Sequence[Check]:
        """Say what has to be well, or the process is to be started anew.

        Without an engine it is well: another start would not make specs right, and one that died
        is started again anyway.
        """
        checks = [self._recent("watcher", self.tick)]
        return checks if self.beat is None else [*checks, self._recent("engine", self.beat)]

    def _recent(self, name: str, moment: float) -> Check:
        silent = max(0.0, self.clock.now() - moment)
        return Check(name, silent < self.silent, f"the last sign of life was {silent:.0f} s ago")

    def ready(self) -> Sequence[Check]:
        """Say what has to be well for work to be done."""
        engine = [] if self.beat is not None else [Check("engine", ok=False, message="none runs")]
        lease = "" if self.leads else "another process holds it, or no engine has asked for it yet"
        specs = self._spec if self.loaded else f"they were never loaded. {self._spec}".rstrip()
        away = f"{self._failures} calls failed in a row" * bool(self._failures)
        return [
            *self.live(),
            *engine,
            Check("lease", self.leads, lease),
            Check("specs", self.loaded, specs),
            Check("providers", self._failures < _AWAY, away),
            Check("stalled", not self._stalled, self._stalled),
            Check("draining", not self.draining, "it was told to stop" * self.draining),
        ]

    def summary(self) -> str:
        """Say in one line whether work is done, and what is not as it should be."""
        checks = self.ready()
        bad = [check for check in checks if not check.ok]
        told = bad or [check for check in checks if check.name == "specs" and check.message]
        # How long something is silent changes each second.
        silent = {check.name for check in self.live()}
        words = [c.name if c.name in silent else f"{c.name}: {c.message}" for c in told]
        return "; ".join(("Not ready" if bad else "Ready", *words))

    # --- implementing Hook

    def event(self, event: Event) -> None:
        """Note whether specs load and providers answer."""
        match event:
            case CallFailed():
                self._failures += 1
            case BatchObserved() | BatchSubmitted() | BatchCollected():
                self._failures = 0
            case ConditionChanged(type="SpecLoaded"):
                self._spec = event.message if event.status == "False" else ""
            case ConditionChanged(type="Stalled", job=None):
                self._stalled = event.message if event.status == "True" else ""
            case _:
                pass

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
