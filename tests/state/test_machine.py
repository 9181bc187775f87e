"""The tables are the truth; everything else about phases is checked against them."""

from dataclasses import replace
from itertools import product
from typing import get_args

import pytest

from batchspec.ids import BatchId, FileId, LaneId, RemoteId
from batchspec.state.events import (
    BatchAbsent,
    BatchCollected,
    BatchEvent,
    BatchLost,
    BatchNotSeen,
    BatchObserved,
    BatchRejected,
    BatchSubmitted,
    CallFailed,
    CancelDropped,
    CancelTaken,
    CancelWanted,
    CreateAttempted,
    InputDeleted,
    InputKept,
    InputUploaded,
    ResultsDeleted,
    UploadAttempted,
)
from batchspec.state.machine import (
    BATCH_TRANSITIONS,
    CONVERSATION_TRANSITIONS,
    ConversationEvent,
    IllegalTransition,
    batch_phase,
    conversation_phase,
    evolve,
    phases_before,
    state_diagram,
)
from batchspec.state.records import (
    BatchPhase,
    BatchRecord,
    ConversationPhase,
    RemoteStatus,
    RequestCounts,
)

ID = BatchId("b1")
FILE = FileId("file-in")


def observed(*, ended: bool, **more: object) -> BatchObserved:
    values: dict[str, object] = {
        "id": ID,
        "status": "completed" if ended else "in_progress",
        "counts": RequestCounts(3, 2, 1),
        "output_file_id": FileId("file-out") if ended else None,
        "error_file_id": None,
        "ended": ended,
        "at": 50.0,
        "next_at": 65.0,
    }
    return BatchObserved(**{**values, **more})  # type: ignore[arg-type]


EVENTS: dict[str, BatchEvent] = {
    "UploadAttempted": UploadAttempted(id=ID, at=5.0),
    "InputUploaded": InputUploaded(id=ID, file=FILE, at=10.0),
    "CreateAttempted": CreateAttempted(id=ID, at=20.0),
    "CallFailed": CallFailed(id=ID, at=30.0, next_at=35.0, reason="HTTP 500"),
    "BatchNotSeen": BatchNotSeen(id=ID, at=25.0, next_at=28.0),
    "BatchAbsent": BatchAbsent(id=ID, at=30.0, next_at=33.0, reason="HTTP 429"),
    "BatchSubmitted": BatchSubmitted(
        id=ID, remote_id=RemoteId("batch_1"), status="validating", at=40.0, next_at=55.0
    ),
    "BatchRejected": BatchRejected(id=ID, at=60.0, reason="no"),
    "BatchObserved": observed(ended=False),
    "BatchObserved:ended": observed(ended=True),
    "BatchCollected": BatchCollected(id=ID, at=70.0, final=1, tools=1, pending=1, unmatched=0),
    "CancelWanted": CancelWanted(id=ID, at=45.0, reason="unwanted"),
    "CancelDropped": CancelDropped(id=ID, at=46.0),
    "CancelTaken": CancelTaken(id=ID, status="cancelling", at=47.0, next_at=62.0),
    "BatchLost": BatchLost(id=ID, at=75.0, reason="HTTP 404"),
    "InputDeleted": InputDeleted(id=ID, at=80.0),
    "ResultsDeleted": ResultsDeleted(id=ID, at=85.0),
    "InputKept": InputKept(id=ID, at=80.0, next_at=81.0, reason="HTTP 500"),
}
PHASES: tuple[BatchPhase, ...] = get_args(BatchPhase)
CONVERSATION_PHASES: tuple[ConversationPhase, ...] = get_args(ConversationPhase)
CONVERSATION_EVENTS: tuple[ConversationEvent, ...] = get_args(ConversationEvent)


def record(phase: BatchPhase = "intended") -> BatchRecord:
    return BatchRecord(id=ID, lane=LaneId(1), phase=phase, members=3)


@pytest.mark.parametrize(("phase", "event"), BATCH_TRANSITIONS)
def test_a_legal_event_moves_a_batch_as_the_table_says(phase: BatchPhase, event: str) -> None:
    assert evolve(record(phase), EVENTS[event]).phase == BATCH_TRANSITIONS[phase, event]


@pytest.mark.parametrize(
    ("phase", "event"), sorted(set(product(PHASES, EVENTS)) - set(BATCH_TRANSITIONS))
)
def test_an_illegal_event_names_event_phase_and_batch(phase: BatchPhase, event: str) -> None:
    with pytest.raises(IllegalTransition) as raised:
        evolve(record(phase), EVENTS[event])
    assert str(raised.value) == f"{event} does not fit phase {phase!r} of batch {ID}"


def test_every_event_has_a_transition_and_every_phase_is_reached() -> None:
    """A word nobody uses is a mistake in the table."""
    assert {event for _, event in BATCH_TRANSITIONS} == set(EVENTS)
    assert {event for _, event in CONVERSATION_TRANSITIONS} == set(CONVERSATION_EVENTS)
    assert {*BATCH_TRANSITIONS.values(), "intended"} == set(PHASES)
    assert set(CONVERSATION_TRANSITIONS.values()) == set(CONVERSATION_PHASES)


@pytest.mark.parametrize("phase", ["collected", "rejected", "lost"])
def test_only_its_files_are_left_of_a_batch_in_its_last_phases(phase: BatchPhase) -> None:
    after = {(event, to) for (before, event), to in BATCH_TRANSITIONS.items() if before == phase}
    results = {("ResultsDeleted", phase)} if phase == "collected" else set[tuple[str, BatchPhase]]()
    assert after == {("InputDeleted", phase), ("InputKept", phase)} | results


@pytest.mark.parametrize(("phase", "event"), CONVERSATION_TRANSITIONS)
def test_a_legal_event_moves_a_conversation_as_the_table_says(
    phase: ConversationPhase, event: ConversationEvent
) -> None:
    assert conversation_phase(phase, event) == CONVERSATION_TRANSITIONS[phase, event]
    assert phase in phases_before(event)


@pytest.mark.parametrize(
    ("phase", "event"),
    sorted(set(product(CONVERSATION_PHASES, CONVERSATION_EVENTS)) - set(CONVERSATION_TRANSITIONS)),
)
def test_an_illegal_event_names_event_phase_and_conversation(
    phase: ConversationPhase, event: ConversationEvent
) -> None:
    with pytest.raises(IllegalTransition, match=rf"{event} does not fit phase '{phase}' of c 7"):
        conversation_phase(phase, event, "c 7")
    assert phase not in phases_before(event)


def test_an_upload_is_remembered_and_ends_a_row_of_errors() -> None:
    after = evolve(replace(record(), failures=2, note="HTTP 500"), EVENTS["InputUploaded"])
    assert (after.input_file_id, after.failures, after.note) == (FILE, 0, None)


def test_a_create_is_noted_before_its_answer_is_known() -> None:
    after = evolve(evolve(record(), EVENTS["CreateAttempted"]), EVENTS["CreateAttempted"])
    assert (after.create_at, after.creates, after.remote_id) == (20.0, 2, None)


@pytest.mark.parametrize(("keep", "file"), [(True, FILE), (False, None)])
def test_an_absent_batch_may_be_created_again(*, keep: bool, file: FileId | None) -> None:
    """The file is kept unless it is to be uploaded anew."""
    before = replace(record(), create_at=20.0, creates=1, input_file_id=FILE)
    event = BatchAbsent(id=ID, at=30.0, next_at=33.0, reason="HTTP 429", keep_file=keep)
    after = evolve(before, event)
    assert (after.create_at, after.input_file_id) == (None, file)
    assert (after.creates, after.next_at, after.note) == (1, 33.0, "HTTP 429")


def test_a_submitted_batch_has_its_remote_id_and_a_time_to_look() -> None:
    after = evolve(replace(record(), failures=3, note="x"), EVENTS["BatchSubmitted"])
    assert (after.remote_id, after.status, after.submitted_at) == ("batch_1", "validating", 40.0)
    assert (after.next_at, after.failures, after.note) == (55.0, 0, None)


def test_a_failed_call_counts_and_tells_why() -> None:
    after = evolve(replace(record("submitted"), failures=1), EVENTS["CallFailed"])
    assert (after.failures, after.next_at, after.note) == (2, 35.0, "HTTP 500")


def test_the_first_terminal_look_says_when_a_batch_ended() -> None:
    """A later look does not move that time, though it may bring the file ids."""
    first = evolve(record("submitted"), observed(ended=False, status="completed", at=50.0))
    again = evolve(first, observed(ended=True, at=99.0))
    assert (first.phase, first.ended_at) == ("submitted", 50.0)
    assert (again.phase, again.ended_at, again.output_file_id) == ("ended", 50.0, "file-out")


def test_a_look_at_a_running_batch_has_no_end() -> None:
    after = evolve(record("submitted"), observed(ended=False, note="odd status"))
    assert (after.ended_at, after.counts, after.note) == (
        None,
        RequestCounts(3, 2, 1),
        "odd status",
    )


def test_a_rejected_batch_tells_why_and_when() -> None:
    after = evolve(record("submitted"), EVENTS["BatchRejected"])
    assert (after.note, after.ended_at) == ("no", 60.0)


def test_uploads_are_counted_before_they_are_made() -> None:
    after = evolve(evolve(record(), EVENTS["UploadAttempted"]), EVENTS["UploadAttempted"])
    assert (after.uploads, after.input_file_id) == (2, None)


def test_a_file_that_was_given_up_is_not_looked_for_again() -> None:
    before = replace(record(), input_file_id=FILE, uploads=1)
    event = BatchAbsent(id=ID, at=30.0, next_at=33.0, keep_file=False)
    assert evolve(before, event).uploads == 0


def test_a_cancellation_is_due_at_once_unless_the_batch_may_or_may_not_exist() -> None:
    waiting = replace(record("submitted"), next_at=900.0, failures=3)
    after = evolve(waiting, EVENTS["CancelWanted"])
    assert (after.cancel_at, after.cancel_reason, after.next_at) == (45.0, "unwanted", 45.0)
    assert (after.to_cancel, after.failures) == (True, 0)
    unknown = replace(record(), create_at=20.0, next_at=900.0)
    assert evolve(unknown, EVENTS["CancelWanted"]).next_at == 900.0


def test_a_batch_to_be_cancelled_is_looked_at_as_soon_as_it_is_found() -> None:
    unknown = evolve(replace(record(), create_at=20.0), EVENTS["CancelWanted"])
    assert evolve(unknown, EVENTS["BatchSubmitted"]).next_at == 40.0


@pytest.mark.parametrize(
    ("status", "expected"),
    [("in_progress", True), (None, True), ("unknown", True), ("cancelling", False),
     ("completed", False), ("failed", False), ("expired", False), ("cancelled", False)],
)  # fmt: skip
def test_what_has_stopped_or_is_stopping_is_not_cancelled(
    status: RemoteStatus | None, *, expected: bool
) -> None:
    before = replace(record("submitted"), status=status)
    assert evolve(before, EVENTS["CancelWanted"]).to_cancel is expected


def test_a_cancellation_is_asked_for_once() -> None:
    wanted = evolve(record("submitted"), EVENTS["CancelWanted"])
    taken = evolve(wanted, EVENTS["CancelTaken"])
    assert (taken.to_cancel, taken.cancelled_at, taken.next_at) == (False, 47.0, 62.0)
    assert (taken.cancel_at, taken.status) == (45.0, "cancelling")


def test_a_batch_that_is_wanted_again_is_as_it_was() -> None:
    before = replace(record("submitted"), next_at=45.0)
    assert evolve(evolve(before, EVENTS["CancelWanted"]), EVENTS["CancelDropped"]) == before


def test_deleting_its_input_has_tries_of_its_own() -> None:
    ended = evolve(replace(record("ended"), failures=4, next_at=900.0), EVENTS["BatchCollected"])
    kept = evolve(ended, EVENTS["InputKept"])
    assert (ended.failures, ended.next_at, ended.tidied_at) == (0, 70.0, None)
    assert (kept.failures, kept.next_at, kept.tidied_at) == (1, 81.0, None)
    assert evolve(kept, EVENTS["InputDeleted"]).tidied_at == 80.0


def test_evolve_returns_a_new_record() -> None:
    before = record()
    evolve(before, EVENTS["CreateAttempted"])
    assert before == record()


def test_a_batch_s_phase_alone_can_be_asked_for() -> None:
    assert batch_phase(record("ended"), EVENTS["BatchCollected"]) == "collected"


def test_the_diagram_has_a_line_for_every_transition() -> None:
    lines = state_diagram().splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert "    batch_ended --> batch_collected: BatchCollected" in lines
    assert "    conversation_tools --> conversation_pending: Continued" in lines
    arrows = [line for line in lines if "-->" in line]
    assert len(arrows) == len(BATCH_TRANSITIONS) + len(CONVERSATION_TRANSITIONS)
