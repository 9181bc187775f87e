"""The view for programs: one JSON event per line."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from re import sub
from types import TracebackType
from typing import Any, Literal, Self

from pydantic_core import to_json

from batchspec.cli.views.documents import batch_document, progress_document
from batchspec.cli.views.failures import error_document
from batchspec.cli.views.sentences import Narrator
from batchspec.cli.views.streams import FORMAT_VERSION, write_bytes
from batchspec.cli.views.words import pasted, timestamp
from batchspec.errors import BatchspecError
from batchspec.state.events import (
    BatchDoubled,
    BatchEvent,
    BatchImported,
    BatchIntended,
    Event,
)
from batchspec.state.records import BatchRecord, JobProgress

JSON_INTERVAL = 2.0


def tell_version(events: "JsonEvents", version: str) -> None:
    """Emit the event that stands before all others."""
    events.emit("version", f"batchspec {version}", batchspec=version)


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

    def __init__(self, clock: Callable[[], float] = time.time, *, flags: str = "") -> None:
        self._clock = clock
        self._flags = flags
        self._narrator = Narrator()
        self._silent = False
        self._within: dict[str, Any] = {}
        self._last: tuple[Sequence[JobProgress], Sequence[BatchRecord]] = (), ()
        self._next = 0.0
        self._told: object = None

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

    def info(self, message: str) -> None:
        self.emit("log", message)

    def rests(self) -> None:
        """Ignore; that nothing is to be done is no event."""

    def warning(self, message: str) -> None:
        self.emit("log", message, level="warn")

    def _progress(self) -> None:
        jobs, batches = self._last
        looked = [(b.id, b.phase, b.status, b.counts, b.cancel_at, b.note) for b in batches]
        standing = (tuple(jobs), looked)
        # Nothing new is not told: a tool may run for hours, and a batch for a day.
        if jobs and standing != self._told:
            self._told = standing
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
            "@message": pasted(message, self._flags),
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
