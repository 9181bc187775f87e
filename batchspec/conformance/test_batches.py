"""A batch on its way and at its end."""

from itertools import pairwise

import pytest

from batchspec.conformance.bodies import Json
from batchspec.conformance.checks import check
from batchspec.conformance.scenarios import TOKEN, Finished
from batchspec.conformance.server import Server, missing
from batchspec.conformance.test_create import KEYS

_NEXT = {
    "validating": {"in_progress", "failed", "cancelling"},
    "in_progress": {"finalizing", "cancelling", "expired", "failed"},
    "finalizing": {"completed", "cancelling", "expired", "failed"},
    "cancelling": {"cancelled", "completed"},
}
_TIMES = ("created_at", "in_progress_at", "finalizing_at", "completed_at")


@check("batches.status.known", "should", "paid", "spec: Batch")
def test_known_statuses(server: Server, clean: Finished) -> None:
    """Every status on the way is one of the eight."""
    known = {*_NEXT, *(status for follow in _NEXT.values() for status in follow)}
    assert {state["status"] for state in _history(server, clean)} <= known


@check("batches.status.order", "must", "paid", "guide: batch, statuses")
def test_transitions(server: Server, clean: Finished) -> None:
    """Statuses follow one another forwards, and an ended batch stays as it is."""
    statuses = [state["status"] for state in _history(server, clean)]
    for earlier, later in pairwise(statuses):
        assert later == earlier or earlier not in _NEXT or later in _reachable(earlier)
    assert server.batch(clean.batch["id"]) == clean.batch


def _history(server: Server, finished: Finished) -> list[Json]:
    return server.seen[finished.batch["id"]]


def _reachable(status: str) -> set[str]:
    follow = _NEXT.get(status, set())
    return follow.union(*(_reachable(each) for each in follow))


@check("batches.completed", "must", "paid", "guide: batch, statuses")
def test_completed(clean: Finished) -> None:
    """A batch whose requests were answered is completed and names its output file."""
    assert clean.batch["status"] == "completed"
    assert clean.batch["output_file_id"]


@check("batches.completed.no-error-file", "should", "paid", "observed")
def test_no_error_file(clean: Finished) -> None:
    """A batch without failures has no error file: null, or an empty text."""
    assert not clean.batch.get("error_file_id")


@check("batches.completed.nulls", "should", "paid", "observed")
def test_nulls(clean: Finished) -> None:
    """An ended batch has every key, with null for what did not happen."""
    assert not missing(clean.batch, KEYS)
    assert clean.batch["cancelled_at"] is clean.batch["errors"] is None


@check("batches.completed.times", "should", "paid", "spec: Batch")
def test_times(clean: Finished) -> None:
    """An ended batch tells when it began, was finalized and completed, in this order."""
    times = [clean.batch[name] for name in _TIMES]
    assert [type(moment) for moment in times] == [int] * len(_TIMES)
    assert times == sorted(times)


@check("batches.completed.metadata", "must", "paid", "spec: Batch")
def test_metadata(clean: Finished) -> None:
    """Metadata are still there at the end."""
    assert clean.batch["metadata"] == TOKEN


@check("batches.completed.counts", "must", "paid", "spec: BatchRequestCounts")
def test_counts(clean: Finished) -> None:
    """A completed batch counts all its requests."""
    total = len(clean.custom_ids)
    assert clean.batch["request_counts"] == {"total": total, "completed": total, "failed": 0}


@check("batches.completed.model", "cosmetic", "paid", "spec: Batch")
def test_model(server: Server, clean: Finished) -> None:
    """A batch tells the model it ran on."""
    asked = server.target.model
    assert str(clean.batch.get("model"))[: len(asked)] == asked  # a date may follow


@check("batches.completed.usage", "should", "paid", "spec: Batch")
def test_usage(server: Server, clean: Finished) -> None:
    """A batch adds up the tokens of its lines."""
    usage = clean.batch["usage"]
    names = server.target.dialect.tokens
    used = [clean.results.body(custom_id)["usage"] for custom_id in clean.custom_ids]
    sums = [sum(each[name] for each in used) if name else 0 for name in names]
    assert [usage["input_tokens"], usage["output_tokens"]] == sums
    assert usage["total_tokens"] == sum(sums)


@check("batches.mixed.counts", "must", "paid", "guide: batch, error file")
def test_mixed_counts(mixed: Finished) -> None:
    """A batch with a refused request is completed and counts it as failed."""
    assert mixed.batch["status"] == "completed"
    assert mixed.batch["request_counts"] == {"total": 2, "completed": 1, "failed": 1}


@check("batches.mixed.files", "must", "paid", "guide: batch, error file")
def test_mixed_files(mixed: Finished) -> None:
    """Answers are in the output file, refusals in the error file."""
    assert [line["custom_id"] for line in mixed.results.output] == ["good"]
    assert [line["custom_id"] for line in mixed.results.error] == ["bad"]


@check("batches.refused.completed", "must", "paid", "observed")
def test_all_refused(refused_batch: Finished) -> None:
    """A batch whose requests are all refused is completed; it has an error file only."""
    batch = refused_batch.batch
    assert (batch["status"], bool(batch.get("output_file_id"))) == ("completed", False)
    assert batch["error_file_id"]
    assert batch["request_counts"] == {"total": 1, "completed": 0, "failed": 1}


@check("batches.cancel.completed-409", "should", "paid", "observed")
def test_cancel_completed(server: Server, clean: Finished) -> None:
    """A completed batch cannot be cancelled: 409, and it stays as it is."""
    batch_id = clean.batch["id"]
    response = server.request("POST", f"/batches/{batch_id}/cancel")
    if response.status_code != 409:
        pytest.fail(f"It was answered {response.status_code}: {response.text[:200]}", pytrace=False)
    assert server.batch(batch_id)["status"] == "completed"
