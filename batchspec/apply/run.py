"""Doing what `decide` says about batches: submit and poll; `packing` and `adopt` do the rest.

Each function commits what it is about to do before it does it, and what came of it after. A failed
call becomes an event with a time to try again; only what a person must mend ends the run.
"""

import os
from pathlib import Path

from batchspec.apply.adopt import keep_oldest, note_late, twins
from batchspec.apply.failing import calls, stop_message
from batchspec.apply.lost import retrieve
from batchspec.apply.smaller import exceeds, is_too_large, refuse_too_large
from batchspec.apply.world import World
from batchspec.errors import ProviderError, StateError
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
    InputUploaded,
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
    await world.commit(CreateAttempted(id=batch, at=world.clock.now()))
    metadata = batch_metadata(world, record)
    try:
        remote = await provider.client.create(file, lane.endpoint, provider.window, metadata)
    except Throttled as error:
        await _not_now(world, provider, record, error)
    except Uncertain as error:
        await _unknown(world, provider, record, error)
    except CallError as error:
        await _refused(world, provider, record, file, error)
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
    """Upload the input file; None when that failed in passing."""
    name = f"batchspec-{record.id}.jsonl"
    file = None
    async with world.transfers, calls(world, provider, record):
        path = await world.db(write_input, world, provider, record.id, world.store.scratch / name)
        try:
            file = await provider.client.upload(path, name)
        except (Refused, NotFound) as error:
            path.unlink(missing_ok=True)
            await _refused(world, provider, record, None, error)
            return None
        await world.commit(InputUploaded(id=record.id, file=file, at=world.clock.now()))
        path.unlink(missing_ok=True)
    return file


def write_input(world: World, provider: Provider, batch: BatchId, path: Path) -> Path:
    """Write the input file of a batch, line by line; blocking.

    Raises:
        StateError: It cannot be written, for want of space for example.
    """
    try:
        return _written(world, provider, batch, path)
    except OSError as error:
        raise StateError(
            f"The input file {path} cannot be written: {error.strerror or error}. Nothing "
            "recorded is lost: free some space and run the command again."
        ) from error


def _written(world: World, provider: Provider, batch: BatchId, path: Path) -> Path:
    parts: dict[int, tuple[bytes, bytes]] = {}
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb", buffering=1 << 20) as file:
        for request in world.store.requests(batch):
            if request.contract not in parts:
                contract = world.store.contract(request.contract)
                parts[request.contract] = provider.wire.line_parts(contract)
            first, second = parts[request.contract]
            file.write(
                b'{"custom_id":"%b%b%b%b\n'
                % (request.custom_id.encode(), first, request.messages_json, second)
            )
    return path


async def _not_now(world: World, provider: Provider, record: BatchRecord, error: CallError) -> None:
    """A create was refused in passing: nothing exists, try again later."""
    now, pace = world.clock.now(), world.pace_of(provider)
    wait = error.retry_after or backoff(
        record.creates + 1, first=pace.poll / 5, cap=pace.max_poll, name=record.id
    )
    await world.commit(
        BatchAbsent(
            id=record.id,
            at=now,
            next_at=now + wait,
            reason=str(error),
            keep_file=(record.creates + 1) % _UPLOAD_AGAIN != 0,
        ),
    )


async def _unknown(world: World, provider: Provider, record: BatchRecord, error: CallError) -> None:
    """A create got no answer: the batch may exist; it is looked for, never created blindly."""
    now = world.clock.now()
    wait = error.retry_after or world.pace_of(provider).poll / 5
    reason = f"the answer to its creation was lost ({error}); it is being looked for"
    await world.commit(CallFailed(id=record.id, at=now, next_at=now + wait, reason=reason))


async def _refused(
    world: World, provider: Provider, record: BatchRecord, file: FileId | None, error: CallError
) -> None:
    """Give the members back, to be put together anew, and end the run.

    A file that is too large is no reason to end it: smaller ones are tried.
    """
    if is_too_large(error):
        await refuse_too_large(world, record, error)
        await delete_input(world, provider, file)
        return
    await world.commit(BatchRejected(id=record.id, at=world.clock.now(), reason=str(error)))
    await delete_input(world, provider, file)
    raise ProviderError(stop_message(provider, error))


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
            await delete_input(world, provider, record.input_file_id)
        case Stopped():
            await world.commit(seen.event)
            await delete_input(world, provider, record.input_file_id)
            if record.cancel_at is not None:
                return
            message = (
                f"{provider.name} refused batch {remote.id} as a whole: {seen.event.reason}. "
                "Nothing was charged for it and its rows wait; mend the cause and apply again."
            )
            raise ProviderError(message)
        case BatchRejected():
            await world.commit(seen)
            await delete_input(world, provider, record.input_file_id)
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


async def delete_input(world: World, provider: Provider, file: FileId | None) -> None:
    """Give the provider's storage back; what was sent is kept here."""
    if file is not None:
        try:
            await provider.client.delete_file(file)
        except CallError as error:
            world.hook.warning(f"The input file {file} could not be deleted: {error}")
