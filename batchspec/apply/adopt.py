"""Finding a batch whose creation got no answer, and its doubles: two creates, one payment."""

from collections.abc import Sequence

from batchspec.apply.failing import calls
from batchspec.apply.world import World
from batchspec.ids import BatchId, RemoteId
from batchspec.ports import Provider
from batchspec.reconcile.observe import not_found, oldest
from batchspec.state.events import (
    BatchSubmitted,
)
from batchspec.state.records import TERMINAL, BatchRecord
from batchspec.state.remote import (
    CallError,
    RemoteBatch,
)

_CLOCK_SLACK = 7200.0
"""Seconds by which the provider's clock may differ from ours."""
_LIST_LAG = 600.0
"""Seconds in which a batch that was created may be missing in the provider's list."""


async def do_adopt(world: World, batch: BatchId) -> None:
    """Look for a batch whose create got no answer; allow another only after the grace period."""
    record = await world.db(world.store.batch, batch)
    lane = await world.db(world.store.lane, record.lane)
    provider = world.provider(lane.provider)
    asked = world.clock.now()
    async with calls(world, provider, record):
        found = await _created(provider, record)
        if found:
            await keep_oldest(world, provider, record, found, adopted=True)
        else:
            await world.commit(not_found(record, asked, world.pace_of(provider)))


async def _created(provider: Provider, record: BatchRecord) -> list[RemoteBatch]:
    """Return the account's batches that some create of a batch made."""
    since = record.intended_at - _CLOCK_SLACK
    return [found async for found in provider.client.recent(since) if _ours(found, record)]


async def twins(world: World, provider: Provider, record: BatchRecord) -> list[RemoteBatch]:
    """Look for what earlier creates made after all; a look that fails changes nothing."""
    try:
        return await _created(provider, record)
    except CallError as error:
        world.hook.warning(f"Doubles of batch {record.id} could not be looked for: {error}")
        return []


async def keep_oldest(
    world: World,
    provider: Provider,
    record: BatchRecord,
    found: Sequence[RemoteBatch],
    *,
    adopted: bool,
) -> None:
    """Record the oldest of the batches that creates of one record made; cancel the others."""
    kept, *doubles = oldest({remote.id: remote for remote in found}.values())
    await submitted(world, provider, record, kept, adopted=adopted or kept.id != found[0].id)
    for surplus in doubles:
        await _cancel_double(world, provider, surplus.id, kept.id)


async def cancel_late(world: World, provider: Provider, record: BatchRecord) -> None:
    """Cancel what an earlier create made and the list showed only after a later one."""
    young = world.clock.now() - (record.submitted_at or 0) < _LIST_LAG
    if record.remote_id is None or record.creates < 2 or not young:
        return
    for twin in await twins(world, provider, record):
        if twin.id != record.remote_id and twin.status not in {*TERMINAL, "cancelling"}:
            await _cancel_double(world, provider, twin.id, record.remote_id)


async def _cancel_double(
    world: World, provider: Provider, surplus: RemoteId, kept: RemoteId
) -> None:
    """Cancel a batch whose members another one has; its results are never read."""
    try:
        await provider.client.cancel(surplus)
    except CallError as error:
        world.hook.warning(f"Batch {surplus} doubles {kept} and could not be cancelled: {error}")
    else:
        world.hook.warning(f"Batch {surplus} doubles {kept}; it is cancelled.")


def _ours(remote: RemoteBatch, record: BatchRecord) -> bool:
    if remote.metadata.get("batchspec") == record.id:
        return True
    return record.input_file_id is not None and remote.input_file_id == record.input_file_id


async def submitted(
    world: World, provider: Provider, record: BatchRecord, remote: RemoteBatch, *, adopted: bool
) -> None:
    now = world.clock.now()
    await world.commit(
        BatchSubmitted(
            id=record.id,
            remote_id=remote.id,
            status=remote.status,
            at=now,
            next_at=now + world.pace_of(provider).poll,
            adopted=adopted,
        ),
    )
