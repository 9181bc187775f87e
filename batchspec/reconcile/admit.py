"""How much of what waits may be sent now: bounds on prompt tokens, full queues, fair shares."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from batchspec.ids import LaneId
from batchspec.state.records import BatchRecord, Lane, LaneRecord
from batchspec.state.stored import Waiting
from batchspec.state.tokens import BYTES_PER_TOKEN, ENVELOPE, prompt_tokens

Backlog = Mapping[tuple[LaneId, int], int]
"""What could be sent, by lane and job: the sum of the weights of its lines."""
Who = TypeVar("Who")
_WORTHWHILE = 20
"""What is free must be the cap's twentieth part at least, or a batch is not worth its name."""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """What is at the provider, or about to be, of one model at one account, at all endpoints.

    Batches that double others and batches that are being cancelled count until they ended.

    Attributes:
        tokens: Estimated prompt tokens.
        any: Whether there is a batch.
        submitted: Whether the provider has one.
        unsettled: Whether it has not yet said that it takes one.
    """

    tokens: int = 0
    any: bool = False
    submitted: bool = False
    unsettled: bool = False


def under_way(lane: Lane, lanes: Iterable[Lane], batches: Iterable[BatchRecord]) -> UnderWay:
    """Sum up the open batches of a lane's provider and model.

    Args:
        lane: The one that is looked at.
        lanes: All.
        batches: All that are open.
    """
    same = {one.id for one in lanes if one.queue == lane.queue}
    found = [
        batch
        for batch in batches
        if batch.lane in same and batch.phase in {"intended", "submitted"} and batch.via == "batch"
    ]
    return UnderWay(
        tokens=sum(prompt_tokens(batch.members, batch.bytes - batch.data) for batch in found),
        any=bool(found),
        submitted=any(batch.phase == "submitted" for batch in found),
        unsettled=any(batch.status in {None, "validating"} for batch in found),
    )


def admits(lane: LaneRecord, cap: int | None, others: UnderWay) -> bool:
    """Tell whether something of a lane may be sent as soon as its time has come.

    Args:
        lane: What waits.
        cap: Prompt tokens of the model that may be under way; None: no bound.
        others: What is under way.
    """
    if lane.hold_kind == "full" and others.submitted:
        return False  # until one of them ends
    if lane.hold_kind == "probe" and others.unsettled:
        return False  # until the provider has said whether it takes one more
    free = free_bytes(cap, others.tokens)
    if cap is None or free is None or not others.any:
        return True  # a request that is too large alone does not become smaller by waiting
    return free >= max(weight(lane.head), cap * BYTES_PER_TOKEN // _WORTHWHILE)


def free_bytes(cap: int | None, enqueued: int) -> int | None:
    """Return how many prompt bytes a cap on prompt tokens leaves; None: no bound.

    Args:
        cap: Prompt tokens of a model that may be under way; None: no bound.
        enqueued: Those that are.
    """
    return None if cap is None else max(0, cap - enqueued) * BYTES_PER_TOKEN


def weight(size: int) -> int:
    """Return what a line counts against a cap, in bytes.

    Never less than its part of `prompt_tokens` of a batch, so that what was let in stays within.
    """
    return max(1, size + 1 - ENVELOPE)


def shares(backlog: Mapping[Who, int], free: int) -> dict[Who, int]:
    """Divide what is free fairly: equal shares, and what one does not need goes to the others.

    Args:
        backlog: How much each could use.
        free: How much there is.
    """
    found: dict[Who, int] = {}
    left = max(0, free)
    ascending = sorted(backlog.items(), key=lambda entry: entry[1])
    for n, (who, wanted) in enumerate(ascending):
        found[who] = min(wanted, left // (len(ascending) - n))
        left -= found[who]
    return found


def fair(backlog: Backlog, lane: LaneId, free: int) -> dict[int, int]:
    """Return how many bytes each job of a lane may send, of what all lanes of its model share.

    Args:
        backlog: What waits in the lanes of the model.
        lane: The one that is packed.
        free: Bytes.
    """
    divided = shares(backlog, free)
    return {job: share for (where, job), share in divided.items() if where == lane}


@dataclass(slots=True)
class Admission:
    """Lets requests in as long as they fit: in order, and fairly between jobs.

    A job's first request may be larger than its share, which would be nothing otherwise. After one
    that does not fit, its job sends none: small requests must not pass a large one for ever.

    Attributes:
        free: Prompt bytes that may still be sent; None: no bound.
        shares: Of each job; a job without one waits.
        alone: Let the first request in, whatever it counts: nothing else is under way, and waiting
            does not make it smaller.
    """

    free: int | None = None
    shares: Mapping[int, int] = field(default_factory=dict[int, int])
    alone: bool = False

    def admitted(self, requests: Iterable[Waiting]) -> Iterable[Waiting]:
        """Return the requests that may be sent now, one by one."""
        return requests if self.free is None else self._within(self.free, requests)

    def _within(self, left: int, requests: Iterable[Waiting]) -> Iterator[Waiting]:
        none = True
        used: dict[int, int] = {}
        shut: set[int] = set()
        for request in requests:
            job, cost = request.job, weight(request.size - request.data)
            spent = used.get(job, 0)
            beyond = spent and spent + cost > self.shares.get(job, 0)
            if beyond or (cost > left and not (none and self.alone)):
                shut.add(job)
            if job in shut:
                continue
            left, none = left - cost, False
            used[job] = spent + cost
            yield request
            if left <= 0:
                return


def admission(lane: LaneRecord, cap: int | None, others: UnderWay, backlog: Backlog) -> Admission:
    """Say what of a lane may be sent now.

    Args:
        lane: What waits.
        cap: Prompt tokens of the model that may be under way; None: no bound.
        others: What is under way.
        backlog: What waits for the model, over all its lanes; needed with a cap only.
    """
    free = free_bytes(cap, others.tokens)
    if free is None:
        return Admission()
    return Admission(free, fair(backlog, lane.lane.id, free), alone=not others.any)
