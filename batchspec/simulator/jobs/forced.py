"""Ending a batch by hand, in the ways in which it could end by itself."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from batchspec.simulator.jobs.engine import Engine
from batchspec.simulator.jobs.records import BatchError, BatchRecord, Status

Ending = Literal["completed", "failed", "expired", "cancelled"]

_FROM: dict[Ending, frozenset[Status]] = {
    "completed": frozenset({"validating", "in_progress", "finalizing"}),
    "failed": frozenset({"validating", "in_progress", "finalizing"}),
    "expired": frozenset({"in_progress", "finalizing"}),
    "cancelled": frozenset({"validating", "in_progress", "finalizing", "cancelling"}),
}


class IllegalMove(Exception):  # noqa: N818  an answer of the service, as `HTTPFailure` is
    """No batch goes from this status to that one."""


def force(
    engine: Engine, batch_id: str, ending: Ending, errors: Sequence[BatchError]
) -> BatchRecord | None:
    """Let a batch end now, as its clock says, and return it; nothing if there is none.

    A batch that is to be completed is `failed` all the same if its file is not valid, and one
    whose answers come from a live upstream ends when it has them.

    Args:
        engine: Runs the batch.
        batch_id: Names it.
        ending: The status it gets.
        errors: Why, for one that is to be `failed`.

    Raises:
        IllegalMove: Its status does not lead there.
    """
    now = engine.clock()
    while (batch := engine.database.batch(batch_id)) is not None:
        if batch.status not in _FROM[ending] or _is_expiring(batch, ending):
            raise IllegalMove(f"A batch with status '{batch.status}' does not become '{ending}'.")
        if _begin(engine, batch, ending, errors, now):
            break
    engine.advance(now)
    return engine.database.batch(batch_id)


def _is_expiring(batch: BatchRecord, ending: Ending) -> bool:
    return ending == "completed" and batch.ending == "expired"


def _begin(
    engine: Engine, batch: BatchRecord, ending: Ending, errors: Sequence[BatchError], now: float
) -> bool:
    """Set the batch on its way; false if it was changed meanwhile."""
    hurried = replace(batch, hurried_at=now)
    match ending:
        case "failed":
            return engine.fail(batch, errors, now)
        case "completed":
            changed = hurried
        case "expired":
            since = batch.finalizing_at or now
            changed = replace(hurried, status="finalizing", ending="expired", finalizing_at=since)
        case _:
            since = batch.cancelling_at or now
            changed = replace(hurried, status="cancelling", cancelling_at=since)
    return engine.database.replace_batch(batch, changed)
