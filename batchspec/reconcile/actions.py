"""What is to be done next, as data. Each action has a key: one with the same key runs at a time."""

from dataclasses import dataclass
from typing import Literal

from batchspec.ids import BatchId, JobAddress, LaneId

ActionName = Literal["pack", "submit", "adopt", "poll", "collect", "tools", "expand"]
ActionKey = tuple[ActionName, str]


@dataclass(frozen=True, slots=True)
class Pack:
    """Put what waits in a lane into batches: records intents, sends nothing."""

    lane: LaneId

    @property
    def key(self) -> ActionKey:
        return ("pack", str(self.lane))


@dataclass(frozen=True, slots=True)
class Submit:
    """Upload the input file, unless that is done, and create the batch."""

    batch: BatchId

    @property
    def key(self) -> ActionKey:
        return ("submit", self.batch)


@dataclass(frozen=True, slots=True)
class Adopt:
    """Look for a batch whose create got no answer; create again only after the grace period."""

    batch: BatchId

    @property
    def key(self) -> ActionKey:
        return ("adopt", self.batch)


@dataclass(frozen=True, slots=True)
class Poll:
    """Ask how far a batch is."""

    batch: BatchId

    @property
    def key(self) -> ActionKey:
        return ("poll", self.batch)


@dataclass(frozen=True, slots=True)
class Collect:
    """Download both result files of an ended batch and settle its members."""

    batch: BatchId

    @property
    def key(self) -> ActionKey:
        return ("collect", self.batch)


@dataclass(frozen=True, slots=True)
class RunTools:
    """Run the tool calls of a job's conversations and prepare their next turns."""

    job: JobAddress

    @property
    def key(self) -> ActionKey:
        return ("tools", self.job)


@dataclass(frozen=True, slots=True)
class Expand:
    """Plan the rows of a job whose upstream jobs are final, and record them."""

    job: JobAddress

    @property
    def key(self) -> ActionKey:
        return ("expand", self.job)


Action = Pack | Submit | Adopt | Poll | Collect | RunTools | Expand
