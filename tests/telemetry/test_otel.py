"""Traces and metrics as a collector receives them, of an apply and of an engine of `watch`."""

import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest

from batchspec.plan.consent import Consent
from batchspec.telemetry.otel import switched_on
from batchspec.watch.engine import Engine
from tests.telemetry.receiver import Receiver, about, receiving
from tests.worlds import World

SPEC = """
@tool
def find(ctx: RunContext, what: str) -> str:
    "Find it."
    return "SECRET RESULT"

j = Job(
    model="openai:gpt-5-mini",
    rows=rows.inline([{"id": "SECRET ROW"}]),
    prompt="say {id}",
    tools=[find],
)
"""


def model(body: dict[str, Any]) -> Any:
    if body["messages"][-1]["role"] == "tool":
        return "done"
    function = {"name": "find", "arguments": '{"what": "SECRET ARGUMENT"}'}
    return {"tool_calls": [{"id": "call_1", "type": "function", "function": function}]}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, model=model)
    world.spec(SPEC)
    yield world
    world.close()


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        yield receiver


def test_an_apply_is_traced_without_its_contents(world: World, receiver: Receiver) -> None:
    with world.open() as project:
        plan = project.plan()
        assert project.apply(plan, hook=world.hook).done
    assert receiver.services == {"batchspec"}
    (reconcile,) = receiver.named("reconcile")
    assert about(reconcile)["batchspec.plan"] == plan.id
    batches = receiver.named("chat gpt-5-mini")
    assert len(batches) == 2
    for batch in batches:
        told = about(batch)
        assert told["gen_ai.operation.name"] == "chat"
        assert told["gen_ai.provider.name"] == "openai"
        assert told["gen_ai.request.model"] == "gpt-5-mini"
        assert told["batchspec.batch.requests"] == 1
        assert told["batchspec.batch.remote"].startswith("batch_")
        assert batch.end_time_unix_nano > batch.start_time_unix_nano
    (tool,) = receiver.named("execute_tool find")
    assert about(tool)["gen_ai.tool.name"] == "find"
    assert about(tool)["gen_ai.tool.call.id"] == "call_1"
    assert {s.trace_id for s in receiver.spans} == {reconcile.trace_id}
    assert {s.parent_span_id for s in (*batches, tool)} == {reconcile.span_id}
    metrics = {metric.name: metric for metric in receiver.metrics}
    tokens = {
        about(point)["gen_ai.token.type"]: point.sum
        for point in metrics["gen_ai.client.token.usage"].histogram.data_points
    }
    (job,) = world.project().status().jobs
    assert tokens == {"input": job.usage.input_tokens, "output": job.usage.output_tokens}
    durations = metrics["gen_ai.client.operation.duration"].histogram.data_points
    counted = {about(point)["gen_ai.operation.name"]: point.count for point in durations}
    assert counted == {"chat": 2, "execute_tool": 1}
    assert b"SECRET" not in receiver.raw


def test_an_engine_is_traced(world: World, receiver: Receiver) -> None:
    with world.open() as project:
        project.pin()
        consent = Consent(approve="all", max_cost=Decimal(1))
        engine = Engine(project=project, consent=consent, hook=world.hook)
        engine.idle = lambda _until: engine.drain()
        anyio.run(engine.run)
    assert len(receiver.named("chat gpt-5-mini")) == 2
    assert about(receiver.named("reconcile")[0])["batchspec.reconcile"]


def test_a_collector_that_is_away_costs_nothing_but_a_warning(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with world.open() as project:
        assert project.apply(project.plan(), hook=world.hook).done
    assert any("OpenTelemetry" in warning for warning in world.hook.warnings)


def test_a_missing_extra_is_told_and_costs_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.metric_exporter", None)
    with world.open() as project:
        assert project.apply(project.plan(), hook=world.hook).done
    (warning,) = world.hook.warnings
    assert "pip install 'batchspec[otel]'" in warning


@pytest.mark.parametrize(
    ("variables", "on"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_SERVICE_NAME": "other"}, False),
    ],
)
def test_it_is_switched_on_by_the_variables_of_opentelemetry(
    variables: dict[str, str], *, on: bool
) -> None:
    assert switched_on(variables) is on


def test_nothing_is_imported_while_it_is_off() -> None:
    code = "import batchspec.project, sys; sys.exit('opentelemetry' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
