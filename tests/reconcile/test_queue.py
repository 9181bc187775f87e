"""Everything that waits is sent, once, within the cap: a queue that is played to its end.

The pieces are the real ones, `decide`, `admission` and `pack`; only what the state would hold is in
lists here.
"""

from dataclasses import dataclass, field
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from batchspec.ids import BatchId, ConversationId, LaneId
from batchspec.reconcile.actions import Pack
from batchspec.reconcile.admit import admission, under_way, weight
from batchspec.reconcile.decide import Snapshot, decide
from batchspec.reconcile.pack import Packet, pack
from batchspec.state.records import BatchRecord, Lane, LaneRecord
from batchspec.state.stored import Waiting

LANES = tuple(Lane(LaneId(n), "openai", f"/v1/{n}", "m") for n in (1, 2))
ROWS = st.lists(
    st.tuples(st.sampled_from([1, 2]), st.integers(1, 3), st.integers(1, 3_000)), max_size=40
)


@dataclass
class Queue:
    """What waits and what is open, of two endpoints of one model."""

    cap: int
    minimum: int
    waiting: dict[LaneId, list[Waiting]]
    open: list[BatchRecord] = field(default_factory=list[BatchRecord])
    sent: list[Waiting] = field(default_factory=list[Waiting])

    def lanes(self) -> list[LaneRecord]:
        rows = ((lane, self.waiting[lane.id]) for lane in LANES)
        return [
            LaneRecord(lane, len(found), 0, head=found[0].size if found else 0)
            for lane, found in rows
        ]

    def look(self) -> list[Pack]:
        ids = [lane.id for lane in LANES]
        snapshot = Snapshot(
            lanes=self.lanes(),
            batches=self.open,
            caps=dict.fromkeys(ids, self.cap),
            minimum=dict.fromkeys(ids, self.minimum),
        )
        return [action for action in decide(snapshot, 0.0).actions if isinstance(action, Pack)]

    def pack(self, lane: LaneId) -> None:
        rows = self.waiting[lane]
        record = next(one for one in self.lanes() if one.lane.id == lane)
        backlog: dict[tuple[LaneId, int], int] = {}
        for where, found in self.waiting.items():
            for row in found:
                key = (where, row.job)
                backlog[key] = backlog.get(key, 0) + weight(row.size)
        others = under_way(record.lane, LANES, self.open)
        let_in = list(admission(record, self.cap, others, backlog).admitted(rows))
        for packet in pack(let_in, max_requests=7, max_bytes=20_000, min_requests=self.minimum):
            self.open.append(_batch(len(self.sent), lane, packet))
        self.sent += let_in
        self.waiting[lane] = [row for row in rows if row not in let_in]
        assert let_in, "who asks to pack has something to pack, or it would be asked for ever"
        tokens = under_way(record.lane, LANES, self.open).tokens
        alone = len(let_in) == 1 and not others.any
        assert tokens <= self.cap or alone


def _batch(number: int, lane: LaneId, packet: Packet) -> BatchRecord:
    return BatchRecord(
        id=BatchId(f"b{number}"),
        lane=lane,
        phase="submitted",
        status="in_progress",
        members=packet.members,
        bytes=packet.bytes,
        next_at=1.0,
    )


@given(ROWS, st.integers(1, 3_000), st.integers(1, 6), st.randoms(use_true_random=False))
def test_a_queue_is_sent_to_its_end(
    rows: list[tuple[int, int, int]], cap: int, minimum: int, random: Random
) -> None:
    every = [
        (LaneId(lane), Waiting(ConversationId(n), job, size))
        for n, (lane, job, size) in enumerate(rows)
    ]
    waiting = {lane.id: [row for where, row in every if where == lane.id] for lane in LANES}
    queue = Queue(cap, minimum, waiting)
    for _ in range(4 * len(rows) + 4):
        if packs := queue.look():
            queue.pack(random.choice(packs).lane)
        elif queue.open:
            queue.open.pop(random.randrange(len(queue.open)))
        else:
            break
    assert not queue.open
    assert sorted(queue.sent) == sorted(row for _, row in every)
