"""Cutting what waits in a lane into batches."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from batchspec.ids import ConversationId
from batchspec.state.records import BatchRecord, LaneRecord


@dataclass(frozen=True, slots=True)
class Packet:
    """Neighbouring requests that fit one batch: the first and last conversation, and totals."""

    first: ConversationId
    last: ConversationId
    members: int
    bytes: int


def room(lane: LaneRecord, batches: Iterable[BatchRecord], max_requests: int) -> int:
    """Return how many requests a batch of a lane may have now.

    Where the provider's queue was full though no batch of the lane is in it, waiting does not help:
    the batch alone is too large. Refused batches double in number as they halve in size.

    Args:
        lane: What waits, and how often in a row its batches were refused.
        batches: All open batches.
        max_requests: What the provider allows.
    """
    if not lane.holds or any(batch.lane == lane.lane.id for batch in batches):
        return max_requests
    return max(1, min(max_requests, lane.pending) >> lane.holds.bit_length())


def pack(
    requests: Iterable[tuple[ConversationId, int]], *, max_requests: int, max_bytes: int
) -> Iterator[Packet]:
    """Cut a stream of (conversation, bytes of its line) into packets, in order.

    Lines are counted as encoded, with their newline. A request that is larger than `max_bytes` on
    its own (the planner refuses those) becomes a packet of its own.
    """
    first: ConversationId | None = None
    last = ConversationId(0)
    members = size = 0
    for conversation, line in requests:
        encoded = line + 1
        if first is not None and (members >= max_requests or size + encoded > max_bytes):
            yield Packet(first, last, members, size)
            first, members, size = None, 0, 0
        if first is None:
            first = conversation
        last = conversation
        members += 1
        size += encoded
    if first is not None:
        yield Packet(first, last, members, size)
