"""Doing what `decide` says about batches: submit and poll; `packing` and `adopt` do the rest.

Each function commits what it is about to do before it does it, and what came of it after. A failed
call becomes an event with a time to try again; only what a person must mend ends the run.
"""

from batchspec.apply.adopt import keep_oldest, note_late, twins
from batchspec.apply.failing import calls, stop_message
from batchspec.apply.lost import retrieve
from batchspec.apply.smaller import exceeds, is_too_large, refuse_too_large
from batchspec.apply.tidy import do_tidy
from batchspec.apply.upload import upload_input
from batchspec.apply.world import World
from batchspec.errors import ProviderError
from batchspec.ids import BatchId, FileId
from batchspec.ports import Provider
from batchspec.reconcile.admit import under_way
from batchspec.reconcile.observe import RejectedLines, Stopped, observe
from batchspec.reconcile.retry import backoff
from batchspec.state.events import (
    BatchAbsent,
    BatchObserved,
    BatchRejected,
    CallFailed,
    CreateAttempted,
)
from batchspec.state.records import BatchRecord
from batchspec.state.remote import (
    CallError,
    NotFound,
    Refused,
    Throttled,
    Uncertain,
)

_UPLOAD_AGAIN = 5
"""Creates refused in passing after which the input file is uploaded anew."""
_MOST_METADATA = 16
_WOKE_LATE = 5.0
"""Seconds between the intent to create and the call after which the lease is looked at again."""


async def do_submit(world: World, batch: BatchId) -> None:
    """Upload the input file unless that is done, then create the batch with one POST."""
    record = await world.db(world.store.batch, batch)
    lane = await world.db(world.store.lane, record.lane)
    provider = world.provider(lane.provider, record.via)
    if record.input_file_id is None and await exceeds(world, record):
        return
    if world.budget is not None:
        # It may have been put together by an earlier run, which had another budget.
        await world.db(world.budget.check)
    file = record.input_file_id or await _upload(world, provider, record)
    if file is None:
        return
    metadata = batch_metadata(world, record)
    began = world.clock.now()
    await world.commit(CreateAttempted(id=batch, at=began))
    if world.clock.now() - began > _WOKE_LATE:
        # This process was stopped, and another one may have taken over meanwhile.
        await world.db(world.store.confirm)
    try:
        remote = await provider.client.create(file, lane.endpoint, provider.window, metadata)
    except Throttled as error:
        await _not_now(world, provider, record, error)
    except Uncertain as error:
        await _unknown(world, provider, record, error)
    except CallError as error:
        await _refused(world, provider, record, error)
    else:
        world.answered.add(provider.name)
        doubles = await twins(world, provider, record) if record.creates else []
        await keep_oldest(world, provider, record, [remote, *doubles], adopted=False)


def batch_metadata(world: World, record: BatchRecord) -> dict[str, str]:
    """Return our token and what the batch's jobs want noted; the first job wins a name."""
    metadata: dict[str, str] = {"batchspec": record.id, "lineage": world.lineage}
    for address in sorted(record.jobs):
        local = world.jobs.get(address)
        for name, text in ((local.desired.job.metadata if local else None) or {}).items():
            if len(metadata) < _MOST_METADATA:
                metadata.setdefault(name, text)
    return metadata


async def _upload(world: World, provider: Provider, record: BatchRecord) -> FileId | None:
    """Upload the input file; None when it is not there now."""
    file = None
    async with world.transfers, calls(world, provider, record):
        try:
            file = await upload_input(world, provider, record)
        except (Refused, NotFound) as error:
            await _refused(world, provider, record, error)
    return file


async def _not_now(world: World, provider: Provider, record: BatchRecord, error: CallError) -> None:
    """A create was refused in passing: nothing exists, try again later."""
    now, pace = world.clock.now(), world.pace_of(provider)
    wait = error.retry_after or backoff(
        record.creates + 1, first=pace.poll / 5, cap=pace.max_poll, name=record.id
    )
    keep = (record.creates + 1) % _UPLOAD_AGAIN != 0 or record.input_file_id is None
    if not keep:
        await _give_up(world, provider, record)
    reason = str(error)
    await world.commit(
        BatchAbsent(id=record.id, at=now, next_at=now + wait, reason=reason, keep_file=keep)
    )


async def _give_up(world: World, provider: Provider, record: BatchRecord) -> None:
    """Delete an input file that no create finds, before another one is uploaded."""
    assert record.input_file_id is not None  # noqa: S101 - the caller looked
    try:
        await provider.client.delete_file(record.input_file_id)
    except CallError as error:
        world.hook.warning(f"The file {record.input_file_id} could not be deleted: {error}")


async def _unknown(world: World, provider: Provider, record: BatchRecord, error: CallError) -> None:
    """A create got no answer: the batch may exist; it is looked for, never created blindly."""
    now = world.clock.now()
    wait = error.retry_after or world.pace_of(provider).poll / 5
    reason = f"the answer to its creation was lost ({error}); it is being looked for"
    await world.commit(CallFailed(id=record.id, at=now, next_at=now + wait, reason=reason))


async def _refused(world: World, provider: Provider, record: BatchRecord, error: CallError) -> None:
    """Give the members back, to be put together anew, and end the run.

    A file that is too large is no reason to end it: smaller ones are tried.
    """
    if is_too_large(error):
        await refuse_too_large(world, record, error)
        return
    await world.commit(BatchRejected(id=record.id, at=world.clock.now(), reason=str(error)))
    await _last_tidy(world, record.id)
    raise ProviderError(stop_message(provider, error))


async def _last_tidy(world: World, batch: BatchId) -> None:
    """Delete the input file of a refused batch before the run ends because of it."""
    if (await world.db(world.store.batch, batch)).input_file_id is not None:
        await do_tidy(world, batch)


async def do_poll(world: World, batch: BatchId) -> None:
    """Ask how far a batch is."""
    record = await world.db(world.store.batch, batch)
    lane = await world.db(world.store.lane, record.lane)
    provider = world.provider(lane.provider, record.via)
    async with calls(world, provider, record):
        await look(world, provider, record)


async def look(world: World, provider: Provider, record: BatchRecord) -> None:
    """Ask how far a batch is and record what that means; inside of `calls`."""
    remote = None if record.remote_id is None else await retrieve(world, provider, record)
    if remote is None:
        return
    holds, alone = await world.db(_queue, world, record)
    now, pace = world.clock.now(), world.pace_of(provider)
    seen = observe(record, remote, now, pace, holds, alone=alone)
    match seen:
        case RejectedLines():
            await world.db(world.store.reject_lines, seen.event, seen.lines)
            world.hook.event(seen.event)
        case Stopped():
            await world.commit(seen.event)
            if record.cancel_at is not None:
                return
            await _last_tidy(world, record.id)
            message = (
                f"{provider.name} refused batch {remote.id} as a whole: {seen.event.reason}. "
                "Nothing was charged for it and its rows wait; mend the cause and apply again."
            )
            raise ProviderError(message)
        case BatchRejected():
            await world.commit(seen)
        case BatchObserved():
            await world.commit(seen)
            if record.double_of is None:
                await note_late(world, provider, await world.db(world.store.batch, record.id))


def _queue(world: World, record: BatchRecord) -> tuple[int, bool]:
    """Return how often a batch's lane was held, and whether it has its model's queue for itself."""
    lanes = world.store.lanes()
    own = next(one for one in lanes if one.lane.id == record.lane)
    others = [b for b in world.store.open_batches() if b.id != record.id]
    return own.holds, not under_way(own.lane, (one.lane for one in lanes), others).any
