"""What the provider says against what is recorded, as tables."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchspec.ids import BatchId, FileId, JobAddress, LaneId, RemoteId
from batchspec.plan.changes import Finding, JobPlan, Kind
from batchspec.plan.drift import (
    Look,
    drifted,
    expiring,
    is_unknown,
    not_known,
    shares,
    unknown_outcome,
    with_drift,
)
from batchspec.state.records import BatchRecord, RemoteStatus, RequestCounts
from batchspec.state.remote import NotFound, RemoteBatch, RemoteError, is_of
from batchspec.state.stored import DraftTotals

A, B = JobAddress("m.a"), JobAddress("m.b")
DAY = 86_400.0


def record(**changes: Any) -> BatchRecord:
    known: dict[str, Any] = {
        "id": BatchId("b"),
        "lane": LaneId(1),
        "phase": "submitted",
        "members": 10,
        "bytes": 1000,
        "jobs": {A: 10},
        "remote_id": RemoteId("batch_1"),
        "status": "in_progress",
        "input_file_id": FileId("file-in"),
        "submitted_at": 0.0,
    }
    return BatchRecord(**(known | changes))


def remote(status: Any = "in_progress", answered: int = 0, **changes: Any) -> RemoteBatch:
    known: dict[str, Any] = {
        "id": RemoteId("batch_1"),
        "status": status,
        "created_at": 0.0,
        "counts": RequestCounts(10, answered, 0),
        "metadata": {"batchspec": "b", "lineage": "ours"},
    }
    return RemoteBatch(**(known | changes))


def codes(found: list[Finding]) -> list[str]:
    return [finding.code for finding in found]


@pytest.mark.parametrize(
    ("was", "seen", "code", "rows", "again"),
    [
        (record(), remote("expired", 3), "BATCH_EXPIRED", 7, 7),
        (record(), remote("expired", 10), "BATCH_EXPIRED", 0, 0),
        (record(), remote("expired", 99), "BATCH_EXPIRED", 0, 0),
        (record(phase="ended"), remote("expired", 3), "BATCH_EXPIRED", 7, 7),
        (record(), remote("cancelled", 3), "BATCH_CANCELLED_REMOTELY", 7, 0),
        (record(), remote("cancelling", 3), "BATCH_CANCELLED_REMOTELY", 7, 0),
        (record(), remote("failed"), "BATCH_FAILED", 10, 10),
    ],
)
def test_a_batch_that_ended_otherwise(
    was: BatchRecord, seen: RemoteBatch, code: str, rows: int, again: int
) -> None:
    (found,) = drifted(was, Look(seen), "ours")
    assert (found.kind, found.code, found.rows, found.again) == (Kind.DRIFT, code, rows, again)
    assert found.answered == 10 - rows


@pytest.mark.parametrize(
    ("was", "seen"),
    [
        (record(), remote("validating")),
        (record(status="validating"), remote("in_progress", 5)),
        (record(), remote("finalizing", 10)),
        (record(), remote("completed", 10)),
        (record(), remote("completed", 8, counts=RequestCounts(10, 8, 2))),
        (record(), remote("unknown")),
        (record(cancel_at=1.0), remote("cancelling", 3)),
        (record(cancel_at=1.0), remote("cancelled", 3)),
        (record(cancel_at=1.0), remote("failed")),
        (record(double_of=BatchId("a"), members=0, jobs={}), remote("cancelled")),
        (record(), remote(metadata={})),
        (record(imported=True), remote(metadata={"lineage": "theirs"})),
    ],
)
def test_progress_and_what_was_asked_for_here_is_no_drift(
    was: BatchRecord, seen: RemoteBatch
) -> None:
    assert drifted(was, Look(seen), "ours") == []


def test_a_batch_that_is_gone() -> None:
    (found,) = drifted(record(), not_known(NotFound("HTTP 404: no")), "ours")
    assert (found.code, found.rows, found.note) == ("BATCH_GONE", 10, "HTTP 404: no")
    assert found.answered is None


def test_failure_27_results_that_are_gone() -> None:
    look = Look(remote("completed", 10), gone=[FileId("file-out")])
    (found,) = drifted(record(), look, "ours")
    assert (found.code, found.rows, found.note) == ("OUTPUT_GONE", 10, "file-out")


def test_the_tag_of_another_state_is_told_beside_the_rest() -> None:
    seen = remote("expired", 3, metadata={"batchspec": "b", "lineage": "0000-theirs"})
    assert codes(drifted(record(), Look(seen), "ours")) == ["FOREIGN_LINEAGE", "BATCH_EXPIRED"]


def test_why_a_batch_failed_is_told_in_the_words_of_the_provider() -> None:
    errors = (RemoteError("invalid_json", "Bad.", 3), RemoteError("x", "y"))
    (found,) = drifted(record(), Look(remote("failed", errors=errors)), "ours")
    assert found.note == "invalid_json: Bad. (line 3), and 1 more"


@pytest.mark.parametrize(
    ("was", "unknown"),
    [
        (record(create_at=5.0, remote_id=None, phase="intended"), True),
        (record(create_at=None, remote_id=None, phase="intended"), False),
        (record(create_at=5.0), False),
    ],
)
def test_whose_outcome_is_unknown(was: BatchRecord, unknown: bool) -> None:
    assert is_unknown(was) is unknown


def test_an_unknown_outcome_says_since_when_and_why() -> None:
    was = record(create_at=5.0, remote_id=None, note="the answer was lost")
    found = unknown_outcome(was)
    assert (found.kind, found.since, found.note) == (Kind.UNKNOWN, 5.0, "the answer was lost")
    assert unknown_outcome(was, "not found yet").note == "not found yet"


@pytest.mark.parametrize(
    ("seen", "ours"),
    [
        (remote(), True),
        (remote(metadata={}, input_file_id=FileId("file-in")), True),
        (remote(metadata={"batchspec": "other"}), False),
        (remote(metadata={}, input_file_id=None), False),
    ],
)
def test_a_batch_is_known_by_its_token_or_its_file(seen: RemoteBatch, ours: bool) -> None:
    assert is_of(seen, record()) is ours
    assert not is_of(remote(metadata={}), record(input_file_id=None))


@pytest.mark.parametrize(
    ("seen", "age", "told"),
    [
        (remote("completed"), 22 * DAY, None),
        (remote("completed"), 24 * DAY, "in about 6 days"),
        (None, 22 * DAY, None),
        (None, 24 * DAY, "in about 6 days"),
        (remote("expired"), 29.4 * DAY, "in about 1 day:"),
        (remote("completed"), 31 * DAY, "any moment"),
        (remote("in_progress"), 31 * DAY, None),
    ],
)
def test_failure_27_results_that_are_deleted_soon(
    seen: RemoteBatch | None, age: float, told: str | None
) -> None:
    """Row 27: files are kept for 30 days at most."""
    warning = expiring(record(account="https://h key 1"), age, seen)
    assert (warning is None) if told is None else (warning is not None and told in warning)


def test_results_that_are_in_this_process_are_not_deleted() -> None:
    assert expiring(record(account=None), 31 * DAY) is None
    assert expiring(record(account="a", submitted_at=None), 31 * DAY) is None


def test_drift_is_divided_over_the_jobs_of_a_batch() -> None:
    was = record(jobs={A: 8, B: 2})
    found = drifted(was, Look(remote("expired", 4)), "ours")
    divided = shares(found, {was.id: 1000})
    assert divided.rows == {A: 5, B: 2}
    assert divided.again == {A: DraftTotals(5, 500), B: DraftTotals(2, 200)}


def test_a_batch_with_two_findings_counts_once() -> None:
    seen = remote("expired", 3, metadata={"lineage": "theirs"})
    assert shares(drifted(record(), Look(seen), "ours"), {}).rows == {A: 7}


@pytest.mark.parametrize(
    ("counts", "rows", "after"),
    [
        ({Kind.CONTINUE: 10}, 7, {Kind.CONTINUE: 3, Kind.DRIFT: 7}),
        ({Kind.CONTINUE: 7}, 7, {Kind.DRIFT: 7}),
        ({Kind.CONTINUE: 2, Kind.RESUBMIT: 8}, 7, {Kind.RESUBMIT: 8, Kind.DRIFT: 2}),
        ({Kind.RESUBMIT: 10}, 7, {Kind.RESUBMIT: 10}),
        ({Kind.CONTINUE: 10}, 0, {Kind.CONTINUE: 10}),
    ],
)
def test_rows_under_way_are_told_as_drift(
    counts: dict[Kind, int], rows: int, after: dict[Kind, int]
) -> None:
    """Those that the plan changes anyhow are not."""
    plan = JobPlan(address=A, model="openai:m", rows=10, counts=counts)
    assert with_drift(plan, {A: rows}).counts == after


@given(
    status=st.sampled_from(get_args(RemoteStatus)),
    counts=st.tuples(*[st.integers(0, 2**53)] * 3),
    members=st.integers(0, 50_000),
    jobs=st.integers(1, 5),
)
def test_whatever_is_counted_no_more_rows_drift_than_there_are(
    status: Any, counts: tuple[int, int, int], members: int, jobs: int
) -> None:
    """Counts are the provider's word, and may be any."""
    parts = {JobAddress(f"m.j{n}"): members // jobs + (n < members % jobs) for n in range(jobs)}
    was = record(members=members, jobs=parts)
    found = drifted(was, Look(remote(status, counts=RequestCounts(*counts))), "ours")
    for finding in found:
        assert 0 <= finding.again <= finding.rows <= members
        assert finding.answered is not None
        assert finding.answered + finding.rows == members
    divided = shares(found, {was.id: was.bytes})
    assert all(rows <= parts[job] for job, rows in divided.rows.items())
    assert sum(divided.rows.values()) >= sum(finding.rows for finding in found)
    assert sum(again.bytes for again in divided.again.values()) <= was.bytes
