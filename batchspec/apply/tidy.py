"""Giving the provider's storage back: input files of batches that are done with are deleted.

What was sent is kept here, so that nothing is lost by it. A crash in between repeats it; a file
that cannot be deleted never keeps a run from its end.
"""

from collections.abc import AsyncIterator
from contextlib import suppress

from batchspec.apply.world import World
from batchspec.ids import BatchId, FileId
from batchspec.ports import Provider
from batchspec.reconcile.retry import backoff
from batchspec.state.events import InputDeleted, InputKept
from batchspec.state.records import TIDY_TRIES, BatchRecord
from batchspec.state.remote import CLOCK_SLACK, CallError, NotFound, RemoteFile


def input_name(batch: BatchId) -> str:
    """Return the name of a batch's input file at the provider."""
    return f"batchspec-{batch}.jsonl"


async def uploaded(provider: Provider, record: BatchRecord) -> AsyncIterator[RemoteFile]:
    """Yield what uploads of a batch's input left at the provider, newest first.

    Raises:
        CallError: The files cannot be listed.
    """
    name = input_name(record.id)
    async for file in provider.client.files(record.intended_at - CLOCK_SLACK):
        if file.name == name:
            yield file


async def do_tidy(world: World, batch: BatchId) -> None:
    """Delete the input file of a batch, and what other uploads of it left."""
    record = await world.db(world.store.batch, batch)
    lane = await world.db(world.store.lane, record.lane)
    provider = world.provider(lane.provider, record.via)
    try:
        for file in await _files(provider, record):
            await provider.client.delete_file(file)
    except CallError as error:
        await _kept(world, provider, record, error)
        return
    await world.commit(InputDeleted(id=batch, at=world.clock.now()))


async def _files(provider: Provider, record: BatchRecord) -> set[FileId]:
    """Return the files to delete; one whose upload got no answer is found by its name."""
    files = set[FileId]() if record.input_file_id is None else {record.input_file_id}
    if record.uploads > 1 or (record.uploads and record.input_file_id is None):
        with suppress(NotFound):  # there is no list here
            files |= {file.id async for file in uploaded(provider, record)}
    return files


async def _kept(world: World, provider: Provider, record: BatchRecord, error: CallError) -> None:
    tries = record.failures + 1
    pace = world.pace_of(provider)
    wait = error.retry_after or backoff(
        tries, first=pace.poll / 30, cap=pace.poll / 4, name=record.id
    )
    now = world.clock.now()
    await world.commit(InputKept(id=record.id, at=now, next_at=now + wait, reason=str(error)))
    if tries >= TIDY_TRIES:
        world.hook.warning(
            f"The input file {record.input_file_id or input_name(record.id)} could not be deleted "
            f"({error}). It does no harm; `batchspec state gc` tries again."
        )
