"""Finding a batch whose creation got no answer, and its doubles: two creates, one payment."""

from collections.abc import Iterator, Sequence

from batchspec.apply.failing import calls
from batchspec.apply.world import World
from batchspec.ids import BatchId, FileId, RemoteId
from batchspec.ports import Provider
from batchspec.reconcile.observe import not_found, oldest
from batchspec.state.events import BatchDoubled, BatchSubmitted
from batchspec.state.records import BatchRecord
from batchspec.state.remote import (
    CLOCK_SLACK,
    CallError,
    RemoteBatch,
    is_of,
)

_LIST_LAG = 600.0
"""Seconds in which a batch that was created may be missing in the provider's list."""
_NEWEST = 100
"""Batches, one page of the list, among which doubles are looked for that no create of ours made."""


async def do_adopt(world: World, batch: BatchId) -> None:
    """Look for a batch whose create got no answer; allow another only after the grace period."""
    record = await world.db(world.store.batch, batch)
    lane = await world.db(world.store.lane, record.lane)
    provider = world.provider(lane.provider, record.via)
    asked = world.clock.now()
    async with calls(world, provider, record):
        found = await _created(provider, record)
        if found:
            await keep_oldest(world, provider, record, found, adopted=True)
        else:
            await world.commit(not_found(record, asked, world.pace_of(provider)))


async def _created(provider: Provider, record: BatchRecord) -> list[RemoteBatch]:
    """Return the account's batches that some create of a batch made."""
    since = record.intended_at - CLOCK_SLACK
    return [found async for found in provider.client.recent(since) if is_of(found, record)]


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
    """Record the oldest of the batches that creates of one record made; the others are doubles."""
    kept, *doubles = oldest({remote.id: remote for remote in found}.values())
    now = world.clock.now()
    await world.commit(
        BatchSubmitted(
            id=record.id,
            remote_id=kept.id,
            status=kept.status,
            at=now,
            next_at=now + world.pace_of(provider).poll,
            adopted=adopted or kept.id != found[0].id,
            input_file_id=kept.input_file_id,
        ),
        *_doubled(world, record, kept.id, kept.input_file_id, doubles),
    )


async def note_late(world: World, provider: Provider, record: BatchRecord) -> None:
    """Record what an earlier create made and the list showed only after a later one.

    One POST may have made two batches as well, where something on the way repeats it.
    """
    young = world.clock.now() - (record.submitted_at or 0) < _LIST_LAG
    if record.remote_id is None or not (young or record.phase == "ended"):
        return
    if record.creates > 1:
        found = await twins(world, provider, record)
    else:
        found = await _repeated(world, provider, record)
    known = await world.db(world.store.known, [twin.id for twin in found])
    new = [twin for twin in found if twin.id not in known]
    if new:
        kept = record.remote_id
        await world.commit(*_doubled(world, record, kept, record.input_file_id, new))


async def _repeated(world: World, provider: Provider, record: BatchRecord) -> list[RemoteBatch]:
    """Look once in a run, and not far, for what one create made; without a list nothing is said."""
    if not record.creates or record.via != "batch" or record.id in world.looked_at:
        return []
    world.looked_at.add(record.id)
    found: list[RemoteBatch] = []
    seen = 0
    try:
        async for remote in provider.client.recent(record.intended_at - CLOCK_SLACK):
            if remote.metadata.get("batchspec") == record.id:
                found.append(remote)
            seen += 1
            if seen == _NEWEST:
                break
    except CallError:
        pass
    return found


def _doubled(
    world: World,
    record: BatchRecord,
    kept: RemoteId,
    file: FileId | None,
    surplus: Sequence[RemoteBatch],
) -> Iterator[BatchDoubled]:
    """Yield what makes batches with members another one has records of their own.

    So they are cancelled whatever happens to this process, and watched until they have ended.
    """
    for double in surplus:
        world.hook.warning(f"Batch {double.id} doubles {kept}; it is cancelled and never read.")
        own = double.input_file_id
        yield BatchDoubled(
            id=world.mint(),
            of=record.id,
            lane=record.lane,
            remote_id=double.id,
            status=double.status,
            at=world.clock.now(),
            input_file_id=None if own == file else own,
        )
