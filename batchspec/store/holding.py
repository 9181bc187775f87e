"""Lanes that wait, and what was learned of them: the statements."""

import sqlite3

from batchspec.ids import LaneId
from batchspec.state.events import BatchRejected, RequestsDeclined
from batchspec.state.machine import conversation_phase
from batchspec.state.resumption import TURN

_SAME_MODEL = (
    "(provider, model) = (SELECT provider, model FROM lanes WHERE id = :lane)"  # over endpoints
)


def hold(db: sqlite3.Connection, lane: LaneId, event: BatchRejected) -> None:
    """Let a lane wait after its batch was refused; where the queue is full, those of its model."""
    values = {
        "lane": lane,
        "until": event.hold_lane_until,
        "reason": event.reason,
        "kind": event.hold,
    }
    db.execute(
        "UPDATE lanes SET hold_until = :until, hold_reason = :reason, holds = holds + 1, "
        "hold_kind = coalesce(:kind, hold_kind) WHERE id = :lane",
        values,
    )
    if event.hold == "full":
        db.execute(
            "UPDATE lanes SET hold_until = :until, hold_reason = :reason, hold_kind = :kind "  # noqa: S608 - constants
            f"WHERE id <> :lane AND {_SAME_MODEL}",
            values,
        )


def ended(db: sqlite3.Connection, lane: LaneId) -> None:
    """Note that a batch ended, which made room in the queue of its model."""
    db.execute(
        "UPDATE lanes SET hold_kind = 'probe', hold_until = 0, hold_reason = NULL "  # noqa: S608 - constants
        f"WHERE hold_kind = 'full' AND {_SAME_MODEL}",
        {"lane": lane},
    )


def tried(db: sqlite3.Connection, lane: LaneId) -> None:
    """Note that a batch was put together: after a full queue it shows whether there is room now."""
    db.execute(
        "UPDATE lanes SET hold_kind = CASE WHEN EXISTS (SELECT 1 FROM conversations "
        "WHERE lane = lanes.id AND phase = 'pending') THEN 'probe' END "
        "WHERE id = ? AND hold_kind IS NOT NULL",
        (lane,),
    )


def learn_max_bytes(db: sqlite3.Connection, lane: LaneId, size: int) -> None:
    """Note the size above which input files of a lane are refused."""
    db.execute(
        "UPDATE lanes SET max_bytes = min(coalesce(max_bytes, :size), :size) WHERE id = :lane",
        {"lane": lane, "size": size},
    )


def decline(db: sqlite3.Connection, event: RequestsDeclined) -> None:
    """End what can be sent in a lane as failed."""
    db.execute(
        "UPDATE conversations SET phase = ?, outcome = 'failed', reason = ?, "
        "resumable = ? * (turn > 1) WHERE lane = ? AND phase = 'pending' AND ready_at <= ?",
        (conversation_phase("pending", "Declined"), event.reason, TURN, event.lane, event.at),
    )
