"""What stopping items means, and what it did: values that grow with jobs and open batches."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from batchspec.ids import BatchId, JobAddress, RemoteId

CANCELLED = "It was cancelled by a person."
"""Why an item has no answer that somebody stopped."""
Fate = Literal["cancel", "unsent", "shared", "imported", "ending"]
"""cancel: it is cancelled · unsent: it was put together and never asked for · shared:
it runs on, because others want requests of it · imported: it runs on, because it was made by hand ·
ending: it has ended, or is being cancelled already."""


class JobStop(NamedTuple):
    """The items of one job that are to be stopped; the numbers count items."""

    job: JobAddress
    items: int
    final: int
    """They have their outcome and stay as they are."""
    pending: int
    tools: int
    batched: int
    shared: int
    """Items of others want the same answer, so that it goes on."""


class StopBatch(NamedTuple):
    """A batch with requests of the items."""

    id: BatchId
    remote_id: RemoteId | None
    members: int
    mine: int
    """How many of its requests are to be stopped."""
    fate: Fate


@dataclass(frozen=True, slots=True)
class Stop:
    """What is under way for some items."""

    jobs: tuple[JobStop, ...]
    batches: tuple[StopBatch, ...]

    @property
    def requests(self) -> int:
        """Return how many items there is something to stop of."""
        return sum(job.pending + job.tools + job.batched for job in self.jobs)

    @property
    def cancelled(self) -> tuple[StopBatch, ...]:
        """Return the batches that are to be cancelled."""
        return tuple(batch for batch in self.batches if batch.fate == "cancel")
