"""A client of ours under test, with a transport of which calls can be tampered with."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from batchspec.conformance.scenarios import line
from batchspec.conformance.server import Target, encoded
from batchspec.ids import FileId
from batchspec.ports import Client
from batchspec.state.records import TERMINAL
from batchspec.state.remote import RemoteBatch

CREATE = ("POST", "/batches")


@dataclass(frozen=True, slots=True)
class Tampering:
    """What befalls one call: its answer is lost, or another answer comes and nothing is sent."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


LOST = Tampering()


class Wiretap(httpx2.AsyncBaseTransport):
    """Carries calls to the server, counts them, and tampers with those it was told to."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, base_url: str) -> None:
        self._inner = inner
        self._root = httpx2.URL(base_url).path.rstrip("/")
        self.calls: list[tuple[str, str]] = []
        self.tampering: dict[tuple[str, str], Tampering] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Carry a call."""
        call = request.method, request.url.path.removeprefix(self._root)
        self.calls.append(call)
        tampering = self.tampering.get(call)
        if tampering is not None and tampering.status is not None:
            error = {"message": "The conformance suite says so.", "type": "conformance"}
            return httpx2.Response(
                tampering.status, headers=tampering.headers, json={"error": error}, request=request
            )
        response = await self._inner.handle_async_request(request)
        if tampering is not None:
            await response.aclose()
            raise httpx2.ReadError("the answer was lost on its way", request=request)
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientUnderTest:
    """Makes clients of one implementation, each with a wiretap.

    Attributes:
        target: The server, and what is asked of it.
        make: Makes a client whose calls go through a transport.
        transport: Makes the transport to the server.
        sleep: Lets seconds pass for the server.
        note_file: Takes note of a file that is to be deleted.
        folder: Where input files are written.
    """

    target: Target
    make: Callable[[httpx2.AsyncBaseTransport], Client]
    transport: Callable[[], httpx2.AsyncBaseTransport]
    sleep: Callable[[float], None]
    note_file: Callable[[str], None]
    folder: Path

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[tuple[Client, Wiretap]]:
        """Make a client, and close it."""
        wire = Wiretap(self.transport(), self.target.base_url)
        client = self.make(wire)
        try:
            yield client, wire
        finally:
            await client.close()

    def input_file(self) -> Path:
        """Write an input file that fails validation, so that its batches cost nothing."""
        path = self.folder / "input.jsonl"
        path.write_bytes(encoded([line(self.target, "good"), b"{"]))
        return path

    async def upload(self, client: Client) -> FileId:
        """Upload that file."""
        file = await client.upload(self.input_file(), "batchspec-conformance.jsonl")
        self.note_file(file)
        return file

    async def submit(self, client: Client, mark: str = "t") -> RemoteBatch:
        """Make a batch of that file, with a mark of ours."""
        file = await self.upload(client)
        return await client.create(file, self.target.endpoint, "24h", {"batchspec": mark})

    async def ended(self, client: Client) -> RemoteBatch:
        """Make a batch and wait for its end."""
        batch = await self.submit(client)
        waited, pause = 0.0, 0.5
        while (seen := await client.retrieve(batch.id)).status not in TERMINAL:
            assert waited < self.target.deadline, f"batch {batch.id} is still {seen.status}"
            self.sleep(pause)
            waited += pause
        return seen
