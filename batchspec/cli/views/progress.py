"""Three ways to watch an apply: live on a terminal, lines elsewhere, JSON events for programs.

All are hooks of the loop: they never raise and never block. A reader that goes away (a closed
pipe, a vanished terminal) silences the view; the work goes on.
"""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Literal, Protocol, Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from batchspec.cli.views.events import JsonEvents
from batchspec.cli.views.failures import clean_lines
from batchspec.cli.views.sentences import Narrator, named, standing, waiting
from batchspec.cli.views.streams import (
    is_terminal,
    print_prose,
    stderr,
)
from batchspec.cli.views.words import clean, columns, duration, money, pasted, timestamp
from batchspec.ports import Log
from batchspec.state.events import (
    BatchObserved,
    CallFailed,
    Event,
)
from batchspec.state.records import BatchRecord, JobProgress
from batchspec.state.watching import ConditionChanged, PlanGranted
from batchspec.telemetry.repeats import Repeats

PLAIN_INTERVAL = 5.0
"""Seconds between two lines about the same job where nothing can be redrawn."""
COUNTS_INTERVAL = 30.0
"""Seconds between two lines about what open batches have answered."""
_BAR = 24
_BELOW = 6
"""Lines of a terminal that are left to what is below jobs and batches, and above them."""


class Watching(Log, AbstractContextManager["Watching"], Protocol):
    """A hook that is shown between `with` and its end."""


def watching(events: JsonEvents | None, flags: str = "") -> Watching:
    """Return the view that fits where output goes: the given one, or one for people.

    Args:
        events: The view for programs, if that is wanted.
        flags: The shared options of this run, for the commands that messages name.
    """
    if events:
        return events
    return LiveProgress(flags=flags) if is_terminal(sys.stderr) else PlainProgress(flags=flags)


def logging(form: Literal["human", "json"] | None, flags: str = "") -> Watching:
    """Return the view of a service; None: live on a terminal, elsewhere lines with the time."""
    if form == "json":
        return JsonEvents(flags=flags)
    if form is None and is_terminal(sys.stderr):
        return LiveProgress(flags=flags, serves=True)
    return PlainProgress(stamp=time.time, flags=flags)


class LiveProgress:
    """One line per job and per open batch, redrawn in place on stderr.

    Args:
        clock: Unix seconds.
        flags: The shared options of this run, for the commands that messages name.
        serves: Whether it goes on until somebody stops it: then it says since when, and whether
            there is something to do.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        *,
        flags: str = "",
        serves: bool = False,
    ) -> None:
        self._clock = clock
        self._flags = flags
        self._began = clock() if serves else None
        self._rests = False
        self._jobs: Sequence[JobProgress] = ()
        self._batches: Sequence[BatchRecord] = ()
        self._narrator = Narrator()
        self._last = ""
        self._console = stderr()
        self._live = Live(
            get_renderable=self._draw,
            console=self._console,
            refresh_per_second=4,
            transient=True,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_error: object) -> None:
        # The terminal may be gone; what was done is done, and is told elsewhere.
        with suppress(OSError):
            self._live.stop()
            if self._began is not None and self._jobs:
                print_prose(self._console, drawn(self._jobs, (), self._clock()))

    def event(self, event: Event) -> None:
        sentence, news = self._narrator.tell(event)
        if not news:
            return
        if isinstance(event, ConditionChanged | PlanGranted):
            # It may ask for something, and is true until the opposite is told.
            self._say(sentence)
        elif not isinstance(event, BatchObserved):
            # The lines of the batches say already what was observed.
            self._last = sentence

    def within(self, *, reconcile: str, serial: int, plan: str | None) -> None:
        """Show that something is done; who looks on does not search for the rest."""
        del reconcile, serial, plan
        self._rests = False

    def rests(self) -> None:
        self._rests = True

    def progress(self, jobs: Sequence[JobProgress], batches: Sequence[BatchRecord]) -> None:
        for batch in batches:
            self._narrator.known(batch)
        # Where they were not counted yet, those counted before are shown.
        self._jobs, self._batches = jobs or self._jobs, batches

    def info(self, message: str) -> None:
        self._say(message)

    def warning(self, message: str) -> None:
        self._say(message, ("Warning: ", "yellow"))

    def _say(self, message: str, *label: tuple[str, str]) -> None:
        first, *rest = clean_lines(pasted(message, self._flags))
        with suppress(OSError):
            print_prose(self._console, [Text.assemble(*label, first), *map(Text, rest)])

    def _draw(self) -> RenderableType:
        now = self._clock()
        lines = drawn(self._jobs, self._batches, now) if self._jobs or not self._rests else []
        # What does not fit would push what is below out of sight.
        room = max(self._console.height - _BELOW, 1)
        if len(lines) > room + 1:
            lines = [*lines[:room], Text(f"… and {len(lines) - room:,} more lines", "dim")]
        if self._last:
            lines.append(Text(f"  {self._last}", "dim"))
        if self._began is not None:
            what = "nothing to do" if self._rests else "at work"
            since = duration(now - self._began)
            lines.append(Text(f"Watching since {since}: {what}. Ctrl-C stops it.", "dim"))
        for line in lines:
            line.truncate(self._console.width - 1, overflow="ellipsis")
        return Group(*lines)


def drawn(jobs: Sequence[JobProgress], batches: Sequence[BatchRecord], now: float) -> list[Text]:
    """Return the lines of the live view, what is not finished first, then what failed."""
    counted = (job for job in jobs if job.items)
    shown = sorted(counted, key=lambda job: (job.final >= job.items, not job.failed))
    rows = [_job_row(job, _answered(job, batches)) for job in shown]
    open_batches = [b for b in batches if b.phase not in {"collected", "rejected"}]
    return [
        *(columns(rows, right=(2,)) if rows else [Text("Starting …", "dim")]),
        *(columns([batch_row(b, now) for b in open_batches]) if open_batches else []),
    ]


def _answered(job: JobProgress, batches: Sequence[BatchRecord]) -> int:
    """Return about how many items the provider has answered in batches that are still open."""
    mine = (b for b in batches if b.phase == "submitted" and b.members and job.address in b.jobs)
    return sum(b.counts.completed * b.jobs[job.address] // b.lines for b in mine)


def _job_row(job: JobProgress, answered: int) -> tuple[Text | str, ...]:
    final = _BAR * job.final // max(job.items, 1)
    soon = min(_BAR * answered // max(job.items, 1), _BAR - final)
    rest = _BAR - final - soon
    bar = Text.assemble(("━" * final, "green"), ("━" * soon, "cyan"), ("━" * rest, "bright_black"))
    failed = Text(f"{job.failed:,} failed", "red") if job.failed else Text()
    total = f"{job.final:,}/{job.items:,}"
    return clean(job.address), bar, total, failed, money(job.cost), waiting(job)


def batch_row(batch: BatchRecord, now: float) -> tuple[Text | str, ...]:
    """Return one open batch: its name, status, counts, and when it is looked at again."""
    wait = f"next look in {duration(batch.next_at - now)}" if batch.next_at > now else ""
    note = Text(clean(batch.note), "yellow") if batch.note else Text(wait, "dim")
    counts = f"{batch.counts.completed:,}/{batch.lines:,}"
    return f"  {named(batch)}", batch.status or batch.phase, counts, note


class PlainProgress:
    """Lines on stderr, only when something changed, and not too many of them.

    Args:
        clock: Seconds of a clock that only grows.
        stamp: Returns the time that each line begins with, and the round it belongs to; None: lines
            have neither.
        flags: The shared options of this run, for the commands that messages name.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        stamp: Callable[[], float] | None = None,
        *,
        flags: str = "",
    ) -> None:
        self._clock = clock
        self._flags = flags
        self._stamp = stamp
        self._round = ""
        self._repeats = Repeats()
        self._narrator = Narrator()
        self._told: dict[str, str] = {}
        self._now: dict[str, str] = {}
        self._next = 0.0
        self._answered: int = 0
        self._next_counts = clock() + COUNTS_INTERVAL
        self._silent = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._tell()

    def event(self, event: Event) -> None:
        sentence, news = self._narrator.tell(event)
        again = isinstance(event, CallFailed) or getattr(event, "type", "") == "Stalled"
        if news and self._stamp is not None and again:
            # Many batches may wait for a provider that is away for days, and so may a round.
            sentence = self._repeats.heard(sentence, self._clock()) or ""
        if news and sentence:
            self._say(sentence)

    def within(self, *, reconcile: str, serial: int, plan: str | None) -> None:
        del serial, plan
        self._round = reconcile[-8:]

    def progress(self, jobs: Sequence[JobProgress], batches: Sequence[BatchRecord]) -> None:
        for batch in batches:
            self._narrator.known(batch)
        self._now = {job.address: standing(job) for job in jobs if job.final}
        if jobs and self._clock() >= self._next:
            self._tell()
        if self._clock() >= self._next_counts:
            self._count(batches)

    def _count(self, batches: Sequence[BatchRecord]) -> None:
        """Tell how far open batches are, as long as that moves: one may take a day."""
        running = [batch for batch in batches if batch.phase == "submitted"]
        answered = sum(batch.counts.completed + batch.counts.failed for batch in running)
        if answered not in {0, self._answered}:
            members = sum(batch.lines for batch in running)
            self._print(Text(f"Open batches: {answered:,} of {members:,} requests answered."))
        self._answered, self._next_counts = answered, self._clock() + COUNTS_INTERVAL

    def info(self, message: str) -> None:
        self._say(message)

    def rests(self) -> None:
        """Ignore; that nothing is to be done is no news."""

    def warning(self, message: str) -> None:
        self._say(f"Warning: {message}")

    def _say(self, message: str) -> None:
        lines = clean_lines(pasted(message, self._flags))
        self._print(Text(" ".join(line.strip() for line in lines)))

    def _tell(self) -> None:
        news = {job: words for job, words in self._now.items() if self._told.get(job) != words}
        for job, words in news.items():
            self._print(Text(f"{clean(job)}: {words}."))
        if news:
            self._told |= news
            self._next = self._clock() + PLAIN_INTERVAL

    def _print(self, line: Text) -> None:
        if self._silent:
            return
        if self._stamp is not None:
            line = Text(f"{timestamp(self._stamp())} {self._round or '-':8} ") + line
        try:
            print_prose(stderr(), [line])
        except OSError:
            self._silent = True
