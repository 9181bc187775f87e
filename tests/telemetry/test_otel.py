"""Traces and metrics as a collector receives them, of an apply and of an engine of `watch`."""

import json
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest

from batchspec.errors import ExitCode
from batchspec.plan.consent import Consent
from batchspec.telemetry.contents import VARIABLE, wanted
from batchspec.telemetry.exporting import switched_on
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


def tokens(receiver: Receiver) -> dict[tuple[str, str, str], tuple[int, float]]:
    """Return measurements and their sum by operation, model and type."""
    (metric,) = [one for one in receiver.metrics if one.name == "gen_ai.client.token.usage"]
    names = ("gen_ai.operation.name", "gen_ai.request.model", "gen_ai.token.type")
    return {
        tuple(about(point)[name] for name in names): (point.count, point.sum)
        for point in metric.histogram.data_points
    }


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
    (job,) = world.project().status().jobs
    # One measurement for each of the two replies.
    assert tokens(receiver) == {
        ("chat", "gpt-5-mini", "input"): (2, job.usage.input_tokens),
        ("chat", "gpt-5-mini", "output"): (2, job.usage.output_tokens),
    }
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


def test_vectors_are_embeddings_in_spans_and_measurements(world: World, receiver: Receiver) -> None:
    world.model = lambda body: [[float(len(body["input"]))]]
    model = "openai:text-embedding-3-small"
    world.spec(
        f"j = EmbeddingJob(model={model!r}, rows=rows.inline([{{'id': 'a'}}, {{'id': 'b'}}]), "
        "input='say {id}', dimensions=1)"
    )
    assert world.apply().done
    (batch,) = receiver.named("embeddings text-embedding-3-small")
    assert about(batch)["gen_ai.operation.name"] == "embeddings"
    (job,) = world.project().status().jobs
    # Vectors have no output tokens.
    key = ("embeddings", "text-embedding-3-small", "input")
    assert tokens(receiver) == {key: (2, job.usage.input_tokens)}


def test_a_batch_belongs_to_the_round_that_made_it_also_after_a_restart(
    world: World, receiver: Receiver
) -> None:
    world.model = lambda _body: "done"
    world.job("a", "b")
    assert world.apply(detach=True).exit_code == ExitCode.IN_PROGRESS
    (made,) = receiver.named("reconcile")
    assert not receiver.named("chat gpt-5-mini")
    assert world.apply().done
    (batch,) = receiver.named("chat gpt-5-mini")
    assert (batch.trace_id, batch.parent_span_id) == (made.trace_id, made.span_id)
    (read,) = [span for span in receiver.named("reconcile") if span.span_id != made.span_id]
    assert [(link.trace_id, link.span_id) for link in batch.links] == [
        (read.trace_id, read.span_id)
    ]
    assert tokens(receiver)["chat", "gpt-5-mini", "input"][0] == 2


def test_a_batch_that_was_made_untraced_belongs_to_the_round_that_reads_it(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.model = lambda _body: "done"
    world.job("a")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    world.apply(detach=True)
    monkeypatch.setenv("OTEL_SDK_DISABLED", "false")
    assert world.apply().done
    (batch,), (read,) = receiver.named("chat gpt-5-mini"), receiver.named("reconcile")
    assert batch.parent_span_id == read.span_id


def test_contents_are_told_to_whoever_asks_for_them(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "SPAN_ONLY")
    assert world.apply().done
    (tool,) = receiver.named("execute_tool find")
    assert json.loads(about(tool)["gen_ai.tool.call.arguments"]) == {"what": "SECRET ARGUMENT"}
    assert about(tool)["gen_ai.tool.call.result"] == "SECRET RESULT"
    batches = [s for s in receiver.named("chat gpt-5-mini") if "batchspec.batch" in about(s)]
    replies = [s for s in receiver.named("chat gpt-5-mini") if s not in batches]
    assert [reply.parent_span_id for reply in replies] == [batch.span_id for batch in batches]
    first, last = (about(reply) for reply in replies)
    assert json.loads(first["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "say SECRET ROW"}]}
    ]
    called = {"type": "tool_call", "id": "call_1", "name": "find"}
    asked = {**called, "arguments": {"what": "SECRET ARGUMENT"}}
    assert json.loads(first["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [asked], "finish_reason": "tool_call"}
    ]
    result = {"type": "tool_call_response", "id": "call_1", "response": "SECRET RESULT"}
    assert json.loads(last["gen_ai.input.messages"])[1:] == [
        {"role": "assistant", "parts": [asked]},
        {"role": "tool", "parts": [result]},
    ]
    assert json.loads(last["gen_ai.output.messages"]) == [
        {
            "role": "assistant",
            "parts": [{"type": "text", "content": "done"}],
            "finish_reason": "stop",
        }
    ]
    (job,) = world.project().status().jobs
    used = sum(about(reply)["gen_ai.usage.input_tokens"] for reply in replies)
    assert used == job.usage.input_tokens


@pytest.mark.parametrize(
    ("value", "on", "warnings"),
    [
        ("", False, 0),
        ("false", False, 0),
        ("NO_CONTENT", False, 0),
        ("true", True, 0),
        ("span_only", True, 0),
        ("SPAN_AND_EVENT", True, 0),
        ("EVENT_ONLY", False, 1),
        ("yes", False, 1),
    ],
)
def test_contents_are_asked_for_as_elsewhere(value: str, *, on: bool, warnings: int) -> None:
    said: list[str] = []
    assert wanted({VARIABLE: value}, said.append) is on
    assert len(said) == warnings


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
