"""Three ways to watch an apply: live on a terminal, lines elsewhere, JSON events for programs.

All are hooks of the loop: they never raise and never block. A reader that goes away (a closed
pipe, a vanished terminal) silences the view; the work goes on.
"""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict
from re import sub
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from pydantic_core import to_json
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from batchspec.cli.views.documents import batch_document, progress_document
from batchspec.cli.views.failures import error_document
from batchspec.cli.views.sentences import Narrator, named, standing, waiting
from batchspec.cli.views.streams import (
    FORMAT_VERSION,
    is_terminal,
    print_prose,
    stderr,
    write_bytes,
)
from batchspec.cli.views.words import clean, columns, duration, money, timestamp
from batchspec.errors import BatchspecError
from batchspec.ports import Log
from batchspec.state.events import (
    BatchDoubled,
    BatchEvent,
    BatchImported,
    BatchIntended,
    BatchObserved,
    CallFailed,
    Event,
)
from batchspec.state.records import BatchRecord, JobProgress
from batchspec.telemetry.repeats import Repeats

PLAIN_INTERVAL = 5.0
"""Seconds between two lines about the same job where nothing can be redrawn."""
COUNTS_INTERVAL = 30.0
"""Seconds between two lines about what open batches have answered."""
JSON_INTERVAL = 2.0
_BAR = 24


class Watching(Log, AbstractContextManager["Watching"], Protocol):
    """A hook that is shown between `with` and its end."""


def watching(events: "JsonEvents | None") -> Watching:
    """Return the view that fits where output goes: the given one, or one for people."""
    if events:
        return events
    return LiveProgress() if is_terminal(sys.stderr) else PlainProgress()


def logging(form: Literal["human", "json"] | None) -> Watching:
    """Return the view of a service; None: live on a terminal, elsewhere lines with the time."""
    if form == "json":
        return JsonEvents()
    if form is None and is_terminal(sys.stderr):
        return LiveProgress()
    return PlainProgress(stamp=time.time)


class LiveProgress:
    """One line per job and per open batch, redrawn in place on stderr."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
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

    def event(self, event: Event) -> None:
        sentence, news = self._narrator.tell(event)
        # The lines of the batches say already what was observed.
        if news and not isinstance(event, BatchObserved):
            self._last = sentence

    def within(self, *, reconcile: str, serial: int, plan: str | None) -> None:
        """Ignore; who looks on does not search."""

    def progress(self, jobs: Sequence[JobProgress], batches: Sequence[BatchRecord]) -> None:
        for batch in batches:
            self._narrator.known(batch)
        self._jobs, self._batches = jobs, batches

    def warning(self, message: str) -> None:
        print_prose(self._console, [Text.assemble(("Warning: ", "yellow"), clean(message))])

    def _draw(self) -> RenderableType:
        lines = drawn(self._jobs, self._batches, self._clock())
        if self._last:
            lines.append(Text(f"  {self._last}", "dim"))
        for line in lines:
            line.truncate(self._console.width - 1, overflow="ellipsis")
        return Group(*lines)


def drawn(jobs: Sequence[JobProgress], batches: Sequence[BatchRecord], now: float) -> list[Text]:
    """Return the lines of the live view, what is not finished first."""
    shown = sorted((job for job in jobs if job.items), key=lambda job: job.final >= job.items)
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
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        stamp: Callable[[], float] | None = None,
    ) -> None:
        self._clock = clock
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
        if news and self._stamp is not None and isinstance(event, CallFailed):
            # Many batches may wait for a provider that is away for days.
            sentence = self._repeats.heard(sentence, self._clock()) or ""
        if news and sentence:
            self._print(Text(sentence))

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

    def warning(self, message: str) -> None:
        self._print(Text(f"Warning: {clean(message)}"))

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


def tell_error(events: "JsonEvents", error: BatchspecError) -> None:
    """Emit an error: each diagnostic, then the error itself with its exit code."""
    document = error_document(error)
    for diagnostic in document.pop("diagnostics"):
        level: Level = "warn" if diagnostic["severity"] == "warning" else "error"
        events.emit("diagnostic", diagnostic["summary"], level=level, diagnostic=diagnostic)
    events.emit("error", document["message"], level="error", error=document)


Level = Literal["info", "warn", "error"]


class JsonEvents:
    """One JSON object per line on stdout.

    Every line has `@level`, `@message` (a sentence for people), `@timestamp` and `type`; the first
    has `format_version` too. Where they apply there are `reconcile` (the round), `serial` (of the
    state when that began), `plan`, `job` and `batch`. Types are `version`, `planned_change`,
    `change_summary`, the events of the state in snake case, `progress`, `log`, `diagnostic`,
    `error` and `apply_summary`. Types and fields may be added.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._narrator = Narrator()
        self._silent = False
        self._within: dict[str, Any] = {}
        self._last: tuple[Sequence[JobProgress], Sequence[BatchRecord]] = (), ()
        self._next = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._progress()

    def event(self, event: Event) -> None:
        kind = sub(r"(?<!^)([A-Z])", r"_\1", type(event).__name__).lower()
        sentence, _ = self._narrator.tell(event)
        self.emit(kind, sentence, **_about(event), event=asdict(event))

    def within(self, *, reconcile: str, serial: int, plan: str | None) -> None:
        self._within = {"reconcile": reconcile, "serial": serial}
        if plan is not None:
            self._within["plan"] = plan

    def progress(self, jobs: Sequence[JobProgress], batches: Sequence[BatchRecord]) -> None:
        for batch in batches:
            self._narrator.known(batch)
        self._last = jobs, batches
        if jobs and self._clock() >= self._next:
            self._progress()

    def warning(self, message: str) -> None:
        self.emit("log", message, level="warn")

    def _progress(self) -> None:
        jobs, batches = self._last
        if jobs:
            final, items = sum(j.final for j in jobs), sum(j.items for j in jobs)
            self.emit(
                "progress",
                f"{final:,} of {items:,} items final.",
                jobs=[progress_document(job) for job in jobs],
                batches=[batch_document(b) for b in batches if b.phase != "collected"],
            )
        self._last, self._next = ((), ()), self._clock() + JSON_INTERVAL

    def emit(self, kind: str, message: str, *, level: Level = "info", **fields: Any) -> None:
        """Print one event."""
        head = {
            "@level": level,
            "@message": message,
            "@timestamp": timestamp(self._clock()),
            "type": kind,
        }
        if kind == "version":
            head["format_version"] = FORMAT_VERSION
        if self._silent:
            return
        try:
            write_bytes(to_json(head | self._within | fields, inf_nan_mode="null") + b"\n")
        except OSError:
            self._silent = True


def _about(event: Event) -> dict[str, Any]:
    """Return which job, batch and plan an event is about."""
    names = {"job": "job", "plan": "plan"}
    if isinstance(event, BatchEvent | BatchIntended | BatchImported | BatchDoubled):
        names["batch"] = "id"
    found = {name: getattr(event, field, None) for name, field in names.items()}
    return {name: value for name, value in found.items() if value is not None}
