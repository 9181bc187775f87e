"""Traces and metrics for OpenTelemetry, by the conventions for generative AI; the extra `otel`.

Switched on by the variables of OpenTelemetry. Contents of requests, replies and calls are never
told. The names are those of the conventions, which are in development: the strings are copied.
"""

import logging
import os
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batchspec.ids import BatchId, LaneId
from batchspec.ports import Hook, Timing, ToolRan
from batchspec.state.events import (
    BatchCollected,
    BatchIntended,
    BatchLost,
    BatchRejected,
    BatchSubmitted,
    Event,
)
from batchspec.state.records import BatchRecord, JobProgress, Lane

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

_ENDPOINTS = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)
_EXPORTERS = ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER")
_OPERATIONS = {"/v1/embeddings": "embeddings"}
_SECONDS = (0.01, 0.1, 1, 10, 60, 600, 3_600, 21_600, 86_400)
_TOKENS = tuple(4.0**power for power in range(1, 14))
_LAST = 5.0
"""Seconds that what is left may take to be sent in the end."""
_NANO = 1_000_000_000


def switched_on(variables: Mapping[str, str]) -> bool:
    """Tell whether the environment asks for OpenTelemetry."""
    if variables.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    return any(variables.get(name) for name in _ENDPOINTS) or any(
        "otlp" in variables.get(name, "") for name in _EXPORTERS
    )


@dataclass(slots=True)
class _Batch:
    lane: LaneId
    members: int
    submitted_at: float | None = None
    remote: str | None = None


class Telemetry:
    """What one process sends; nothing of it blocks or fails the work.

    Args:
        tracers: Make spans.
        meters: Make metrics.
    """

    def __init__(self, tracers: "TracerProvider", meters: "MeterProvider") -> None:
        self._providers = tracers, meters
        self._tracer = tracers.get_tracer("batchspec")
        meter = meters.get_meter("batchspec")
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "From submission to collection of a batch, or of a call of a tool.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Tokens of the replies of a job that were read together.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )
        self._used: dict[tuple[str, str], int] = {}
        self._batches: dict[BatchId, _Batch] = {}
        self._round: Span | None = None

    @contextmanager
    def round(self, about: Mapping[str, str], jobs: Sequence[JobProgress]) -> Generator[None]:
        """Make what follows part of one round of reconciling.

        Args:
            about: Its attributes.
            jobs: How far they are before it.
        """
        for job in jobs:
            self._usage(job)
        span = self._tracer.start_span("reconcile", attributes=about)
        self._round = span
        try:
            yield
        except Exception as error:
            # Its words may hold what a row or a function says.
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(_error())
            raise
        finally:
            self._round = None
            span.end()

    def ran(self, call: ToolRan) -> None:
        """Tell a call of a tool."""
        kind = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": call.tool}
        about = {**kind, "gen_ai.tool.call.id": call.call, "batchspec.job": call.job}
        self._span(
            f"execute_tool {call.tool}",
            about,
            call.began,
            call.began + call.seconds,
            failed=call.failed,
        )
        self._duration.record(call.seconds, kind)

    def event(self, event: Event, lane: Callable[[LaneId], Lane]) -> None:
        """Tell what became of a batch, once it has ended."""
        match event:
            case BatchIntended():
                self._batches[event.id] = _Batch(event.lane, event.members)
            case BatchSubmitted() if known := self._batches.get(event.id):
                known.submitted_at = known.submitted_at or event.at
                known.remote = event.remote_id
            case BatchCollected() | BatchRejected() | BatchLost():
                known = self._batches.pop(event.id, None)
                if known is not None and known.submitted_at is not None:
                    self._batch(event, known, lane(known.lane))
            case _:
                pass

    def progress(self, jobs: Sequence[JobProgress], batches: Sequence[BatchRecord]) -> None:
        """Take how far jobs are, and which batches there were before."""
        for batch in batches:
            if batch.id not in self._batches:
                self._batches[batch.id] = _Batch(
                    batch.lane, batch.members, batch.submitted_at, batch.remote_id
                )
        for job in jobs:
            self._used_since(job)

    def close(self) -> None:
        """Send what is left, for some seconds at most."""

        def end() -> None:
            for provider in self._providers:
                with suppress(Exception):
                    provider.shutdown()

        ending = threading.Thread(target=end, name="otel-end", daemon=True)
        ending.start()
        ending.join(_LAST)

    def _batch(
        self, event: BatchCollected | BatchRejected | BatchLost, known: _Batch, lane: Lane
    ) -> None:
        began = known.submitted_at or event.at
        kind = {
            "gen_ai.operation.name": _OPERATIONS.get(lane.endpoint, "chat"),
            "gen_ai.provider.name": lane.provider,
            "gen_ai.request.model": lane.model,
        }
        about: dict[str, Any] = {
            **kind,
            "batchspec.batch": event.id,
            "batchspec.batch.remote": known.remote or "",
            "batchspec.batch.requests": known.members,
        }
        failed = not isinstance(event, BatchCollected)
        name = f"{kind['gen_ai.operation.name']} {lane.model}"
        self._span(name, about, began, event.at, failed=failed, client=True)
        self._duration.record(
            event.at - began, {**kind, **({"error.type": type(event).__name__} if failed else {})}
        )

    def _span(  # noqa: PLR0913 - what a span is
        self,
        name: str,
        about: Mapping[str, Any],
        began: float,
        ended: float,
        *,
        failed: bool,
        client: bool = False,
    ) -> None:
        from opentelemetry.trace import SpanKind, set_span_in_context  # noqa: PLC0415 - an extra

        span = self._tracer.start_span(
            name,
            None if self._round is None else set_span_in_context(self._round),
            SpanKind.CLIENT if client else SpanKind.INTERNAL,
            dict(about),
            start_time=int(began * _NANO),
        )
        if failed:
            span.set_status(_error())
        span.end(int(ended * _NANO))

    def _usage(self, job: JobProgress) -> list[tuple[str, int]]:
        """Return the tokens of a job that are new, by type."""
        now = {"input": job.usage.input_tokens, "output": job.usage.output_tokens}
        new = [(kind, n - self._used.get((job.address, kind), 0)) for kind, n in now.items()]
        self._used |= {(job.address, kind): n for kind, n in now.items()}
        return [(kind, n) for kind, n in new if n > 0]

    def _used_since(self, job: JobProgress) -> None:
        provider, _, model = job.model.partition(":")
        for kind, number in self._usage(job):
            about = {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": provider,
                "gen_ai.request.model": model,
                "gen_ai.token.type": kind,
                "batchspec.job": job.address,
            }
            self._tokens.record(number, about)


def _error() -> Any:
    from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415 - an extra

    return Status(StatusCode.ERROR)


@dataclass(slots=True)
class Traced:
    """Implements `ports.Hook` and `ports.Timing` by passing on, and telling OpenTelemetry.

    Attributes:
        hook: Is told as well.
        telemetry: Is told what of it matters.
        lane: Looks a lane up.
    """

    hook: Hook
    telemetry: Telemetry
    lane: Callable[[LaneId], Lane]
    _lanes: dict[LaneId, Lane] = field(default_factory=dict[LaneId, Lane])

    def _lane(self, lane: LaneId) -> Lane:
        if lane not in self._lanes:
            self._lanes[lane] = self.lane(lane)
        return self._lanes[lane]

    def event(self, event: Event) -> None:
        """Pass on an event."""
        self.hook.event(event)
        with suppress(Exception):
            self.telemetry.event(event, self._lane)

    def progress(self, jobs: Sequence[JobProgress], batches: Sequence[BatchRecord]) -> None:
        """Pass on how far it is."""
        self.hook.progress(jobs, batches)
        with suppress(Exception):
            self.telemetry.progress(jobs, batches)

    def warning(self, message: str) -> None:
        """Pass on a warning."""
        self.hook.warning(message)

    def ran(self, call: ToolRan) -> None:
        """Pass on a call of a tool."""
        if isinstance(self.hook, Timing):
            self.hook.ran(call)
        with suppress(Exception):
            self.telemetry.ran(call)


class _Warns(logging.Handler):
    """Tells what exporters complain about, where warnings go."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._warn = warn

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(Exception):
            self._warn(f"OpenTelemetry: {record.getMessage().splitlines()[0][:300]}")


def telemetry(warn: Callable[[str], None]) -> Telemetry | None:
    """Return what sends traces and metrics; None where nobody asks for it.

    Args:
        warn: Is told once what cannot be sent, from any thread.
    """
    if not switched_on(os.environ):
        return None
    try:
        return _made(warn)
    except ImportError:
        warn(
            "OTEL_… variables ask for traces and metrics, which need OpenTelemetry: "
            "`pip install 'batchspec[otel]'`."
        )
    except Exception as error:  # noqa: BLE001 - a wrong variable costs traces, never the work
        warn(f"OpenTelemetry cannot be set up: {error}")
    return None


def _made(warn: Callable[[str], None]) -> Telemetry:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415 - slow
        OTLPMetricExporter,
    )
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    logger = logging.getLogger("opentelemetry")
    logger.addHandler(_Warns(warn))
    logger.propagate = False
    named = "OTEL_SERVICE_NAME" in os.environ or "service.name" in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    resource = Resource.create({} if named else {"service.name": "batchspec"})
    wanted = {name: os.environ.get(name, "otlp") for name in _EXPORTERS}
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    if "otlp" in wanted["OTEL_TRACES_EXPORTER"]:
        tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    readers: list[PeriodicExportingMetricReader] = []
    if "otlp" in wanted["OTEL_METRICS_EXPORTER"]:
        readers.append(PeriodicExportingMetricReader(OTLPMetricExporter()))
    return Telemetry(tracers, MeterProvider(readers, resource=resource, shutdown_on_exit=False))
