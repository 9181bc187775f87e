"""Every client of ours keeps the contract that the conformance suite asks of clients."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from batchspec.conformance import test_client as contract
from batchspec.conformance.clients import LOST, ClientUnderTest
from batchspec.conformance.server import Target
from batchspec.conformance.test_client import *  # noqa: F403  the tests
from batchspec.ids import FileId, RemoteId
from batchspec.ports import Client
from batchspec.providers.live.client import LiveClient
from batchspec.providers.openai.client import OpenAIClient
from batchspec.simulator import AppTransport, Pace, SimulatedClock, create_app
from batchspec.state.remote import CallError, NotFound, RemoteBatch, Throttled, Uncertain

Make = Callable[[httpx2.AsyncBaseTransport], Client]
IN_PROCESS = "http://simulator/v1"


def _openai(transport: httpx2.AsyncBaseTransport) -> Client:
    return OpenAIClient(api_key="simulated", base_url=IN_PROCESS, transport=transport)


def _live(transport: httpx2.AsyncBaseTransport) -> Client:
    return LiveClient(transport, outage=lambda: None)


@pytest.fixture(params=[_openai, _live], ids=["openai", "live"])
def tested(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ClientUnderTest]:
    """A client of the embedded server in this process, whose clock stands still."""
    clock = SimulatedClock(speed=0)
    pace = Pace(validating=2, in_progress=6, finalizing=1, cancelling=2)
    app = create_app(tmp_path / "server", clock=clock, pace=pace, background=False)
    make: Make = request.param
    with closing(app.state.engine):
        yield ClientUnderTest(
            target=Target(
                base_url=IN_PROCESS,
                api_key=None,
                model="gpt-5-mini",
                endpoint="/v1/chat/completions",
                deadline=60,
            ),
            make=make,
            transport=lambda: AppTransport(app),
            sleep=clock.advance,
            note_file=lambda _: None,
            folder=tmp_path,
        )


class _Eager(OpenAIClient):
    """Creates once more when it does not know."""

    async def create(
        self, file: FileId, endpoint: str, window: str, metadata: Mapping[str, str]
    ) -> RemoteBatch:
        try:
            return await super().create(file, endpoint, window, metadata)
        except (Uncertain, Throttled):
            return await super().create(file, endpoint, window, metadata)


class _Forgetful(OpenAIClient):
    """Loses what was told beside the id, and the time to come back."""

    async def create(
        self, file: FileId, endpoint: str, window: str, metadata: Mapping[str, str]
    ) -> RemoteBatch:
        try:
            return await super().create(file, endpoint, window, {})
        except Throttled as error:
            raise Throttled(str(error)) from error


class _Curt(OpenAIClient):
    """Ends every list at once, and every file after its first byte."""

    async def recent(self, since: float) -> AsyncIterator[RemoteBatch]:
        for batch in ():
            yield batch

    async def content(self, file: FileId) -> AsyncIterator[bytes]:
        async for chunk in super().content(file):
            yield chunk[:1]
            return


class _Endless(OpenAIClient):
    """Reads every list to its end."""

    async def recent(self, since: float) -> AsyncIterator[RemoteBatch]:
        async for batch in super().recent(0):
            yield batch


class _Blunt(OpenAIClient):
    """Has one error for everything that goes wrong."""

    async def retrieve(self, batch: RemoteId) -> RemoteBatch:
        try:
            return replace(await super().retrieve(batch), errors=())
        except CallError as error:
            raise Uncertain(str(error)) from error

    async def delete_file(self, file: FileId) -> None:
        try:
            await self._sdk.files.delete(file)
        except Exception as error:
            raise NotFound(str(error)) from error


@pytest.mark.parametrize(
    ("careless", "test", "more"),
    [
        (_Eager, contract.test_create_is_sent_once, (LOST,)),
        (_Eager, contract.test_throttled, ()),
        (_Forgetful, contract.test_create, ()),
        (_Forgetful, contract.test_throttled, ()),
        (_Forgetful, contract.test_lost_batches_are_found, ()),
        (_Curt, contract.test_upload, ()),
        (_Curt, contract.test_lost_batches_are_found, ()),
        (_Curt, contract.test_recent_ends, ()),
        (_Endless, contract.test_recent_ends, ()),
        (_Blunt, contract.test_not_found, ()),
        (_Blunt, contract.test_failed, ()),
        (_Blunt, contract.test_delete_twice, ()),
    ],
)
async def test_a_careless_client_does_not_pass(
    tested: ClientUnderTest, careless: type[OpenAIClient], test: Callable[..., object], more: object
) -> None:
    def make(transport: httpx2.AsyncBaseTransport) -> Client:
        return careless(api_key="simulated", base_url=IN_PROCESS, transport=transport)

    with pytest.raises((AssertionError, pytest.fail.Exception, CallError)):
        await test(replace(tested, make=make), *more)
