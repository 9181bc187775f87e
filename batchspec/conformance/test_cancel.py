"""Cancelling: it takes its time, and what ran before is kept."""

from dataclasses import dataclass

import httpx2
import pytest

from batchspec.conformance.bodies import Json
from batchspec.conformance.checks import check
from batchspec.conformance.scenarios import line
from batchspec.conformance.server import Server, accepted

_IDS = ("one", "two", "three")


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A batch that was cancelled at once, and once more: both answers, and its end."""

    first: httpx2.Response
    second: httpx2.Response
    end: Json


@pytest.fixture(scope="module")
def cancelled(server: Server) -> Cancelled:
    """A batch that was cancelled at once."""
    batch = server.submit([line(server.target, custom_id) for custom_id in _IDS])
    path = f"/batches/{batch['id']}/cancel"
    first, second = server.request("POST", path), server.request("POST", path)
    end = server.ended(batch["id"])
    if first.status_code == 409 and end["status"] == "completed":
        pytest.skip("the batch was completed before it could be cancelled")
    return Cancelled(first, second, end)


@check("batches.cancel.answer", "must", "paid", "spec: cancelBatch")
def test_answer(cancelled: Cancelled) -> None:
    """The answer to a cancellation is the batch, which is cancelling since a moment."""
    answer = accepted(cancelled.first)
    assert answer["object"] == "batch"
    assert answer["status"] == "cancelling"
    assert type(answer["cancelling_at"]) is int


@check("batches.cancel.twice", "should", "paid", "observed")
def test_twice(cancelled: Cancelled) -> None:
    """To cancel once more does no harm: 200 and the same moment."""
    answers = accepted(cancelled.first), accepted(cancelled.second)
    assert answers[0]["cancelling_at"] == answers[1]["cancelling_at"]


@check("batches.cancel.end", "must", "paid", "guide: batch, cancelling")
def test_end(cancelled: Cancelled) -> None:
    """A cancelled batch ends as cancelled, or as completed if it was nearly done."""
    end = cancelled.end
    assert end["status"] in {"cancelled", "completed"}
    assert end["status"] == "completed" or type(end["cancelled_at"]) is int


@check("batches.cancel.cancelled-200", "should", "paid", "observed")
def test_cancelled_again(server: Server, cancelled: Cancelled) -> None:
    """To cancel a cancelled batch is answered with 200 and changes nothing."""
    end = cancelled.end
    if end["status"] != "cancelled":
        pytest.skip(f"the batch is {end['status']}: it was nearly done when it was cancelled")
    assert accepted(server.request("POST", f"/batches/{end['id']}/cancel")) == end


@check("batches.cancel.lines", "must", "paid", "guide: batch, cancelling")
def test_lines(server: Server, cancelled: Cancelled) -> None:
    """A request of a cancelled batch has one line at most: an answer, or batch_cancelled."""
    results = server.results(cancelled.end)
    ids = [each["custom_id"] for each in results.all]
    assert len(set(ids)) == len(ids)
    assert set(ids) <= set(_IDS)
    errors: list[Json] = [each.get("error") or {} for each in results.error]
    assert {error.get("code") for error in errors} <= {"batch_cancelled", None}


@check("batches.cancel.counts", "should", "paid", "observed")
def test_counts(server: Server, cancelled: Cancelled) -> None:
    """Requests that did not run count neither as completed nor as failed."""
    end = cancelled.end
    counts = end["request_counts"]
    assert counts["completed"] == len(server.results(end).output)
    assert counts["failed"] == 0
