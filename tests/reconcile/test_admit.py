"""How much may be sent now: within the cap, in order, and fairly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchspec.ids import BatchId, ConversationId, LaneId
from batchspec.reconcile.admit import (
    Admission,
    UnderWay,
    admission,
    fair,
    free_bytes,
    shares,
    under_way,
    weight,
)
from batchspec.state.records import BatchRecord, Lane, LaneRecord
from batchspec.state.stored import Waiting
from batchspec.state.tokens import prompt_tokens

NEEDS = st.dictionaries(st.integers(1, 9), st.integers(0, 1000))
LANE = Lane(LaneId(1), "openai", "/v1/chat/completions", "m")


@pytest.mark.parametrize(
    ("backlog", "free", "expected"),
    [
        pytest.param({}, 9, {}, id="nobody"),
        pytest.param({1: 5}, 9, {1: 5}, id="all fits"),
        pytest.param({1: 50}, 9, {1: 9}, id="one takes it all"),
        pytest.param({1: 50, 2: 50}, 10, {1: 5, 2: 5}, id="equal shares"),
        pytest.param({1: 1_000_000, 2: 100}, 1000, {1: 900, 2: 100}, id="a small job gets all"),
        pytest.param({1: 90, 2: 10, 3: 90}, 100, {1: 45, 2: 10, 3: 45}, id="the rest is shared"),
        pytest.param({1: 5, 2: 5}, 0, {1: 0, 2: 0}, id="nothing is free"),
        pytest.param({1: 5, 2: 5}, -3, {1: 0, 2: 0}, id="less than nothing is free"),
    ],
)
def test_what_is_free_is_shared(
    backlog: dict[int, int], free: int, expected: dict[int, int]
) -> None:
    assert shares(backlog, free) == expected


@given(NEEDS, st.integers(0, 4000))
def test_shares_are_fair_whoever_asks(backlog: dict[int, int], free: int) -> None:
    """Max-min: who is cut short has, but for rounding, as much as anybody."""
    found = shares(backlog, free)
    assert sum(found.values()) == min(free, sum(backlog.values()))
    assert all(0 <= found[who] <= wanted for who, wanted in backlog.items())
    most = max(found.values(), default=0)
    short = [found[who] for who, wanted in backlog.items() if found[who] < wanted]
    assert all(most - share <= len(backlog) for share in short)


def test_lanes_of_one_model_share_its_queue() -> None:
    backlog = {(LaneId(1), 7): 100, (LaneId(1), 8): 10, (LaneId(2), 9): 100}
    assert fair(backlog, LaneId(1), 110) == {7: 50, 8: 10}
    assert fair(backlog, LaneId(2), 110) == {9: 50}


def rows(*given: tuple[int, int]) -> list[Waiting]:
    """Return requests of (job, weight)."""
    return [Waiting(ConversationId(n), job, cost + 89) for n, (job, cost) in enumerate(given, 1)]


def let(free: int | None, shared: dict[int, int], *given: tuple[int, int], **more: bool) -> str:
    return "".join(str(row.id) for row in Admission(free, shared, **more).admitted(rows(*given)))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(let(None, {}, (1, 9), (2, 9)), "12", id="no cap"),
        pytest.param(let(20, {1: 20}, (1, 9), (1, 9), (1, 9)), "12", id="as many as fit"),
        pytest.param(let(20, {1: 10, 2: 10}, (1, 5), (1, 5), (1, 5), (2, 5)), "124", id="fair"),
        pytest.param(let(20, {1: 9, 2: 11}, (1, 5), (1, 5), (2, 9)), "13", id="within"),
        pytest.param(let(9, {1: 4, 2: 4}, (1, 8), (2, 8)), "1", id="larger than a share"),
        pytest.param(let(9, {1: 9}, (1, 99), (1, 5)), "", id="none passes a large one"),
        pytest.param(let(9, {1: 4, 2: 4}, (1, 99), (2, 5)), "2", id="but those of others do"),
        pytest.param(let(9, {1: 9}, (1, 99), (1, 5), alone=True), "1", id="too large, alone"),
        pytest.param(let(9, {1: 9}, (1, 8), (1, 5), alone=True), "1", id="alone, once"),
        pytest.param(let(0, {1: 0}, (1, 1)), "", id="nothing is free"),
    ],
)  # fmt: skip
def test_requests_are_let_in(found: str, expected: str) -> None:
    assert found == expected


STREAMS = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 500)), min_size=1, max_size=30)


@given(STREAMS, st.integers(1, 2000), st.integers(0, 2000))
def test_what_is_let_in_keeps_the_cap_and_something_always_is(
    stream: list[tuple[int, int]], cap: int, enqueued: int
) -> None:
    """Counted as the batch will be counted when it is open."""
    waiting = rows(*stream)
    lane = LaneRecord(LANE, len(waiting), 0, head=waiting[0].size)
    backlog: dict[tuple[LaneId, int], int] = {}
    for row in waiting:
        key = (LANE.id, row.job)
        backlog[key] = backlog.get(key, 0) + weight(row.size)
    others = UnderWay(tokens=enqueued, any=enqueued > 0)
    found = list(admission(lane, cap, others, backlog).admitted(waiting))
    tokens = prompt_tokens(len(found), sum(row.size + 1 for row in found))
    free = free_bytes(cap, enqueued) or 0
    fits = weight(lane.head) <= free
    assert tokens + enqueued <= cap or not found or (len(found) == 1 and not others.any)
    assert bool(found) or not (fits or not others.any)
    assert found == [row for row in waiting if row in found], "in order"


def test_what_is_under_way_of_a_model() -> None:
    """Endpoints share a queue; ended, live and other models' batches are not in it."""
    other = Lane(LaneId(3), "openai", "/v1/chat/completions", "n")
    lanes = [LANE, Lane(LaneId(2), "openai", "/v1/responses", "m"), other]

    def batch(lane: int, phase: str, tokens: int, **more: object) -> BatchRecord:
        values = {"members": 1, "bytes": 4 * tokens + 90, **more}
        return BatchRecord(id=BatchId("b"), lane=LaneId(lane), phase=phase, **values)  # type: ignore[arg-type]

    batches = [
        batch(1, "submitted", 1, status="in_progress"),
        batch(2, "intended", 10),
        batch(1, "submitted", 100, double_of=BatchId("x"), cancel_at=1.0, status="cancelling"),
        batch(1, "ended", 1000),
        batch(3, "submitted", 10_000),
        batch(1, "submitted", 100_000, via="live"),
    ]
    assert under_way(LANE, lanes, batches) == UnderWay(
        111, any=True, submitted=True, unsettled=True
    )
    assert under_way(LANE, lanes, batches[:1]) == UnderWay(1, any=True, submitted=True)
    assert under_way(other, lanes, batches[:4]) == UnderWay()
