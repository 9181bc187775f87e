"""Cutting what waits in a lane into batches."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from batchspec.state.events import Part
from batchspec.state.records import BatchRecord, LaneRecord
from batchspec.state.stored import Waiting


@dataclass(frozen=True, slots=True)
class Packet:
    """Requests that fit one batch: which ones, by job, and totals."""

    parts: tuple[Part, ...]
    members: int
    bytes: int
    data: Mapping[int, int] = field(default_factory=dict[int, int])
    """By job, the bytes that are no prompt."""


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
    requests: Iterable[Waiting], *, max_requests: int, max_bytes: int, min_requests: int = 1
) -> Iterator[Packet]:
    """Cut a stream of requests into packets, in order.

    Lines are counted as encoded, with their newline. A request that is larger than `max_bytes` on
    its own (the planner refuses those) becomes a packet of its own. A packet that would have fewer
    than `min_requests` shares with the one before it, as far as both limits allow.
    """
    before: list[Waiting] = []
    for rows in _filled(requests, max_requests, max_bytes):
        after = rows
        if before and len(after) < min_requests:
            before, after = _balanced(before, after, max_requests, max_bytes)
        if before:
            yield _packet(before)
        before = after
    if before:
        yield _packet(before)


def _filled(
    requests: Iterable[Waiting], max_requests: int, max_bytes: int
) -> Iterator[list[Waiting]]:
    rows: list[Waiting] = []
    size = 0
    for request in requests:
        encoded = request.size + 1
        if rows and (len(rows) >= max_requests or size + encoded > max_bytes):
            yield rows
            rows, size = [], 0
        rows.append(request)
        size += encoded
    if rows:
        yield rows


def _balanced(
    before: list[Waiting], after: list[Waiting], max_requests: int, max_bytes: int
) -> tuple[list[Waiting], list[Waiting]]:
    """Divide two packets anew, evenly, where the halves keep the limits; else leave them."""
    rows = before + after
    half = (len(rows) + 1) // 2
    first, second = rows[:half], rows[half:]
    if max(_bytes(first), _bytes(second)) > max_bytes or half > max_requests:
        return before, after
    return first, second


def _bytes(rows: Sequence[Waiting]) -> int:
    return sum(row.size for row in rows) + len(rows)


def _packet(rows: Sequence[Waiting]) -> Packet:
    found: dict[int, list[int]] = {}
    files: dict[int, int] = {}
    for row, job, size, data in rows:
        if data:
            files[job] = files.get(job, 0) + data
        if (part := found.get(job)) is None:
            found[job] = [row, row, 1, size + 1]
        else:
            part[1] = row
            part[2] += 1
            part[3] += size + 1
    parts = tuple(Part(job, *part) for job, part in found.items())
    return Packet(parts, len(rows), sum(part.bytes for part in parts), files)


def halved(size: int) -> int:
    """Return how large a file may be after one of a size was refused."""
    return max(1, size // 2)
