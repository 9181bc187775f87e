"""A client whose calls keep to a rate."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from batchspec.ids import FileId, RemoteId
from batchspec.ports import Client, Clock
from batchspec.reconcile.bucket import Bucket
from batchspec.reconcile.glance import PAGE
from batchspec.state.remote import RemoteBatch, RemoteFile

_TOLD = 5.0
"""Seconds of a wait from which on it is told, once until there was none."""


class Rate:
    """The rate of one account, for all that call it in this process.

    Args:
        name: Of the providers, for people.
        per_minute: Calls in a minute.
        clock: Tells the time, and waits.
    """

    def __init__(self, name: str, per_minute: int, clock: Clock) -> None:
        self._name = name
        self._bucket = Bucket(per_minute)
        self._clock = clock
        self._told = False

    async def wait(self, warn: Callable[[str], None]) -> None:
        """Return when one more call may be made."""
        now = self._clock.now()
        self._bucket, seconds = self._bucket.take(now)
        if not seconds:
            self._told = False
            return
        if seconds >= _TOLD and not self._told:
            self._told = True
            warn(
                f"Calls to {self._name} wait, now for {seconds:.0f} s: its limits allow "
                f"{self._bucket.per_minute} requests_per_minute."
            )
        await self._clock.sleep_until(now + seconds)


@runtime_checkable
class Repeating(Protocol):
    """A client that repeats calls by itself.

    Attributes:
        before_repeat: Waited for before each repetition; the first try is none.
    """

    before_repeat: Callable[[], Awaitable[None]]


class PacedClient:
    """Implements `ports.Client` by passing on calls, and repetitions, no faster than a rate.

    Args:
        client: Makes the calls.
        rate: Says when.
        warn: Is told of long waits.
    """

    def __init__(self, client: Client, rate: Rate, warn: Callable[[str], None]) -> None:
        self._client = client
        self._rate = rate
        self._warn = warn
        if isinstance(client, Repeating):
            client.before_repeat = self._wait

    async def _wait(self) -> None:
        await self._rate.wait(self._warn)

    async def _turn(self) -> Client:
        await self._wait()
        return self._client

    async def upload(self, path: Path, name: str) -> FileId:
        """Upload a batch input file."""
        return await (await self._turn()).upload(path, name)

    async def files(self, since: float) -> AsyncIterator[RemoteFile]:
        """Yield the account's batch input files."""
        await self._turn()
        async for file in self._client.files(since):
            yield file

    async def create(
        self, file: FileId, endpoint: str, window: str, metadata: Mapping[str, str]
    ) -> RemoteBatch:
        """Create a batch."""
        return await (await self._turn()).create(file, endpoint, window, metadata)

    async def retrieve(self, batch: RemoteId) -> RemoteBatch:
        """Ask for one batch."""
        return await (await self._turn()).retrieve(batch)

    async def recent(self, since: float) -> AsyncIterator[RemoteBatch]:
        """Yield the account's batches."""
        await self._turn()
        seen = 0
        async for batch in self._client.recent(since):
            yield batch
            seen += 1
            if seen % PAGE == 0:  # the next one is on another page
                await self._turn()

    async def content(self, file: FileId) -> AsyncIterator[bytes]:
        """Yield the bytes of a file."""
        await self._turn()
        async for chunk in self._client.content(file):
            yield chunk

    async def has_file(self, file: FileId) -> bool:
        """Tell whether the provider still has a file."""
        return await (await self._turn()).has_file(file)

    async def cancel(self, batch: RemoteId) -> RemoteBatch:
        """Ask the provider to stop a batch."""
        return await (await self._turn()).cancel(batch)

    async def delete_file(self, file: FileId) -> None:
        """Delete a file."""
        await (await self._turn()).delete_file(file)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()
