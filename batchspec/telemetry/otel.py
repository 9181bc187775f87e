"""Traces and metrics for OpenTelemetry, by the conventions for generative AI; the extra `otel`.

`exporting` says when and where they are sent. Contents of requests, replies and calls are told only
where one more asks for them. The names are those of the conventions, which are in development: the
strings are copied.
"""

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batchspec.ids import BatchId, LaneId
from batchspec.ports import Exchange, Hook, Timing, Tokens, ToolRan
from batchspec.state.events import (
    BatchCollected,
    BatchIntended,
    BatchLost,
    BatchRejected,
    BatchSubmitted,
    Event,
)
from batchspec.state.records import BatchRecord, JobProgress, Lane
from batchspec.telemetry.contents import answered, asked

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

_OPERATIONS = {"/v1/embeddings": "embeddings"}
_SECONDS = (0.01, 0.1, 1, 10, 60, 600, 3_600, 21_600, 86_400)
_TOKENS = tuple(4.0**power for power in range(14))
_PARENT = "traceparent"
_LAST = 5.0
"""Seconds that what is left may take to be sent in the end."""
_NANO = 1_000_000_000


@dataclass(slots=True)
class _Batch:
    lane: LaneId
    members: int
    submitted_at: float | None = None
    remote: str | None = None
    traceparent: str | None = None
    span: "Span | None" = None
    """Begun as soon as something is told that belongs to it."""


class Telemetry:
    """What one process sends; nothing of it blocks or fails the work.

    Args:
        tracers: Make spans.
        meters: Make metrics.
        contents: Whether requests, replies and calls are told.
    """

    def __init__(
        self, tracers: "TracerProvider", meters: "MeterProvider", *, contents: bool = False
    ) -> None:
        self.contents = contents
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
            "Tokens of a reply.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )
        self._batches: dict[BatchId, _Batch] = {}
        self._round: Span | None = None

    @contextmanager
    def round(self, about: Mapping[str, str]) -> Generator[str | None]:
        """Make what follows part of one round of reconciling; gives its span, as W3C writes it.

        Args:
            about: Its attributes.
        """
        span = self._tracer.start_span("reconcile", attributes=about)
        self._round = span
        try:
            yield _written(span)
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
        if self.contents:
            about["gen_ai.tool.call.arguments"] = call.arguments
            about["gen_ai.tool.call.result"] = call.result
        span = self._begin(f"execute_tool {call.tool}", about, call.began, self._here())
        _end(span, call.began + call.seconds, failed=call.failed)
        self._duration.record(call.seconds, kind)

    def event(self, event: Event, lane: Callable[[LaneId], Lane]) -> None:
        """Tell what became of a batch, once it has ended."""
        match event:
            case BatchIntended():
                self._batches[event.id] = _Batch(
                    event.lane, event.members, traceparent=event.traceparent
                )
            case BatchSubmitted() if known := self._batches.get(event.id):
                known.submitted_at = known.submitted_at or event.at
                known.remote = event.remote_id
            case BatchCollected() | BatchRejected() | BatchLost():
                known = self._batches.pop(event.id, None)
                if known is not None and known.submitted_at is not None:
                    self._batch(event, known, lane(known.lane))
            case _:
                pass

    def known(self, batches: Sequence[BatchRecord]) -> None:
        """Take which batches there were before."""
        for batch in batches:
            if batch.id not in self._batches:
                self._batches[batch.id] = _Batch(
                    batch.lane,
                    batch.members,
                    batch.submitted_at,
                    batch.remote_id,
                    batch.traceparent,
                )

    def replied(self, said: Exchange, lane: Callable[[LaneId], Lane]) -> None:
        """Tell a request and its reply, as a span inside of that of their batch."""
        known = self._batches.get(said.batch)
        if known is None or known.submitted_at is None:
            return
        where = lane(known.lane)
        kind = _kind(where)
        if kind["gen_ai.operation.name"] != "chat":
            return
        about = {**kind, **asked(said), **answered(said.reply), "batchspec.job": said.job}
        about["batchspec.custom_id"] = said.custom_id
        batch = self._batch_span(said.batch, known, where)
        # How long one of them took nobody says.
        span = self._begin(f"chat {where.model}", about, known.submitted_at, _within(batch))
        span.end()

    def took(
        self, batch: BatchId, tokens: Mapping[Tokens, int], lane: Callable[[LaneId], Lane]
    ) -> None:
        """Measure what each reply of a batch took."""
        known = self._batches.get(batch)
        if known is None:
            return
        record, kind = self._tokens.record, _kind(lane(known.lane))
        told: dict[tuple[str, str], dict[str, str]] = {}
        for (job, taken, given), times in tokens.items():
            for name, number in (("input", taken), ("output", given)):
                about = told.get((job, name))
                if about is None:
                    about = {**kind, "gen_ai.token.type": name, "batchspec.job": job}
                    told[job, name] = about
                for _ in range(times if number else 0):
                    record(number, about)

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
        failed = not isinstance(event, BatchCollected)
        _end(self._batch_span(event.id, known, lane), event.at, failed=failed)
        kind = _kind(lane) | ({"error.type": type(event).__name__} if failed else {})
        self._duration.record(event.at - (known.submitted_at or event.at), kind)

    def _batch_span(self, batch: BatchId, known: _Batch, lane: Lane) -> "Span":
        """Return the span of a batch: inside of the round that made it, linked to the one now."""
        if known.span is None:
            kind = _kind(lane)
            about: dict[str, Any] = {
                **kind,
                "batchspec.batch": batch,
                "batchspec.batch.remote": known.remote or "",
                "batchspec.batch.requests": known.members,
            }
            name = f"{kind['gen_ai.operation.name']} {lane.model}"
            made_in = _read(known.traceparent)
            known.span = self._begin(
                name, about, known.submitted_at or 0.0, made_in or self._here(), client=True
            )
            if self._round is not None and _written(self._round) != known.traceparent:
                known.span.add_link(self._round.get_span_context())
        return known.span

    def _here(self) -> "Context | None":
        return None if self._round is None else _within(self._round)

    def _begin(
        self,
        name: str,
        about: Mapping[str, Any],
        began: float,
        inside: "Context | None",
        *,
        client: bool = False,
    ) -> "Span":
        from opentelemetry.trace import SpanKind  # noqa: PLC0415 - an extra

        kind = SpanKind.CLIENT if client else SpanKind.INTERNAL
        return self._tracer.start_span(
            name, inside, kind, dict(about), start_time=int(began * _NANO)
        )


def _kind(lane: Lane) -> dict[str, str]:
    """Return what every span and measurement of a lane has."""
    return {
        "gen_ai.operation.name": _OPERATIONS.get(lane.endpoint, "chat"),
        "gen_ai.provider.name": lane.queue[0],
        "gen_ai.request.model": lane.model,
    }


def _end(span: "Span", moment: float, *, failed: bool) -> None:
    if failed:
        span.set_status(_error())
    span.end(int(moment * _NANO))


def _within(span: "Span") -> "Context":
    from opentelemetry.trace import set_span_in_context  # noqa: PLC0415 - an extra

    return set_span_in_context(span)


def _written(span: "Span") -> str | None:
    """Return the context of a span as W3C writes it, for another process to go on with."""
    from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 - an extra
        TraceContextTextMapPropagator,
    )

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier, _within(span))
    return carrier.get(_PARENT)


def _read(traceparent: str | None) -> "Context | None":
    """Return what `_written` wrote; None: there is none, or it is not right."""
    from opentelemetry.trace import get_current_span  # noqa: PLC0415 - an extra
    from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
        TraceContextTextMapPropagator,
    )

    if traceparent is None:
        return None
    found = TraceContextTextMapPropagator().extract({_PARENT: traceparent})
    return found if get_current_span(found).get_span_context().is_valid else None


def _error() -> Any:
    from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415 - an extra

    return Status(StatusCode.ERROR)


@dataclass(slots=True)
class Traced:
    """Implements `ports.Hook`, `Timing` and `Tracing` by passing on, and telling OpenTelemetry.

    Attributes:
        hook: Is told as well.
        telemetry: Is told what of it matters.
        lane: Looks a lane up.
        traceparent: The span of the round.
        contents: Whether requests and replies are told.
    """

    hook: Hook
    telemetry: Telemetry
    lane: Callable[[LaneId], Lane]
    traceparent: str | None
    contents: bool
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
            self.telemetry.known(batches)

    def warning(self, message: str) -> None:
        """Pass on a warning."""
        self.hook.warning(message)

    def ran(self, call: ToolRan) -> None:
        """Pass on a call of a tool."""
        if isinstance(self.hook, Timing):
            self.hook.ran(call)
        with suppress(Exception):
            self.telemetry.ran(call)

    def replied(self, said: Exchange) -> None:
        """Tell a request and its reply."""
        with suppress(Exception):
            self.telemetry.replied(said, self._lane)

    def took(self, batch: BatchId, tokens: Mapping[Tokens, int]) -> None:
        """Tell what replies took."""
        with suppress(Exception):
            self.telemetry.took(batch, tokens, self._lane)
