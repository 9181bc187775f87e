"""The only place where a phase changes: two tables, and `evolve`, which reads them.

An event that is not in the table for the phase raises `IllegalTransition`; the diagram in
`docs/architecture.md` is generated from the tables (`state_diagram`).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, assert_never

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
from batchspec.state.records import TERMINAL, BatchPhase, BatchRecord, ConversationPhase

BATCH_TRANSITIONS: Mapping[tuple[BatchPhase, str], BatchPhase] = {
    ("intended", "UploadAttempted"): "intended",
    ("intended", "InputUploaded"): "intended",
    ("intended", "CreateAttempted"): "intended",
    ("intended", "CallFailed"): "intended",
    ("intended", "BatchNotSeen"): "intended",
    ("intended", "BatchAbsent"): "intended",
    ("intended", "BatchSubmitted"): "submitted",
    ("intended", "CancelWanted"): "intended",
    ("intended", "CancelDropped"): "intended",
    ("intended", "BatchRejected"): "rejected",
    ("submitted", "BatchObserved"): "submitted",
    ("submitted", "BatchObserved:ended"): "ended",
    ("submitted", "CallFailed"): "submitted",
    ("submitted", "CancelWanted"): "submitted",
    ("submitted", "CancelDropped"): "submitted",
    ("submitted", "CancelTaken"): "submitted",
    ("submitted", "BatchLost"): "lost",
    ("submitted", "BatchRejected"): "rejected",
    ("ended", "CallFailed"): "ended",
    ("ended", "BatchObserved"): "ended",
    ("ended", "BatchObserved:ended"): "ended",
    ("ended", "BatchCollected"): "collected",
    ("ended", "BatchRejected"): "rejected",
    ("ended", "BatchLost"): "lost",
    ("collected", "InputDeleted"): "collected",
    ("collected", "InputKept"): "collected",
    ("collected", "ResultsDeleted"): "collected",
    ("rejected", "InputDeleted"): "rejected",
    ("rejected", "InputKept"): "rejected",
    ("lost", "InputDeleted"): "lost",
    ("lost", "InputKept"): "lost",
}

ConversationEvent = Literal[
    "Batched",
    "Returned",
    "Answered",
    "ToolsCalled",
    "Continued",
    "Abandoned",
    "Declined",
    "Reopened",
    "Resumed",
    "Rejudged",
]
"""Batched: became a member · Returned: its batch gave no answer, send the turn again · Answered:
has its outcome · ToolsCalled: the model asked for tools · Continued: the next turn is ready ·
Abandoned: no item wants it any more · Declined: too few for a batch · Reopened: its first request
or that of its turn is to be sent, by a plan · Resumed: it goes on from its last reply, by a plan ·
Rejudged: its reply was judged again because what runs on this machine changed."""

CONVERSATION_TRANSITIONS: Mapping[
    tuple[ConversationPhase, ConversationEvent], ConversationPhase
] = {
    ("pending", "Batched"): "batched",
    ("pending", "Abandoned"): "final",
    ("pending", "Declined"): "final",
    ("batched", "Returned"): "pending",
    ("batched", "Answered"): "final",
    ("batched", "ToolsCalled"): "tools",
    ("batched", "Continued"): "pending",
    ("tools", "ToolsCalled"): "tools",
    ("tools", "Continued"): "pending",
    ("tools", "Answered"): "final",
    ("tools", "Abandoned"): "final",
    ("final", "Reopened"): "pending",
    ("final", "Resumed"): "tools",
    ("final", "Rejudged"): "final",
}


class IllegalTransition(Exception):  # noqa: N818 - reads as what happened
    """An event does not fit the phase; a bug of ours, never of the user's."""

    def __init__(self, event: str, phase: str, address: str) -> None:
        super().__init__(f"{event} does not fit phase {phase!r} of {address}")


def batch_phase(record: BatchRecord, event: BatchEvent) -> BatchPhase:
    """Return the phase a batch has after an event.

    Raises:
        IllegalTransition: The table has no such row.
    """
    name = type(event).__name__
    if isinstance(event, BatchObserved) and event.ended:
        name += ":ended"
    try:
        return BATCH_TRANSITIONS[record.phase, name]
    except KeyError:
        raise IllegalTransition(name, record.phase, f"batch {record.id}") from None


def conversation_phase(
    phase: ConversationPhase, event: ConversationEvent, address: str = "conversations"
) -> ConversationPhase:
    """Return the phase a conversation has after an event.

    Raises:
        IllegalTransition: The table has no such row.
    """
    try:
        return CONVERSATION_TRANSITIONS[phase, event]
    except KeyError:
        raise IllegalTransition(event, phase, address) from None


def phases_before(event: ConversationEvent) -> tuple[ConversationPhase, ...]:
    """Return the phases in which an event may happen, for updates of many rows at once."""
    return tuple(phase for phase, name in CONVERSATION_TRANSITIONS if name == event)


def evolve(record: BatchRecord, event: BatchEvent) -> BatchRecord:  # noqa: PLR0911 - one per event
    """Return a batch as it is after an event.

    Raises:
        IllegalTransition: The event does not fit the phase.
    """
    after = replace(record, phase=batch_phase(record, event))
    match event:
        case BatchObserved():
            return _observed(after, event)
        case CallFailed() | InputKept():
            return replace(
                after, next_at=event.next_at, failures=record.failures + 1, note=event.reason
            )
        case CancelWanted() | CancelDropped() | CancelTaken():
            return _stopping(after, event)
        case BatchRejected() | BatchLost():
            # Its input file is deleted from here on, with tries of its own.
            return replace(
                after, note=event.reason, ended_at=event.at, next_at=event.at, failures=0
            )
        case BatchCollected():
            return replace(after, failures=0, next_at=event.at, unread=event.unread)
        case InputDeleted():
            return replace(after, tidied_at=event.at, failures=0)
        case ResultsDeleted():
            return replace(after, purged_at=event.at)
        case _:
            return _begun(after, event)


def _begun(
    record: BatchRecord,
    event: UploadAttempted
    | InputUploaded
    | CreateAttempted
    | BatchNotSeen
    | BatchAbsent
    | BatchSubmitted,
) -> BatchRecord:
    match event:
        case UploadAttempted():
            return replace(record, uploads=record.uploads + 1)
        case InputUploaded():
            return replace(record, input_file_id=event.file, failures=0, note=None)
        case CreateAttempted():
            return replace(record, create_at=event.at, looked_at=None, creates=record.creates + 1)
        case BatchNotSeen():
            looked_at = event.at if record.looked_at is None else record.looked_at
            return replace(record, looked_at=looked_at, next_at=event.next_at, failures=0)
        case BatchAbsent():
            after = replace(record, create_at=None, next_at=event.next_at, note=event.reason)
            # A file that was given up is not to be found again by its name.
            return after if event.keep_file else replace(after, input_file_id=None, uploads=0)
        case BatchSubmitted():
            return replace(
                record,
                remote_id=event.remote_id,
                status=event.status,
                input_file_id=event.input_file_id or record.input_file_id,
                submitted_at=event.at,
                next_at=event.at if record.cancel_at is not None else event.next_at,
                failures=0,
                note=None,
            )
    assert_never(event)


def _stopping(
    record: BatchRecord, event: CancelWanted | CancelDropped | CancelTaken
) -> BatchRecord:
    match event:
        case CancelWanted():
            # A create without an answer is looked for when its time has come, not earlier.
            sure = record.phase == "submitted" or record.create_at is None
            next_at = event.at if sure else record.next_at
            return replace(
                record, cancel_at=event.at, cancel_reason=event.reason, next_at=next_at, failures=0
            )
        case CancelDropped():
            return replace(record, cancel_at=None, cancel_reason=None)
        case CancelTaken():
            return replace(
                record,
                cancelled_at=event.at,
                status=event.status,
                next_at=event.next_at,
                failures=0,
                note=None,
            )
    assert_never(event)


def _observed(record: BatchRecord, event: BatchObserved) -> BatchRecord:
    return replace(
        record,
        status=event.status,
        counts=event.counts,
        output_file_id=event.output_file_id,
        error_file_id=event.error_file_id,
        ended_at=record.ended_at or (event.at if event.status in TERMINAL else None),
        next_at=event.next_at,
        failures=0,
        note=event.note,
    )


def state_diagram() -> str:
    """Return both machines as Mermaid text."""
    lines = ["stateDiagram-v2"]
    for title, table in (("batch", BATCH_TRANSITIONS), ("conversation", CONVERSATION_TRANSITIONS)):
        lines.append(f"  state {title} {{")
        lines += [
            f"    {title}_{old} --> {title}_{new}: {event}" for (old, event), new in table.items()
        ]
        lines.append("  }")
    return "\n".join(lines)
