"""Metrics in the form Prometheus reads; needs the extra `metrics`.

Names end in their unit, as Prometheus wants it. Labels grow with jobs, providers and tools, never
with rows. Closed sets of labels are there from the beginning, with zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from batchspec.errors import UsageError
from batchspec.messages import Outcome
from batchspec.state.events import (
    BatchCollected,
    BatchIntended,
    BatchRejected,
    BatchSubmitted,
    CallFailed,
    Event,
    ToolsRun,
)
from batchspec.state.records import BatchRecord, ConversationPhase, JobProgress, RemoteStatus
from batchspec.state.watching import ConditionChanged, PlanGranted

_OPEN = ("intended", "submitted", "ended")
_ROUND = (0.1, 1, 10, 60, 600, 3_600, 21_600, 86_400, 172_800)
_TOOL = (0.001, 0.01, 0.1, 1, 10, 60, 600)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: what it counts, and the labels it is split by.

    Attributes:
        kind: Of Prometheus.
        name: Without the prefix `batchspec_`, and the `_total` of counters.
        meaning: One sentence.
        labels: Their names.
        known: Values of the first label that are there from the beginning.
        buckets: Upper bounds of a histogram.
    """

    kind: Literal["gauge", "counter", "histogram"]
    name: str
    meaning: str
    labels: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def exposed(self) -> str:
        """The name under which it is read."""
        return f"batchspec_{self.name}{'_total' if self.kind == 'counter' else ''}"


METRICS = (
    Metric(
        "counter",
        "reconcile",
        "Rounds that ended.",
        ("result",),
        ("done", "again", "waits", "failed"),
    ),
    Metric(
        "histogram",
        "reconcile_seconds",
        "How long rounds took; one that waits for batches takes as long as they do.",
        buckets=_ROUND,
    ),
    Metric(
        "counter",
        "engines",
        "Interpreters with specs that were started, ended, or died.",
        ("what",),
        ("started", "ended", "died"),
    ),
    Metric("gauge", "leads", "1: the lease is held."),
    Metric("gauge", "last_beat_timestamp_seconds", "When the engine ran last; 0: there is none."),
    Metric("gauge", "items", "Items by what became of them, or `open`.", ("job", "state")),
    Metric(
        "gauge",
        "items_under_way",
        "Items that are not final: `pending` wait to be sent, `batched`, `tools`.",
        ("job", "phase"),
    ),
    Metric("gauge", "items_waiting", "Items whose next request waits to be sent, of all jobs."),
    Metric("gauge", "cost_usd", "US dollars paid for answers; absent without a price.", ("job",)),
    Metric("gauge", "tokens", "Tokens of answers.", ("job", "kind")),
    Metric("gauge", "open_batches", "Open batches by phase.", ("phase",), _OPEN),
    Metric(
        "gauge",
        "batches",
        "Open batches by what the provider said of them.",
        ("status",),
        get_args(RemoteStatus),
    ),
    Metric("gauge", "oldest_batch_age_seconds", "Since the oldest open batch was submitted."),
    Metric(
        "gauge",
        "oldest_batch_submitted_timestamp_seconds",
        "When the oldest open batch was submitted; 0: there is none.",
    ),
    Metric("counter", "batches_submitted", "Batches that were submitted, or found again."),
    Metric("counter", "batches_collected", "Batches that were read."),
    Metric("counter", "batches_refused", "Batches that a provider refused as a whole."),
    Metric("counter", "requests", "Requests that were put into batches."),
    Metric("counter", "provider_call_failures", "Calls to providers that failed."),
    Metric("counter", "tool_calls", "Calls of tools that were run.", ("job",)),
    Metric(
        "histogram",
        "tool_seconds",
        "How long calls of tools took.",
        ("tool", "result"),
        buckets=_TOOL,
    ),
    Metric("counter", "events", "Events that were recorded.", ("kind",)),
    Metric("counter", "warnings", "Warnings, those that were not told again too."),
    Metric("gauge", "condition", "1: it is so, 0: it is not, -1: unknown.", ("job", "type")),
    Metric("counter", "plans_granted", "Plans that were agreed to.", ("by",), ("watch", "person")),
    Metric("counter", "webhooks", "Webhooks by what became of them.", ("provider", "result")),
)
"""Everything that is served; the table in docs/watch.md is made of it."""

_STATES = ("open", *get_args(Outcome))
_PHASES: tuple[ConversationPhase, ...] = ("pending", "batched", "tools")


class Metrics:
    """Implements `ports.Hook` by counting.

    Args:
        webhooks: Providers whose webhooks are heard.

    Raises:
        UsageError: prometheus-client is not installed.
    """

    def __init__(self, webhooks: Sequence[str] = ()) -> None:
        try:
            from prometheus_client import CollectorRegistry  # noqa: PLC0415 - an extra
        except ImportError:
            raise UsageError(
                "Metrics need prometheus-client: `pip install 'batchspec[metrics]'`."
            ) from None
        self.registry = CollectorRegistry()
        self._of: Mapping[str, Any] = {one.name: self._made(one) for one in METRICS}
        for provider in webhooks:
            for result in ("accepted", "ignored", "refused"):
                self._of["webhooks"].labels(provider, result)
        self._oldest: float | None = None

    def _made(self, one: Metric) -> Any:
        import prometheus_client  # noqa: PLC0415 - an extra

        given: dict[str, Any] = {"namespace": "batchspec", "registry": self.registry}
        if one.buckets:
            given["buckets"] = one.buckets
        kind = getattr(prometheus_client, one.kind.capitalize())
        made = kind(one.name, one.meaning, one.labels, **given)
        for value in one.known:
            made.labels(value)
        return made

    def render(self, now: float) -> tuple[bytes, str]:
        """Return the metrics as text, and its media type.

        Args:
            now: Unix seconds.
        """
        from prometheus_client import generate_latest  # noqa: PLC0415 - an extra
        from prometheus_client.exposition import CONTENT_TYPE_LATEST  # noqa: PLC0415

        age = 0.0 if self._oldest is None else max(0.0, now - self._oldest)
        self._of["oldest_batch_age_seconds"].set(age)
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    # --- what is no event

    def standing(self, *, beat: float | None, leads: bool) -> None:
        """Take how the engine is: when it ran last, unix seconds, and whether it leads."""
        self._of["last_beat_timestamp_seconds"].set(beat or 0.0)
        self._of["leads"].set(leads)

    def reconciled(self, result: str, seconds: float) -> None:
        """Count a round that ended."""
        self._of["reconcile"].labels(result).inc()
        self._of["reconcile_seconds"].observe(seconds)

    def tools(self, calls: Sequence[tuple[str, bool, float]]) -> None:
        """Take how long calls of tools took: name, whether it cost the item, seconds."""
        for name, failed, seconds in calls:
            self._of["tool_seconds"].labels(name, "failed" if failed else "done").observe(seconds)

    def engine(self, what: str) -> None:
        """Count an engine that was started, ended or died."""
        self._of["engines"].labels(what).inc()

    def webhook(self, provider: str, result: str) -> None:
        """Count a webhook."""
        self._of["webhooks"].labels(provider, result).inc()

    # --- implementing Hook

    def event(self, event: Event) -> None:
        """Count an event."""
        self._of["events"].labels(type(event).__name__).inc()
        match event:
            case ToolsRun():
                self._of["tool_calls"].labels(event.job).inc(event.calls)
            case CallFailed():
                self._of["provider_call_failures"].inc()
            case BatchIntended():
                self._of["requests"].inc(event.members)
            case BatchSubmitted():
                self._of["batches_submitted"].inc()
            case BatchRejected():
                self._of["batches_refused"].inc()
            case BatchCollected():
                self._of["batches_collected"].inc()
            case ConditionChanged():
                value = {"True": 1.0, "False": 0.0}.get(event.status, -1.0)
                self._of["condition"].labels(event.job or "", event.type).set(value)
            case PlanGranted():
                self._of["plans_granted"].labels(event.by).inc()
            case _:
                pass

    def progress(self, jobs: Sequence[JobProgress], batches: Sequence[BatchRecord]) -> None:
        """Take how far jobs and batches are."""
        for job in jobs:
            self._job(job)
        if jobs:
            waiting = sum(job.phases.get("pending", 0) for job in jobs)
            self._of["items_waiting"].set(waiting)
        self._count("open_batches", _OPEN, [b.phase for b in batches])
        statuses = [b.status for b in batches if b.status and b.phase in _OPEN]
        self._count("batches", get_args(RemoteStatus), statuses)
        submitted = [b.submitted_at for b in batches if b.submitted_at is not None]
        self._oldest = min(submitted, default=None)
        self._of["oldest_batch_submitted_timestamp_seconds"].set(self._oldest or 0.0)

    def warning(self, message: str) -> None:
        """Count a warning."""
        del message
        self._of["warnings"].inc()

    def _count(self, name: str, known: Sequence[str], found: Sequence[str]) -> None:
        for value in {*known, *found}:
            self._of[name].labels(value).set(found.count(value))

    def _job(self, job: JobProgress) -> None:
        items = {**dict.fromkeys(_STATES, 0), **job.outcomes, "open": job.items - job.final}
        for state, number in items.items():
            self._of["items"].labels(job.address, state).set(number)
        for phase in _PHASES:
            self._of["items_under_way"].labels(job.address, phase).set(job.phases.get(phase, 0))
        if job.cost is not None:
            self._of["cost_usd"].labels(job.address).set(float(job.cost))
        self._of["tokens"].labels(job.address, "input").set(job.usage.input_tokens)
        self._of["tokens"].labels(job.address, "output").set(job.usage.output_tokens)
