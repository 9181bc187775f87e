"""The recorded state as people look at it: one entry per item, and one job or item in full."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from batchspec.ids import BatchId, JobAddress, RemoteId, RowKey, item_address
from batchspec.messages import Outcome, Usage
from batchspec.state.events import Event
from batchspec.state.records import BatchRecord, ConversationPhase, JobProgress, Lane


class ItemEntry(NamedTuple):
    """One item in a list."""

    job: JobAddress
    key: RowKey
    phase: ConversationPhase
    outcome: Outcome | None
    tainted: bool

    @property
    def address(self) -> str:
        """Return the item's address."""
        return item_address(self.job, self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDetail:
    """One job in full. Fingerprints are hexadecimal."""

    progress: JobProgress
    lane: Lane
    contract: str
    policy: str
    judged: bool
    """Whether its replies were judged by this policy."""
    upstream: str | None
    """Of the answers it was expanded from."""
    protect: bool


@dataclass(frozen=True, slots=True)
class BodyPlace:
    """Where a body is: a file under `artifacts/`, its frame, and the record in the frame."""

    file: str
    offset: int
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OldAnswer:
    """The answer that is readable until the new one is in."""

    fingerprint: str
    outcome: Outcome | None
    cost: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemDetail:
    """One item in full, with the conversation that answers it. Fingerprints are hexadecimal."""

    entry: ItemEntry
    fingerprint: str
    contract: str
    lane: Lane
    reason: str | None
    turn: int
    tries: int
    attempts: int
    output_retries: int
    usage: Usage
    cost: float | None
    """US dollars of all turns; None: a price is unknown."""
    batch: BatchId | None
    """The last batch that carried it."""
    remote_id: RemoteId | None
    bodies: Mapping[str, BodyPlace]
    """By what is in them: row, request, reply, answer, kept."""
    previous: OldAnswer | None
    shared_with: tuple[str, ...]
    """Other items with the same request, the first ten."""


class JournalEntry(NamedTuple):
    """One event of the journal."""

    seq: int
    at: float
    kind: str
    payload: Mapping[str, Any]
    event: Event | None
    """None where this version knows no such event."""


class ListedBatch(NamedTuple):
    """A batch, and where its requests go."""

    batch: BatchRecord
    lane: Lane
