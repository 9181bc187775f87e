"""What is to be done next, as data.

Each action has a subject, and one action of a subject runs at a time: what a batch needs next is
decided from what its running action will have recorded.
"""

from dataclasses import dataclass
from typing import Literal

from batchspec.ids import BatchId, JobAddress, LaneId

Subject = tuple[Literal["lane", "batch", "tools", "job", "hooks"], str]


@dataclass(frozen=True, slots=True)
class Pack:
    """Put what waits in a lane into batches: records intents, sends nothing.

    `lone` says that less than the provider's minimum waits, and that no more will come.
    """

    lane: LaneId
    lone: bool = False

    @property
    def subject(self) -> Subject:
        return ("lane", str(self.lane))


@dataclass(frozen=True, slots=True)
class Submit:
    """Upload the input file, unless that is done, and create the batch."""

    batch: BatchId

    @property
    def subject(self) -> Subject:
        return ("batch", self.batch)


@dataclass(frozen=True, slots=True)
class Adopt:
    """Look for a batch whose create got no answer; create again only after the grace period."""

    batch: BatchId

    @property
    def subject(self) -> Subject:
        return ("batch", self.batch)


@dataclass(frozen=True, slots=True)
class Cancel:
    """Tell the provider to stop a batch, or give up one that was never created."""

    batch: BatchId

    @property
    def subject(self) -> Subject:
        return ("batch", self.batch)


@dataclass(frozen=True, slots=True)
class Poll:
    """Ask how far a batch is."""

    batch: BatchId

    @property
    def subject(self) -> Subject:
        return ("batch", self.batch)


@dataclass(frozen=True, slots=True)
class Collect:
    """Download both result files of an ended batch and settle its members."""

    batch: BatchId

    @property
    def subject(self) -> Subject:
        return ("batch", self.batch)


@dataclass(frozen=True, slots=True)
class Tidy:
    """Delete the input file of a batch that is done with."""

    batch: BatchId

    @property
    def subject(self) -> Subject:
        return ("batch", self.batch)


@dataclass(frozen=True, slots=True)
class RunTools:
    """Run the tool calls of a job's conversations and prepare their next turns."""

    job: JobAddress

    @property
    def subject(self) -> Subject:
        return ("tools", self.job)


@dataclass(frozen=True, slots=True)
class Expand:
    """Plan the rows of a job whose upstream jobs are final, and record them.

    Those of an eager job come earlier, with `whole` unset: rows of answers that nobody has looked
    at yet; none is forgotten.
    """

    job: JobAddress
    whole: bool = True

    @property
    def subject(self) -> Subject:
        return ("job", self.job)


@dataclass(frozen=True, slots=True)
class Rejudge:
    """Judge the stored replies of a job again, because what runs on this machine changed."""

    job: JobAddress

    @property
    def subject(self) -> Subject:
        return ("job", self.job)


@dataclass(frozen=True, slots=True)
class RunHooks:
    """Tell a job's hooks what they have not been told."""

    job: JobAddress

    @property
    def subject(self) -> Subject:
        return ("hooks", self.job)


Action = (
    Pack | Submit | Adopt | Cancel | Poll | Collect | Tidy | RunTools | Expand | Rejudge | RunHooks
)
