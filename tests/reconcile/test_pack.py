from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchspec.ids import BatchId, ConversationId, LaneId
from batchspec.reconcile.pack import Packet, pack, room
from batchspec.state.records import BatchRecord, Lane, LaneRecord

STREAMS = st.lists(st.integers(1, 60)).map(
    lambda sizes: [(ConversationId(3 * n + 1), size) for n, size in enumerate(sizes)]
)


def members(packet: Packet, stream: list[tuple[ConversationId, int]]) -> list[tuple[int, int]]:
    return [(n, size) for n, size in stream if packet.first <= n <= packet.last]


@given(STREAMS, st.integers(1, 7), st.integers(1, 200))
def test_packets_partition_the_stream_in_order_and_respect_both_limits(
    stream: list[tuple[ConversationId, int]], most: int, size: int
) -> None:
    packets = list(pack(stream, max_requests=most, max_bytes=size))
    assert [pair for packet in packets for pair in members(packet, stream)] == stream
    for packet in packets:
        inside = members(packet, stream)
        assert (packet.members, packet.bytes) == (len(inside), sum(n + 1 for _, n in inside))
        assert packet.members <= most
        assert packet.bytes <= size or packet.members == 1, "only a too large one goes beyond"


@given(STREAMS, st.integers(1, 7), st.integers(1, 200))
def test_no_two_neighbouring_packets_fit_into_one(
    stream: list[tuple[ConversationId, int]], most: int, size: int
) -> None:
    """Batches are as full as the order allows: the first of the next would not have fitted."""
    packets = list(pack(stream, max_requests=most, max_bytes=size))
    lines = dict(stream)
    for packet, following in pairwise(packets):
        too_many = packet.members + 1 > most
        too_large = packet.bytes + lines[following.first] + 1 > size
        assert too_many or too_large


def test_a_request_larger_than_a_batch_is_alone() -> None:
    stream = [(ConversationId(n), size) for n, size in ((1, 5), (2, 500), (3, 5))]
    found = [(p.first, p.last) for p in pack(stream, max_requests=10, max_bytes=100)]
    assert found == [(1, 1), (2, 2), (3, 3)]


def test_the_newline_counts() -> None:
    """Two lines of 9 bytes make a file of 20 bytes."""
    stream = [(ConversationId(1), 9), (ConversationId(2), 9)]
    assert len(list(pack(stream, max_requests=9, max_bytes=20))) == 1
    assert len(list(pack(stream, max_requests=9, max_bytes=19))) == 2


def test_nothing_makes_no_packet() -> None:
    assert list(pack([], max_requests=1, max_bytes=1)) == []


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
