"""When traces and metrics are sent with OpenTelemetry, and how: by its own variables."""

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress

from batchspec.telemetry.contents import wanted
from batchspec.telemetry.otel import Telemetry

_ENDPOINTS = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)
_EXPORTERS = ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER")


def switched_on(variables: Mapping[str, str]) -> bool:
    """Tell whether the environment asks for OpenTelemetry."""
    if variables.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    return any(variables.get(name) for name in _ENDPOINTS) or any(
        "otlp" in variables.get(name, "") for name in _EXPORTERS
    )


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
        return _made(warn, contents=wanted(os.environ, warn))
    except ImportError:
        warn(
            "OTEL_… variables ask for traces and metrics, which need OpenTelemetry: "
            "`pip install 'batchspec[otel]'`."
        )
    except Exception as error:  # noqa: BLE001 - a wrong variable costs traces, never the work
        warn(f"OpenTelemetry cannot be set up: {error}")
    return None


def _made(warn: Callable[[str], None], *, contents: bool) -> Telemetry:
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
    meters = MeterProvider(readers, resource=resource, shutdown_on_exit=False)
    return Telemetry(tracers, meters, contents=contents)
