"""Stopping batches: the intent first, then the call, then what they have is still collected."""

from batchspec.apply.failing import calls, refused_cancel
from batchspec.apply.run import look
from batchspec.apply.world import World
from batchspec.ids import BatchId
from batchspec.ports import Provider
from batchspec.state.events import BatchRejected, CancelDropped, CancelTaken
from batchspec.state.records import BatchRecord
from batchspec.state.remote import CallError


async def cancel_unneeded(world: World) -> None:
    """Note that batches are to be cancelled of which no row wants anything any more.

    What rows want changes with what is agreed to, so that it is enough to look after that.
    """
    for event in await world.db(world.store.cancel_unneeded):
        world.hook.event(event)


async def do_cancel(world: World, batch: BatchId) -> None:
    """Stop a batch: give up one that does not exist, and ask the provider to cancel any other."""
    record = await world.db(world.store.batch, batch)
    if record.cancel_reason == "unwanted" and await world.db(world.store.needed, batch):
        await world.commit(CancelDropped(id=batch, at=world.clock.now()))
        return
    if record.remote_id is None:
        reason = "it was cancelled before it was sent"
        await world.commit(BatchRejected(id=batch, at=world.clock.now(), reason=reason))
        return
    lane = await world.db(world.store.lane, record.lane)
    provider = world.provider(lane.provider, record.via)
    async with calls(world, provider, record):
        # A batch that has ended meanwhile takes no cancellation.
        await look(world, provider, record)
        seen = await world.db(world.store.batch, batch)
        if seen.phase == "submitted" and seen.to_cancel:
            await _cancel(world, provider, seen)


async def _cancel(world: World, provider: Provider, record: BatchRecord) -> None:
    assert record.remote_id is not None  # noqa: S101 - it is at the provider
    try:
        remote = await provider.client.cancel(record.remote_id)
    except CallError as error:
        # Whatever the reason: it is looked at again, and asked once more unless it has ended.
        await refused_cancel(world, provider, record, error)
        return
    now = world.clock.now()
    wait = world.pace_of(provider).poll
    await world.commit(CancelTaken(id=record.id, status=remote.status, at=now, next_at=now + wait))
