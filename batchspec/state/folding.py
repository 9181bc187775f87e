"""The journal as an oracle: folding its events gives the batches as they are recorded."""

from collections.abc import Iterable
from dataclasses import fields
from typing import get_args

from batchspec.ids import BatchId
from batchspec.state.events import BatchDoubled, BatchEvent, BatchImported, BatchIntended, Event
from batchspec.state.machine import IllegalTransition, evolve
from batchspec.state.records import BatchRecord

_UNTOLD = frozenset({"jobs", "account", "data"})
"""Fields that no event of a batch tells: addresses may be moved, accounts are bound by provider,
and what is prompt is an estimate."""
_UNTOLD_OF_IMPORTED = _UNTOLD | {"bytes"}
_FIELDS = [field.name for field in fields(BatchRecord)]
_EVENTS: tuple[type[BatchEvent], ...] = get_args(BatchEvent)


def begun(event: Event) -> BatchRecord | None:
    """Return a batch as an event made it, or None when the event makes none."""
    match event:
        case BatchIntended():
            if not event.parts:
                return None  # of schema 1, whose events meant other times to look again
            return BatchRecord(
                id=event.id,
                lane=event.lane,
                members=event.members,
                bytes=event.bytes,
                intended_at=event.at,
                next_at=event.at,
                via=event.via,
                traceparent=event.traceparent,
            )
        case BatchImported():
            return BatchRecord(
                id=event.id,
                lane=event.lane,
                phase="submitted",
                members=event.members,
                intended_at=event.at,
                next_at=event.at,
                remote_id=event.remote_id,
                status=event.status,
                submitted_at=event.submitted_at,
                imported=True,
            )
        case BatchDoubled():
            return BatchRecord(
                id=event.id,
                lane=event.lane,
                phase="submitted",
                intended_at=event.at,
                input_file_id=event.input_file_id,
                remote_id=event.remote_id,
                status=event.status,
                submitted_at=event.at,
                next_at=event.at,
                cancel_at=event.at,
                cancel_reason="double",
                double_of=event.of,
            )
        case _:
            return None


def folded(events: Iterable[Event]) -> tuple[dict[BatchId, BatchRecord], list[str]]:
    """Return the batches that some events lead to, and what does not fit together.

    Args:
        events: In the order of the journal; those that are not about batches are passed over.
    """
    batches: dict[BatchId, BatchRecord] = {}
    problems: list[str] = []
    for event in events:
        made = begun(event)
        if made is not None:
            batches[made.id] = made
        elif isinstance(event, _EVENTS) and event.id in batches:
            try:
                batches[event.id] = evolve(batches[event.id], event)
            except IllegalTransition as error:
                problems.append(f"the journal has a step that is not possible: {error}")
    return batches, problems


def differences(told: BatchRecord, recorded: BatchRecord) -> list[str]:
    """Return the fields in which a batch differs from what the journal tells, with both values."""
    untold = _UNTOLD_OF_IMPORTED if told.imported else _UNTOLD
    return [
        f"{name} is {getattr(recorded, name)!r}, the journal says {getattr(told, name)!r}"
        for name in _FIELDS
        if name not in untold and getattr(told, name) != getattr(recorded, name)
    ]
