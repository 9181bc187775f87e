"""Downloading the result files of an ended batch; those that are late are not gone."""

from collections.abc import AsyncIterable, AsyncIterator, Sequence

from batchspec.apply.lost import LOOKS, retrieve
from batchspec.apply.world import World
from batchspec.ids import FileId
from batchspec.ports import Body, Provider
from batchspec.state.records import BatchRecord
from batchspec.state.remote import NotFound, Throttled

_BLOCK = 256 * 1024
"""Bytes of a download that are split at a time."""
_RETENTION = 29 * 86_400.0
"""Seconds after which the provider may have deleted a result file by itself."""


async def download_both(
    world: World, provider: Provider, record: BatchRecord, bodies: list[Body]
) -> bool | None:
    """Download the result files; tells whether one is gone, None when the whole batch is.

    Raises:
        CallError: One could not be downloaded now.
    """
    lost = False
    for file in (record.output_file_id, record.error_file_id):
        if not file:
            continue
        bodies.append(await world.db(world.store.open_segment, "replies"))
        try:
            async with world.transfers:
                await download(world, provider.client.content(file), bodies[-1])
        except NotFound as error:
            gone = await _is_gone(world, provider, record, file, error)
            if gone is None:
                return None
            lost = True
            world.hook.warning(f"A result file of batch {record.remote_id} is gone: {file}.")
    world.answered.add(provider.name)
    return lost


async def _is_gone(
    world: World, provider: Provider, record: BatchRecord, file: FileId, error: NotFound
) -> bool | None:
    """Find out what it means that a result file has no content; None: the whole batch is gone.

    What was answered is paid, so that it counts as gone only when it was asked for over minutes,
    the provider says that there is no such file, and either it deletes files of that age or it
    still knows the batch, which shows that key and address are right.

    Raises:
        CallError: It may be readable later, or nobody knows.
    """
    world.absences[record.id] += 1
    if world.absences[record.id] < LOOKS:
        raise Throttled(f"a result file cannot be read now: {error}")
    if await provider.client.has_file(file):
        world.held.add(record.id)
        world.unreadable[record.id] = (
            f"The results of batch {record.remote_id} cannot be read now: {provider.name!r} has "
            f"the file {file} and does not hand it out ({error}). Nothing is lost: its rows wait, "
            "and `batchspec apply` goes on from here."
        )
        raise Throttled(f"a result file is there, but cannot be read now: {error}")
    if _is_old(record, world.clock.now()):
        return True
    return None if await retrieve(world, provider, record) is None else True


def _is_old(record: BatchRecord, now: float) -> bool:
    return record.ended_at is not None and now - record.ended_at >= _RETENTION


async def download(world: World, chunks: AsyncIterator[bytes], body: Body) -> None:
    """Write a file's lines as records, as bytes, without holding it in memory."""
    async for lines in split_lines(chunks):
        kept = [line for line in lines if line and not line.isspace()]
        await world.db(body.extend, kept)


async def split_lines(chunks: AsyncIterable[bytes]) -> AsyncIterator[list[bytes]]:
    r"""Split a stream at the byte `\n` only: JSON strings may hold other line separators."""
    rest: list[bytes] = []
    held = 0
    async for chunk in chunks:
        rest.append(chunk)
        held += len(chunk)
        if held < _BLOCK:
            continue
        head, newline, tail = b"".join(rest).rpartition(b"\n")
        rest, held = [tail], 0
        if newline:
            yield head.split(b"\n")
    if last := b"".join(rest):
        lines = last.split(b"\n")
        yield lines if lines[-1] else lines[:-1]


def abandon(bodies: Sequence[Body]) -> None:
    """Give up what was downloaded."""
    for body in bodies:
        body.abandon()
