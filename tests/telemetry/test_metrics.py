"""What is served to Prometheus, read as Prometheus reads it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from batchspec.errors import UsageError
from batchspec.state.watching import ConditionChanged
from batchspec.telemetry.metrics import METRICS, Metrics
from tests.worlds import World


def samples(metrics: Metrics, now: float = 0.0) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return what is served by name and labels' values."""
    text = metrics.render(now)[0].decode()
    return {
        (one.name, tuple(one.labels.values())): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def test_every_metric_is_there_from_the_beginning_or_has_open_labels() -> None:
    names = {name for name, _ in samples(Metrics(("openai",)))}
    for metric in METRICS:
        known = not metric.labels or metric.known or metric.name == "webhooks"
        suffix = "_count" if metric.kind == "histogram" else ""
        assert (f"{metric.exposed}{suffix}" in names) == bool(known), metric.name


def test_every_closed_set_of_labels_begins_with_zero() -> None:
    served = samples(Metrics(("openai",)))
    for metric in METRICS:
        for value in metric.known:
            assert served[metric.exposed, (value,)] == 0
    assert served["batchspec_webhooks_total", ("openai", "refused")] == 0


def test_rounds_tools_engines_and_webhooks_are_counted() -> None:
    metrics = Metrics()
    metrics.reconciled("failed", 5.0)
    metrics.tools([("find", False, 0.05), ("find", True, 3.0), ("find", False, 0.02)])
    metrics.engine("died")
    metrics.webhook("openai", "refused")
    metrics.event(ConditionChanged(type="Planned", status="False", reason="r", message="m", at=0))
    served = samples(metrics)
    assert served["batchspec_reconcile_total", ("failed",)] == 1
    assert served["batchspec_reconcile_seconds_bucket", ("10.0",)] == 1
    assert served["batchspec_reconcile_seconds_bucket", ("1.0",)] == 0
    assert served["batchspec_tool_seconds_count", ("done", "find")] == 2
    assert served["batchspec_tool_seconds_sum", ("failed", "find")] == 3
    assert served["batchspec_engines_total", ("died",)] == 1
    assert served["batchspec_webhooks_total", ("openai", "refused")] == 1
    assert served["batchspec_condition", ("", "Planned")] == 0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def test_a_job_is_counted_from_its_events_and_progress(world: World) -> None:
    metrics = Metrics()
    world.job("a", "b")
    with world.open() as project:
        project.apply(project.plan(), hook=metrics, detach=True)
        age = 100.0
        served = samples(metrics, world.clock.now() + age)
        assert served["batchspec_open_batches", ("submitted",)] == 1
        assert served["batchspec_batches", ("validating",)] == 1
        assert served["batchspec_oldest_batch_age_seconds", ()] >= age
        assert served["batchspec_items_under_way", ("m.j", "batched")] == 2
        project.apply(project.plan(), hook=metrics)
    served = samples(metrics, world.clock.now() + age)
    assert served["batchspec_items", ("m.j", "succeeded")] == 2
    assert served["batchspec_items", ("m.j", "failed")] == 0
    assert served["batchspec_items_waiting", ()] == 0
    assert served["batchspec_requests_total", ()] == 2
    assert served["batchspec_batches_collected_total", ()] == 1
    assert served["batchspec_oldest_batch_age_seconds", ()] == 0


def test_without_the_extra_a_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(UsageError, match=r"pip install 'batchspec\[metrics\]'"):
        Metrics()
