"""What the provider does not have any more: not at once lost, and never paid again by itself."""

from batchspec.apply.world import World
from batchspec.ports import Provider
from batchspec.state.events import BatchLost
from batchspec.state.records import BatchRecord
from batchspec.state.remote import CLOCK_SLACK, NotFound, RemoteBatch

LOOKS = 6
"""Looks, over minutes, before what the provider does not have is believed not to be there."""


async def retrieve(world: World, provider: Provider, record: BatchRecord) -> RemoteBatch | None:
    """Ask for a batch; None when it is lost, which is on record then.

    It is lost when it was not found for minutes, though the account's list, which shows that key
    and address are right, can be read and does not have it either.

    Raises:
        CallError: Nothing is known, or not yet.
    """
    assert record.remote_id is not None  # noqa: S101 - it is at the provider
    try:
        glimpsed = await world.glances.look(provider, record)
        return glimpsed or await provider.client.retrieve(record.remote_id)
    except NotFound as error:
        if record.failures + 1 < LOOKS:
            raise
        since = (record.submitted_at or record.intended_at) - CLOCK_SLACK
        async for batch in provider.client.recent(since):
            if batch.id == record.remote_id:
                raise
        reason = (
            f"{provider.name!r} does not know the batch any more ({error}). Check that the key "
            "belongs to the account and project that submitted it; it may have been billed"
        )
        await world.commit(BatchLost(id=record.id, at=world.clock.now(), reason=reason))
        return None
