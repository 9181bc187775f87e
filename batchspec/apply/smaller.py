"""Input files that are too large for what stands before the provider: smaller ones are tried.

A gateway may refuse far smaller files than the provider would. What it refuses is halved until it
passes; the size is remembered with the lane, so that it is learned once.
"""

from batchspec.apply.world import World
from batchspec.reconcile.pack import halved
from batchspec.state.events import BatchRejected
from batchspec.state.records import BatchRecord
from batchspec.state.remote import CallError, Refused

_TOO_LARGE = 413
_OFFICIAL = "File is too large"
"""What the provider itself says, with status 400, to a file beyond its own limit."""


def is_too_large(error: CallError) -> bool:
    """Tell whether a call was refused because of the size of the input file."""
    if not isinstance(error, Refused):
        return False
    return error.status == _TOO_LARGE or _OFFICIAL in str(error)


async def refuse_too_large(world: World, record: BatchRecord, error: CallError) -> None:
    """Give the members back, to be put together anew in halves; one alone ends as failed."""
    now, reason = world.clock.now(), str(error)
    if record.members == 1:
        event = BatchRejected(id=record.id, at=now, reason=reason)
        await world.db(world.store.reject_lines, event, {1: reason})
        world.hook.event(event)
        return
    event = await world.db(_learn, world, record, now, reason)
    world.hook.event(event)
    if (size := event.max_bytes) is not None:
        lane = await world.db(world.store.lane, record.lane)
        world.hook.warning(
            f"{lane.provider} refuses an input file of {record.bytes:,} bytes ({reason}). Its "
            f"requests go on in batches of up to {size:,} bytes, which is remembered; set "
            f"[providers.{lane.provider}.limits] max_bytes to what it takes."
        )


def _learn(world: World, record: BatchRecord, now: float, reason: str) -> BatchRejected:
    """Record the refusal and what it teaches; blocking."""
    known = _known(world, record)
    # Batches that were put together before it was learned teach nothing new.
    news = known is None or record.bytes <= known
    size = halved(record.bytes) if news else None
    event = BatchRejected(id=record.id, at=now, reason=reason, max_bytes=size)
    world.store.commit(event)
    return event


async def exceeds(world: World, record: BatchRecord) -> bool:
    """Give a batch back that was put together before it was learned how large a file may be."""
    known = await world.db(_known, world, record)
    if known is None or record.bytes <= known or record.members == 1:
        return False
    reason = f"files of {record.bytes:,} bytes are refused; it is put together anew"
    await world.commit(BatchRejected(id=record.id, at=world.clock.now(), reason=reason))
    return True


def _known(world: World, record: BatchRecord) -> int | None:
    lanes = world.store.lanes()
    return next(lane.max_bytes for lane in lanes if lane.lane.id == record.lane)
