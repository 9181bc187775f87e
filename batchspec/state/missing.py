"""Rows a job made of answers does not have, because there are no answers to make them of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from batchspec.ids import JobAddress
from batchspec.messages import Outcome


class Absence(NamedTuple):
    """An item without an answer; `job` is its own, which may be several stages above."""

    job: JobAddress
    key: str
    outcome: Outcome
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """What a job made of answers lacks.

    Attributes:
        job: Whose rows are missing; of a `collected` job, parts of its one row.
        sources: The jobs it is made of.
        outcomes: How many items ended without an answer, by the job they are of and by outcome.
        first: Some of them.
        left_out: Answers that `where` did not take.
    """

    job: JobAddress
    sources: tuple[JobAddress, ...]
    collected: bool = False
    outcomes: Mapping[JobAddress, Mapping[Outcome, int]]
    first: tuple[Absence, ...] = ()
    left_out: int = 0

    @property
    def total(self) -> int:
        """Return how many rows are missing, or answers in the one row."""
        return sum(n for counts in self.outcomes.values() for n in counts.values())
