"""What removing jobs or items means: values that grow with jobs."""

from dataclasses import dataclass

from batchspec.ids import JobAddress
from batchspec.state.stopped import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRemoval:
    """What is removed of one job."""

    job: JobAddress
    whole: bool
    """The job itself, and not only some of its items."""
    items: int
    succeeded: int
    """Items with an answer."""
    answers: int
    """Conversations nobody else wants, also those of rows that were forgotten before."""
    cost: float | None
    """US dollars these have cost; None where a price is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What would be removed, and what is under way of it."""

    jobs: tuple[JobRemoval, ...]
    stop: Stop
    everything: bool
    environment: str

    @property
    def items(self) -> int:
        """Return how many items there are."""
        return sum(job.items for job in self.jobs)

    @property
    def answers(self) -> int:
        """Return how many answers nobody else wants."""
        return sum(job.answers for job in self.jobs)

    @property
    def cost(self) -> float | None:
        """Return US dollars the answers have cost; None where a price is unknown."""
        costs = [job.cost for job in self.jobs]
        return None if None in costs else sum(cost or 0 for cost in costs)
