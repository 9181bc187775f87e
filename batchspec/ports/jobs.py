"""The jobs on record: what readers and the writer tell of them."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from batchspec.ids import JobAddress
from batchspec.state.records import JobProgress


class Jobs(Protocol):
    """The jobs on record."""

    def models(self) -> Mapping[JobAddress, str]:
        """Return `provider:model` of every job, those that were removed too."""
        ...

    def removed_jobs(self) -> frozenset[JobAddress]: ...

    def unfinished(self) -> set[JobAddress]:
        """Return the jobs with an item that is not final."""
        ...

    def answer_tokens(self, job: JobAddress) -> tuple[int, int, int]:
        """Return how many answers a job has, their output tokens, and those of the longest.

        The tokens of all turns count, so that an answer is no longer than they say.
        """
        ...

    def progress(self) -> Sequence[JobProgress]:
        """Count the items of every job; it looks at each of them."""
        ...
