"""Putting requests together into a batch: the statements."""

import json
import sqlite3

from batchspec.errors import StateError
from batchspec.state.events import BatchIntended
from batchspec.state.machine import conversation_phase
from batchspec.store import holding
from batchspec.store.accounts import BOUND

_BATCH = (
    "INSERT INTO batches (id, lane, phase, members, bytes, jobs, intended_at, next_at, via, "  # noqa: S608 - constants
    f"traceparent, account) VALUES (?1, ?2, 'intended', ?3, ?4, ?5, ?6, ?6, ?7, ?8, {BOUND})"
)
_MEMBERS = (
    "UPDATE conversations SET phase = ?, batch = ? WHERE lane = ? AND phase = 'pending' "
    "AND job = ? AND id BETWEEN ? AND ? AND ready_at <= ?"
)

_DATA = (
    "UPDATE batches SET data = (SELECT COALESCE(SUM(c.data), 0) FROM conversations c "
    "WHERE c.phase = 'batched' AND c.batch = number) WHERE number = ?"
)


def intend(db: sqlite3.Connection, event: BatchIntended) -> None:
    """Record a batch and make its requests members; set-based, inside a transaction.

    Raises:
        StateError: They are not what they were when the batch was put together.
    """
    jobs = {_address(db, part.job): part.members for part in event.parts}
    values = (event.id, event.lane, event.members, event.bytes, json.dumps(jobs), event.at)
    number = db.execute(_BATCH, (*values, event.via, event.traceparent)).lastrowid
    phase = conversation_phase("pending", "Batched")
    changed = 0
    for part in event.parts:
        where = (event.lane, part.job, part.first, part.last, event.at)
        changed += db.execute(_MEMBERS, (phase, number, *where)).rowcount
    db.execute(_DATA, (number,))
    if changed != event.members:
        raise StateError(
            f"A batch was to have {event.members} members, {changed} were found; "
            "nothing was recorded. Run the command again."
        )
    holding.tried(db, event.lane)


def _address(db: sqlite3.Connection, job: int) -> str:
    return str(db.execute("SELECT address FROM jobs WHERE id = ?", (job,)).fetchone()[0])
