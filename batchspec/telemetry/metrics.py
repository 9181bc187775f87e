"""Metrics in the form Prometheus reads; needs the extra `metrics`.

Names end in their unit, as Prometheus wants it. Labels grow with jobs, providers and tools, never
with rows.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from batchspec.errors import UsageError
from batchspec.state.events import (
    BatchCollected,
    BatchSubmitted,
    CallFailed,
    Event,
    ToolsRun,
)
from batchspec.state.records import BatchRecord, JobProgress
from batchspec.state.watching import ConditionChanged, PlanGranted

if TYPE_CHECKING:
    pass


class Metrics:
    """Implements `ports.Hook` by counting.

    Raises:
        UsageError: prometheus-client is not installed.
    """

    def __init__(self) -> None:
        try:
            from prometheus_client import (  # noqa: PLC0415 - an extra
                CollectorRegistry,
                Counter,
                Gauge,
            )
        except ImportError:
            raise UsageError(
                "Metrics need prometheus-client: `pip install 'batchspec[metrics]'`."
            ) from None
        self.registry: CollectorRegistry = CollectorRegistry()

        def gauge(name: str, meaning: str, *labels: str) -> Gauge:
            return Gauge(name, meaning, labels, "batchspec", registry=self.registry)

        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(name, meaning, labels, "batchspec", registry=self.registry)

        self._items = gauge("items", "Items by what became of them.", "job", "state")
        self._cost = gauge("cost_usd", "US dollars paid for answers.", "job")
        self._tokens = gauge("tokens", "Tokens of answers.", "job", "kind")
        self._batches = gauge("open_batches", "Open batches.", "phase")
        self._oldest = gauge(
            "oldest_batch_submitted_timestamp_seconds", "When the oldest was submitted; 0: none."
        )
        self._events = counter("events", "Events that were recorded.", "kind")
        self._warnings = counter("warnings", "Warnings that were told.")
        self._calls = counter("tool_calls", "Calls of tools that were run.", "job")
        self._failures = counter("provider_call_failures", "Calls to providers that failed.")
        self._submitted = counter("batches_submitted", "Batches that were submitted.")
        self._collected = counter("batches_collected", "Batches that were read.")
        self._condition = gauge("condition", "1: it is so, 0: it is not.", "job", "type")
        self._granted = counter("plans_granted", "Plans that were agreed to.", "by")
        self.beat = gauge("last_beat_timestamp_seconds", "When the loop ran last.")
        self.leads = gauge("leads", "1: the lease is held.")
        for by in ("watch", "person"):
            self._granted.labels(by)

    def render(self) -> tuple[bytes, str]:
        """Return the metrics as text, and its media type."""
        from prometheus_client import generate_latest  # noqa: PLC0415 - an extra
        from prometheus_client.exposition import CONTENT_TYPE_LATEST  # noqa: PLC0415

        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    # --- implementing Hook

    def event(self, event: Event) -> None:
        """Count an event."""
        self._events.labels(type(event).__name__).inc()
        match event:
            case ToolsRun():
                self._calls.labels(event.job).inc(event.calls)
            case CallFailed():
                self._failures.inc()
            case BatchSubmitted():
                self._submitted.inc()
            case BatchCollected():
                self._collected.inc()
            case ConditionChanged():
                value = {"True": 1.0, "False": 0.0}.get(event.status, -1.0)
                self._condition.labels(event.job or "", event.type).set(value)
            case PlanGranted():
                self._granted.labels(event.by).inc()
            case _:
                pass

    def progress(self, jobs: Sequence[JobProgress], batches: Sequence[BatchRecord]) -> None:
        """Take how far jobs and batches are."""
        for job in jobs:
            self._job(job)
        phases: dict[str, int] = dict.fromkeys(("intended", "submitted", "ended"), 0)
        for batch in batches:
            phases[batch.phase] = phases.get(batch.phase, 0) + 1
        for phase, number in phases.items():
            self._batches.labels(phase).set(number)
        submitted = [b.submitted_at for b in batches if b.submitted_at is not None]
        self._oldest.set(min(submitted, default=0.0))

    def warning(self, message: str) -> None:
        """Count a warning."""
        del message
        self._warnings.inc()

    def _job(self, job: JobProgress) -> None:
        self._items.labels(job.address, "open").set(job.items - job.final)
        for outcome, number in job.outcomes.items():
            self._items.labels(job.address, outcome).set(number)
        if job.cost is not None:
            self._cost.labels(job.address).set(float(job.cost))
        self._tokens.labels(job.address, "input").set(job.usage.input_tokens)
        self._tokens.labels(job.address, "output").set(job.usage.output_tokens)
