"""Getting the input file of a batch to the provider, once.

An upload has no name of its own to be repeated under, so that it is on record before it is made:
where its answer is lost, the file is looked for before another is uploaded.
"""

import os
from pathlib import Path

from batchspec.apply.tidy import input_name, uploaded
from batchspec.apply.world import World
from batchspec.errors import StateError
from batchspec.ids import BatchId, FileId
from batchspec.ports import Provider
from batchspec.state.events import InputUploaded, UploadAttempted
from batchspec.state.records import BatchRecord
from batchspec.state.remote import CallError


async def upload_input(world: World, provider: Provider, record: BatchRecord) -> FileId:
    """Upload the input file, or find the one that an earlier upload left.

    Raises:
        CallError: It is not known to be there.
    """
    name = input_name(record.id)
    path = await world.db(write_input, world, provider, record.id, world.store.scratch / name)
    try:
        size = path.stat().st_size
        file = await _found(world, provider, record, size) if record.uploads else None
        if file is None:
            await world.commit(UploadAttempted(id=record.id, at=world.clock.now()))
            file = await provider.client.upload(path, name)
        await world.commit(InputUploaded(id=record.id, file=file, at=world.clock.now()))
    finally:
        path.unlink(missing_ok=True)
    return file


async def _found(world: World, provider: Provider, record: BatchRecord, size: int) -> FileId | None:
    """Return a whole file that an upload left at the provider; others of it are deleted.

    Where files cannot be listed nothing is known, and a second file costs nothing.
    """
    try:
        files = [file async for file in uploaded(provider, record)]
        whole = [file.id for file in files if file.bytes == size]
        for file in files:
            if file.id not in whole[:1]:
                await provider.client.delete_file(file.id)
    except CallError as error:
        world.hook.warning(
            f"An upload of the input of batch {record.id} got no answer, and the files at "
            f"{provider.name} cannot be looked through ({error}); it is uploaded anew."
        )
        return None
    return whole[0] if whole else None


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
    parts: dict[tuple[int, int], tuple[bytes, bytes]] = {}
    wire = provider.wire(world.store.lane(world.store.batch(batch).lane).endpoint)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb", buffering=1 << 20) as file:
        for request in world.store.requests(batch):
            shared = (request.contract, request.turn)
            if shared not in parts:
                contract = world.store.contract(request.contract)
                parts[shared] = wire.line_parts(contract.at(request.turn))
            first, second = parts[shared]
            file.write(
                b'{"custom_id":"%b%b%b%b\n'
                % (request.custom_id.encode(), first, wire.encode(request.messages_json), second)
            )
    return path
