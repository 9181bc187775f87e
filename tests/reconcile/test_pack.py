from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchspec.ids import BatchId, ConversationId, LaneId
from batchspec.reconcile.pack import Packet, halved, pack, room
from batchspec.state.records import BatchRecord, Lane, LaneRecord
from batchspec.state.stored import Waiting

STREAMS = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 3))).map(
    lambda rows: [
        Waiting(ConversationId(3 * n + 1), job, size) for n, (size, job) in enumerate(rows)
    ]
)
Stream = list[Waiting]


def lines(*sizes: int) -> Stream:
    return [Waiting(ConversationId(n), 1, size) for n, size in enumerate(sizes, 1)]


def members(packet: Packet, stream: Stream) -> Stream:
    """Return what the store takes for the members: by job, what waits in a range."""
    ranges = {part.job: (part.first, part.last) for part in packet.parts}
    taken = [row for row in stream if row.job in ranges]
    return [row for row in taken if ranges[row.job][0] <= row.id <= ranges[row.job][1]]


@given(STREAMS, st.integers(1, 7), st.integers(1, 200), st.integers(1, 4))
def test_packets_partition_the_stream_in_order_and_respect_both_limits(
    stream: Stream, most: int, size: int, least: int
) -> None:
    packets = list(pack(stream, max_requests=most, max_bytes=size, min_requests=least))
    assert [row for packet in packets for row in members(packet, stream)] == stream
    for packet in packets:
        inside = members(packet, stream)
        encoded = sum(row.size + 1 for row in inside)
        assert (packet.members, packet.bytes) == (len(inside), encoded)
        assert sum(part.members for part in packet.parts) == packet.members
        assert sum(part.bytes for part in packet.parts) == packet.bytes
        assert packet.members <= most
        assert packet.bytes <= size or packet.members == 1, "only a too large one goes beyond"


@given(STREAMS, st.integers(1, 7), st.integers(1, 200))
def test_no_two_neighbouring_packets_fit_into_one(stream: Stream, most: int, size: int) -> None:
    """Batches are as full as the order allows: the first of the next would not have fitted."""
    packets = list(pack(stream, max_requests=most, max_bytes=size))
    for packet, following in pairwise(packets):
        too_many = packet.members + 1 > most
        too_large = packet.bytes + members(following, stream)[0].size + 1 > size
        assert too_many or too_large


@given(st.integers(1, 400), st.integers(2, 30), st.integers(1, 30))
def test_no_rest_is_below_the_minimum_where_all_are_enough(n: int, most: int, least: int) -> None:
    """A provider that takes no small batches takes every one of them."""
    least = min(least, most // 2)
    packets = list(pack(lines(*[5] * n), max_requests=most, max_bytes=10**6, min_requests=least))
    assert len(packets) == -(-n // most), "no batch more than without a minimum"
    if n >= least:
        assert min(packet.members for packet in packets) >= least


def test_a_request_larger_than_a_batch_is_alone() -> None:
    packets = pack(lines(5, 500, 5), max_requests=10, max_bytes=100)
    assert [(p.parts[0].first, p.parts[0].last) for p in packets] == [(1, 1), (2, 2), (3, 3)]


def test_the_newline_counts() -> None:
    """Two lines of 9 bytes make a file of 20 bytes."""
    assert len(list(pack(lines(9, 9), max_requests=9, max_bytes=20))) == 1
    assert len(list(pack(lines(9, 9), max_requests=9, max_bytes=19))) == 2


def test_nothing_makes_no_packet() -> None:
    assert list(pack([], max_requests=1, max_bytes=1)) == []


def test_a_file_that_is_refused_is_halved_down_to_a_line() -> None:
    assert [halved(9), halved(2), halved(1)] == [4, 1, 1]


@pytest.mark.parametrize(
    ("pending", "holds", "others_open", "expected"),
    [
        pytest.param(3000, 0, False, 400, id="never refused"),
        pytest.param(3000, 1, True, 400, id="the queue will empty"),
        pytest.param(3000, 1, False, 200, id="too large alone"),
        pytest.param(3000, 3, False, 100, id="both halves too large"),
        pytest.param(100, 1, False, 50, id="half of what waits"),
        pytest.param(3, 60, False, 1, id="never nothing"),
    ],
)
def test_a_batch_that_is_too_large_alone_is_halved(
    pending: int, holds: int, others_open: bool, expected: int
) -> None:
    lane = Lane(LaneId(1), "openai", "/v1/chat/completions", "gpt-5-mini")
    record = LaneRecord(lane, pending=pending, tools=0, holds=holds)
    batches = [BatchRecord(id=BatchId("b"), lane=LaneId(1 if others_open else 2))]
    assert room(record, batches, 400) == expected
