"""The contract of `ports.Client`, which every client of ours keeps with every server.

The server is only asked for what costs nothing: batches that fail validation. What a network does
is done by the transport, so that these checks are the same against any server.
"""

import secrets

import pytest

from batchspec.conformance.checks import Check, check, each
from batchspec.conformance.clients import CREATE, LOST, ClientUnderTest, Tampering
from batchspec.ids import FileId, RemoteId
from batchspec.state.remote import (
    CallError,
    NotFound,
    Refused,
    Throttled,
    Uncertain,
)

pytestmark = pytest.mark.anyio
_SOURCE = "ports.Client"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """What the command line runs on."""
    return "asyncio"


@check("client.upload", "must", "free", _SOURCE)
async def test_upload(tested: ClientUnderTest) -> None:
    """What is uploaded is what can be downloaded."""
    async with tested.connected() as (client, _):
        file = await tested.upload(client)
        content = b"".join([chunk async for chunk in client.content(file)])
    assert content == tested.input_file().read_bytes()


@check("client.create", "must", "free", _SOURCE)
async def test_create(tested: ClientUnderTest) -> None:
    """A new batch has an id, its input file and our token, at once and when it is looked at."""
    async with tested.connected() as (client, _):
        batch = await tested.submit(client)
        seen = await client.retrieve(batch.id)
    assert batch.id == seen.id
    assert batch.input_file_id == seen.input_file_id
    assert batch.metadata == seen.metadata == {"batchspec": "t"}
    assert batch.created_at == seen.created_at > 0


_UNCLEAR = {
    Check(f"client.create.once.{name}", "must", "free", _SOURCE, reason): (tampering,)
    for name, tampering, reason in (
        ("lost", LOST, "A create whose answer is lost is uncertain, and never sent twice."),
        ("500", Tampering(500), "A create that is answered with 500 is not sent again."),
        ("503", Tampering(503, {"x-should-retry": "true"}),
         "Nor is one that is answered with 503 and an invitation to try again."),
        ("408", Tampering(408), "A create that is answered with 408 is not sent again."),
        ("409", Tampering(409), "A create that is answered with 409 is not sent again."),
    )
}  # fmt: skip


@each("tampering", _UNCLEAR)
async def test_create_is_sent_once(tested: ClientUnderTest, tampering: Tampering) -> None:
    async with tested.connected() as (client, wire):
        wire.tampering[CREATE] = tampering
        with pytest.raises(Uncertain):
            await tested.submit(client)
    assert wire.calls.count(CREATE) == 1


@check("client.create.throttled", "must", "free", _SOURCE)
async def test_throttled(tested: ClientUnderTest) -> None:
    """A create that is answered with 429 made nothing, and says when to come back."""
    async with tested.connected() as (client, wire):
        wire.tampering[CREATE] = Tampering(429, {"retry-after": "7"})
        with pytest.raises(Throttled) as raised:
            await tested.submit(client)
    assert raised.value.retry_after == 7
    assert wire.calls.count(CREATE) == 1


@check("client.create.refused", "must", "free", _SOURCE)
async def test_refused(tested: ClientUnderTest) -> None:
    """A create that the server refuses made nothing: the error has its status and its words."""
    async with tested.connected() as (client, _):
        file = await tested.upload(client)
        with pytest.raises(Refused) as raised:
            await client.create(file, "/v1/conformance", "24h", {})
    assert 400 <= raised.value.status < 500
    assert str(raised.value)


@check("client.recent.adopts", "must", "free", _SOURCE)
async def test_lost_batches_are_found(tested: ClientUnderTest) -> None:
    """A batch whose answer was lost is in the list, with our token."""
    token = secrets.token_hex(8)
    async with tested.connected() as (client, wire):
        wire.tampering[CREATE] = LOST
        with pytest.raises(Uncertain):
            await tested.submit(client, token)
        found = [b async for b in client.recent(0) if b.metadata.get("batchspec") == token]
    assert len(found) == 1


@check("client.recent.since", "must", "free", _SOURCE)
async def test_recent_ends(tested: ClientUnderTest) -> None:
    """The list is read down to a time: what was made before it does not come."""
    async with tested.connected() as (client, _):
        older = await tested.submit(client)
        tested.sleep(2.1)  # times are whole seconds
        newer = await tested.submit(client)
        found = [batch.id async for batch in client.recent(newer.created_at)]
    assert newer.id in found
    assert older.id not in found


_UNKNOWN_BATCH, _UNKNOWN_FILE = RemoteId("batch_none"), FileId("file-none")


@check("client.not-found", "must", "read", _SOURCE)
async def test_not_found(tested: ClientUnderTest) -> None:
    """What the server does not know is not found: a batch, to look at or to cancel; a file."""
    async with tested.connected() as (client, _):
        with pytest.raises(NotFound):
            await client.retrieve(_UNKNOWN_BATCH)
        with pytest.raises(NotFound):
            await client.cancel(_UNKNOWN_BATCH)
        with pytest.raises(NotFound):
            _ = [chunk async for chunk in client.content(_UNKNOWN_FILE)]


@check("client.delete", "must", "free", _SOURCE)
async def test_delete_twice(tested: ClientUnderTest) -> None:
    """To delete a file that is gone is no error."""
    async with tested.connected() as (client, _):
        file = await tested.upload(client)
        await client.delete_file(file)
        await client.delete_file(file)
        with pytest.raises(NotFound):
            _ = [chunk async for chunk in client.content(file)]


@check("client.failed", "must", "free", _SOURCE)
async def test_failed(tested: ClientUnderTest) -> None:
    """A batch that failed validation is read as failed, with the server's reasons."""
    async with tested.connected() as (client, _):
        batch = await tested.ended(client)
    assert batch.status == "failed"
    assert all(error.code and error.message for error in batch.errors)
    assert batch.errors


@check("client.cancel.ended", "must", "free", _SOURCE)
async def test_cancel_of_an_ended_batch(tested: ClientUnderTest) -> None:
    """To cancel a batch that ended is an error of ours, whatever the server calls it."""
    async with tested.connected() as (client, _):
        batch = await tested.ended(client)
        with pytest.raises(CallError):
            await client.cancel(batch.id)
