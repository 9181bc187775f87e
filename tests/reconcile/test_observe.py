"""The decision table for what a provider says about a batch."""

from dataclasses import replace

import pytest

from batchspec.ids import BatchId, FileId, LaneId, RemoteId
from batchspec.reconcile.observe import (
    Pace,
    RejectedLines,
    Stopped,
    describe,
    observe,
    oldest,
)
from batchspec.state.events import BatchObserved, BatchRejected
from batchspec.state.records import BatchRecord, RemoteStatus, RequestCounts
from batchspec.state.remote import (
    RemoteBatch,
    RemoteError,
)

NOW = 5_000.0
PACE = Pace(poll=10, max_poll=100, grace=60)
RECORD = BatchRecord(
    id=BatchId("b"), lane=LaneId(1), phase="submitted", members=4, submitted_at=NOW - 50
)
OUT, ERR = FileId("file-out"), FileId("file-err")
FULL = RemoteError("token_limit_exceeded", "Enqueued token limit reached for m in organization o.")
QUEUE = RemoteError("odd_code", "Enqueued request limit reached for m in organization o.")
NO_FILE = RemoteError("invalid_request", "Cannot find file file-1, or organization …", param="f")
LINE_1 = RemoteError("missing_required_parameter", "Missing 'messages'.", 1, "body.messages")
LINE_3 = RemoteError("model_not_found", "No model 'x'.", 3, "body.model")
BILLING = RemoteError("billing_hard_limit_reached", "Billing hard limit has been reached.")


def remote(status: RemoteStatus, **more: object) -> RemoteBatch:
    values: dict[str, object] = {"counts": RequestCounts(4, 0, 0), "metadata": {}, **more}
    return RemoteBatch(id=RemoteId("r"), status=status, created_at=1.0, **values)  # type: ignore[arg-type]


def look(found: RemoteBatch, record: BatchRecord = RECORD) -> BatchObserved:
    seen = observe(record, found, NOW, PACE)
    assert isinstance(seen, BatchObserved)
    return seen


@pytest.mark.parametrize(
    "status", ["validating", "in_progress", "finalizing", "cancelling", "unknown"]
)
def test_a_batch_that_is_not_terminal_has_not_ended(status: RemoteStatus) -> None:
    """Even when files are named already: only the status ends a batch."""
    seen = look(remote(status, output_file_id=OUT))
    assert (seen.ended, seen.status) == (False, status)
    assert seen.next_at > NOW


def test_an_unknown_status_is_told() -> None:
    assert "does not know" in (look(remote("unknown")).note or "")
    assert look(remote("in_progress")).note is None


@pytest.mark.parametrize("status", ["completed", "expired", "cancelled"])
@pytest.mark.parametrize(
    ("counts", "files"),
    [
        ((4, 4, 0), (OUT, None)),
        ((4, 3, 1), (OUT, ERR)),
        ((4, 0, 4), (None, ERR)),
        ((0, 0, 0), (OUT, None)),
        ((0, 0, 0), (None, ERR)),
    ],
)
def test_a_terminal_batch_with_its_files_has_ended(
    status: RemoteStatus, counts: tuple[int, int, int], files: tuple[FileId | None, FileId | None]
) -> None:
    """Counts may lag behind; files that are named can be read."""
    found = remote(
        status, counts=RequestCounts(*counts), output_file_id=files[0], error_file_id=files[1]
    )
    seen = look(found)
    assert (seen.ended, seen.next_at) == (True, NOW)
    assert (seen.output_file_id, seen.error_file_id) == files


@pytest.mark.parametrize("status", ["completed", "expired", "cancelled"])
@pytest.mark.parametrize(
    ("counts", "files"),
    [((4, 4, 0), (None, None)), ((4, 3, 1), (None, ERR)), ((4, 3, 1), (OUT, None))],
    ids=["no file yet", "no output yet", "no errors yet"],
)
def test_files_that_must_come_are_waited_for(
    status: RemoteStatus, counts: tuple[int, int, int], files: tuple[FileId | None, FileId | None]
) -> None:
    """Rows that ran would otherwise count as never run, and be paid twice."""
    found = remote(
        status, counts=RequestCounts(*counts), output_file_id=files[0], error_file_id=files[1]
    )
    assert look(found).ended is False
    assert look(found, replace(RECORD, ended_at=NOW - 119)).ended is False
    assert look(found, replace(RECORD, ended_at=NOW - 120)).ended is True, "not for ever"


@pytest.mark.parametrize("status", ["expired", "cancelled"])
def test_a_batch_that_ended_before_anything_ran_needs_no_files(status: RemoteStatus) -> None:
    assert look(remote(status, counts=RequestCounts(4, 0, 0))).ended is True


def test_a_completed_batch_without_any_file_is_looked_at_again() -> None:
    """Counts can lag, so that zero is no promise."""
    found = remote("completed", counts=RequestCounts())
    assert look(found).ended is False
    assert look(found, replace(RECORD, ended_at=NOW - 500)).ended is True


def test_waits_lengthen_with_the_age_of_a_batch() -> None:
    young = look(remote("in_progress"), replace(RECORD, submitted_at=NOW)).next_at - NOW
    old = look(remote("in_progress"), replace(RECORD, submitted_at=1.0)).next_at - NOW
    assert 10 <= young <= 12
    assert 100 <= old <= 120


@pytest.mark.parametrize("errors", [(FULL,), (QUEUE,), (NO_FILE,), (FULL, QUEUE)])
def test_a_refusal_in_passing_sends_the_whole_batch_again_later(
    errors: tuple[RemoteError, ...],
) -> None:
    seen = observe(RECORD, remote("failed", errors=errors), NOW, PACE)
    assert isinstance(seen, BatchRejected)
    assert seen.hold_lane_until > NOW
    assert errors[0].message in seen.reason


def test_holds_in_a_row_lengthen() -> None:
    waits = []
    for holds in range(5):
        seen = observe(RECORD, remote("failed", errors=(FULL,)), NOW, PACE, holds)
        assert isinstance(seen, BatchRejected)
        waits.append(seen.hold_lane_until)
    assert waits == sorted(waits)
    assert waits[0] < waits[-1] <= NOW + 120


def test_a_file_that_is_never_found_is_a_matter_for_a_person() -> None:
    """Every try uploads it anew; a provider that keeps losing files will not find the next."""
    seen = observe(RECORD, remote("failed", errors=(NO_FILE,)), NOW, PACE, holds=50)
    assert isinstance(seen, Stopped)
    full = observe(RECORD, remote("failed", errors=(FULL,)), NOW, PACE, holds=50)
    assert isinstance(full, BatchRejected), "a full queue empties some day"


@pytest.mark.parametrize(
    ("members", "holds", "alone", "stopped"),
    [(1, 5, True, True), (1, 4, True, False), (1, 50, False, False), (2, 50, True, False)],
    ids=["too large", "not often enough", "others may make room", "can be halved"],
)
def test_one_request_that_is_too_large_for_the_queue_is_a_matter_for_a_person(
    members: int, holds: int, alone: bool, stopped: bool
) -> None:
    """Nothing can be cut from it, so that it would be refused for ever."""
    record = replace(RECORD, members=members)
    seen = observe(record, remote("failed", errors=(FULL,)), NOW, PACE, holds, alone=alone)
    assert isinstance(seen, Stopped) == stopped
    reason = seen.event.reason if isinstance(seen, Stopped) else getattr(seen, "reason", "")
    assert FULL.message in reason


@pytest.mark.parametrize(
    "results",
    [
        {"output_file_id": OUT},
        {"error_file_id": ERR},
        {"output_file_id": OUT, "error_file_id": ERR},
    ],
)
def test_a_failed_batch_with_results_has_ended(results: dict[str, FileId]) -> None:
    """What ran is paid, whatever the status says."""
    seen = look(remote("failed", errors=(BILLING,), **results))
    assert (seen.ended, seen.note) == (True, describe((BILLING,)))


def test_the_results_of_a_failed_batch_that_answered_are_waited_for() -> None:
    found = remote("failed", errors=(BILLING,), counts=RequestCounts(4, 2, 0))
    assert look(found).ended is False
    assert look(found, replace(RECORD, ended_at=NOW - 120)).ended is True, "not for ever"


def test_bad_lines_are_final_and_the_rest_goes_again() -> None:
    seen = observe(RECORD, remote("failed", errors=(LINE_1, LINE_3)), NOW, PACE)
    assert isinstance(seen, RejectedLines)
    assert seen.lines == {
        1: "missing_required_parameter: Missing 'messages'.",
        3: "model_not_found: No model 'x'.",
    }
    assert seen.event.hold_lane_until == 0.0


@pytest.mark.parametrize(
    "errors",
    [
        (),
        (BILLING,),
        (BILLING, LINE_1),
        (FULL, LINE_1),
        (FULL, BILLING),
        (replace(LINE_1, line=0),),
        (replace(LINE_1, line=5),),
    ],
    ids=[
        "no reason", "billing", "billing and a line", "queue and a line", "queue and billing",
        "line 0", "a line after the last",
    ],
)  # fmt: skip
def test_anything_else_stops_and_is_told(errors: tuple[RemoteError, ...]) -> None:
    """Sending the same batch again would fail the same way, for ever."""
    seen = observe(RECORD, remote("failed", errors=errors), NOW, PACE)
    assert isinstance(seen, Stopped)
    assert seen.event.reason == describe(errors)


def test_validation_errors_are_told_in_one_line() -> None:
    assert describe(()) == "the provider gave no reason"
    text = describe((LINE_1, LINE_3, BILLING, BILLING, BILLING))
    assert text.startswith("missing_required_parameter: Missing 'messages'. (line 1); ")
    assert text.endswith("… and 2 more")
    assert describe((BILLING,)) == f"{BILLING.code}: {BILLING.message}"


def test_the_oldest_of_two_batches_with_one_token_is_kept() -> None:
    first = replace(remote("validating"), id=RemoteId("z"))
    twin = replace(first, id=RemoteId("y"))
    later = replace(first, created_at=2.0, id=RemoteId("a"))
    assert [b.id for b in oldest([later, first, twin])] == ["y", "z", "a"]


@pytest.mark.parametrize(
    ("before", "done", "failed", "status", "wait"),
    [
        (0, 0, 0, "in_progress", 90),  # a tenth of its age: nothing is known
        (0, 500, 0, "in_progress", 90),  # far from the end
        (800, 950, 0, "in_progress", 900 * 50 / 950),
        (800, 800, 150, "in_progress", 900 * 50 / 950),
        (950, 999, 0, "in_progress", 10),  # never more often than this
        (950, 1000, 0, "finalizing", 10),
        (999, 999, 0, "in_progress", 90),  # the last request hangs
    ],
)
def test_the_end_is_looked_for_sooner_where_progress_says_so(
    before: int, done: int, failed: int, status: RemoteStatus, wait: float
) -> None:
    record = replace(
        RECORD,
        members=1000,
        submitted_at=NOW - 900,
        status="in_progress",
        counts=RequestCounts(1000, before, 0),
        id=BatchId(""),
    )
    seen = look(remote(status, counts=RequestCounts(1000, done, failed)), record)
    assert seen.next_at - NOW == pytest.approx(wait)
