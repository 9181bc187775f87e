"""What the loop asks of a provider, and of who knows what tokens cost."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from batchspec.ids import (
    FileId,
    RemoteId,
)
from batchspec.messages import Contract, JsonObject, Line, Usage
from batchspec.state.records import LoneRequest, Via
from batchspec.state.remote import RemoteBatch, RemoteFile

_START = len('{"custom_id":"') + 22
"""Bytes of a line up to where the parts of a codec begin; a turn's number may have five digits."""


class Wire(Protocol):
    """The pure codec of one endpoint; no I/O."""

    endpoint: str
    max_requests: int
    max_bytes: int

    def line_parts(self, contract: Contract) -> tuple[bytes, bytes]:
        """Return what stands in a line between the custom_id and the messages, and after them."""
        ...

    def body(self, contract: Contract, messages: Sequence[Any]) -> JsonObject:
        """Return the request body as the provider gets it."""
        ...

    def encode(self, messages_json: bytes) -> bytes:
        """Return stored messages, canonical JSON, as they stand in a line.

        What a person wrote is stored in the neutral form; what `assistant` and `tool_answer`
        gave is the endpoint's own already and stays as it is.
        """
        ...

    def size(self, messages_json: bytes) -> int:
        """Return how many bytes stored messages take in a line."""
        ...

    def decode(self, line: bytes) -> Line:
        """Judge one line of a result file alone; never raises."""
        ...

    def assistant(self, line: bytes) -> list[JsonObject]:
        """Return what the model said in a line that `decode` read as a reply, to be sent back."""
        ...

    def tool_answer(self, call: str, content: str) -> JsonObject:
        """Return what answers the call of a tool, by its id, in the next turn."""
        ...


def line_overhead(wire: Wire, contract: Contract) -> int:
    """Return the bytes of a line of an input file beside its messages, the newline not counted."""
    return sum(map(len, wire.line_parts(contract))) + _START


class Client(Protocol):
    """The I/O of one provider. Every method raises `CallError`, nothing else, for the far side."""

    async def upload(self, path: Path, name: str) -> FileId:
        """Upload a batch input file, streaming, with exactly one POST.

        `Uncertain` means that the file may be there.
        """
        ...

    def files(self, since: float) -> AsyncIterator[RemoteFile]:
        """Yield the account's batch input files, newest first, down to a creation time."""
        ...

    async def create(
        self, file: FileId, endpoint: str, window: str, metadata: Mapping[str, str]
    ) -> RemoteBatch:
        """Create a batch with exactly one POST. `Uncertain` means it may exist."""
        ...

    async def retrieve(self, batch: RemoteId) -> RemoteBatch: ...

    def recent(self, since: float) -> AsyncIterator[RemoteBatch]:
        """Yield the account's batches, newest first, down to a creation time."""
        ...

    def content(self, file: FileId) -> AsyncIterator[bytes]:
        """Yield the bytes of a file in chunks of any size."""
        ...

    async def has_file(self, file: FileId) -> bool:
        """Tell whether the provider still has a file."""
        ...

    async def cancel(self, batch: RemoteId) -> RemoteBatch: ...
    async def delete_file(self, file: FileId) -> None: ...
    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A provider as the loop uses it."""

    name: str
    client: Client
    wires: Mapping[str, Wire]
    """By endpoint: that of its jobs, and any other that its replies on record may be of."""
    max_requests: int
    max_bytes: int
    canary: int = 0
    """Requests to a model that never answered before the rest is sent; 0: all at once."""
    min_requests: int = 1
    """Fewer wait for more, as long as more can come."""
    lone_request: LoneRequest = "batch"
    """What becomes of fewer when no more can come."""
    live: Client | None = None
    """Runs batches in this process, against the live endpoint of the same account."""
    via: Via = "batch"
    """How `client` has requests answered."""
    max_enqueued_tokens: Mapping[str, int] = field(default_factory=dict[str, int])
    """Prompt tokens that may be under way, by model; `*` stands for every other one."""
    window: str = "24h"
    account: str | None = None
    """Whose batches it sees: where it is, and a hash of the key; None where nothing tells."""

    @property
    def place(self) -> str:
        """Return where its batches run, for people; the name of the provider as a rule."""
        return self.name if self.via == "batch" else live_place(self.name)

    def wire(self, endpoint: str) -> Wire:
        """Return the codec of one of its endpoints."""
        return self.wires[endpoint]

    def cap(self, model: str) -> int | None:
        """Return the prompt tokens of a model that may be under way; None: no bound.

        There is none where requests are asked one by one: they are in no queue.
        """
        if self.via == "live":
            return None
        return self.max_enqueued_tokens.get(model, self.max_enqueued_tokens.get("*"))


def live_place(provider: str) -> str:
    """Return what the live endpoint of a provider of batches is called."""
    return f"{provider} (live)"


class Prices(Protocol):
    """What tokens cost."""

    def cost(self, provider: str, model: str, usage: Usage, *, via: Via = ...) -> Decimal | None:
        """Return US dollars, or None when the price is not known (never 0)."""
        ...

    def meter(
        self, provider: str, model: str, *, via: Via = ...
    ) -> Callable[[Usage], float] | None:
        """Return what tells the cost of one reply fast, or None when the price is not known."""
        ...
