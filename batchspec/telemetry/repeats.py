"""Warnings that say the same again and again: told once, then counted."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from batchspec.errors import kind_of
from batchspec.ports import Hook
from batchspec.state.events import Event
from batchspec.state.records import BatchRecord, JobProgress

QUIET = 600.0
"""Seconds in which a warning of one kind is told once."""
_MOST = 200
"""Kinds that are remembered; the one that was heard longest ago is forgotten first."""


@dataclass(slots=True)
class _Heard:
    since: float
    times: int = 0
    """Since it was told."""
    message: str = ""
    """The last one that was not told."""


@dataclass(slots=True)
class Repeats:
    """Says which warnings are told; pure but for what it remembers, which is bounded.

    Attributes:
        quiet: Seconds in which a warning of one kind is told once.
    """

    quiet: float = QUIET
    _heard: OrderedDict[str, _Heard] = field(default_factory=OrderedDict[str, _Heard])

    def heard(self, message: str, now: float) -> str | None:
        """Return what is told when a warning comes; None: it was told already, and is counted.

        Args:
            message: The warning.
            now: Seconds of a clock that only grows.
        """
        kind = kind_of(message)
        known = self._heard.get(kind)
        if known is None:
            self._heard[kind] = _Heard(now)
            if len(self._heard) > _MOST:
                self._heard.popitem(last=False)
            return message
        if now - known.since >= self.quiet:
            self._heard[kind] = _Heard(now)
            self._heard.move_to_end(kind)
            return _counted(message, known, now) if known.times else message
        known.times, known.message = known.times + 1, message
        return None

    def due(self, now: float) -> list[str]:
        """Return what is told of those that came again, once their time is over."""
        over = [k for k, known in self._heard.items() if now - known.since >= self.quiet]
        gone = [self._heard.pop(kind) for kind in over]
        return [_counted(known.message, known, now) for known in gone if known.times]


def _counted(message: str, known: _Heard, now: float) -> str:
    times = "once" if known.times == 1 else f"{known.times:,} times"
    return f"{message} (Said {times} more in {now - known.since:.0f} s.)"


@dataclass(slots=True)
class Sparing:
    """Implements `ports.Hook` by passing on what is told, repeated warnings once.

    Attributes:
        hook: Is told.
        now: Returns the time.
        repeats: What was said so far.
    """

    hook: Hook
    now: Callable[[], float]
    repeats: Repeats = field(default_factory=Repeats)
    _telling: threading.Lock = field(default_factory=threading.Lock)
    """Webhooks are heard in a thread of their own."""

    def event(self, event: Event) -> None:
        """Pass on an event."""
        self.hook.event(event)

    def progress(self, jobs: Sequence[JobProgress], batches: Sequence[BatchRecord]) -> None:
        """Pass on how far it is, and tell what was counted long enough."""
        self.hook.progress(jobs, batches)
        with self._telling:
            due = self.repeats.due(self.now())
        for message in due:
            self.hook.warning(message)

    def warning(self, message: str) -> None:
        """Pass on a warning that is news."""
        with self._telling:
            told = self.repeats.heard(message, self.now())
        if told is not None:
            self.hook.warning(told)
