"""Given what is recorded, when it is `NOW`, then these actions and this time to look again."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from batchspec.ids import BatchId, JobAddress, LaneId
from batchspec.reconcile.actions import (
    Action,
    Adopt,
    Cancel,
    Collect,
    Expand,
    Pack,
    Poll,
    Rejudge,
    RunHooks,
    RunTools,
    Submit,
)
from batchspec.reconcile.decide import Snapshot, decide
from batchspec.state.records import BatchPhase, BatchRecord, JobTools, Lane, LaneRecord

NOW = 1000.0
LATER = NOW + 5
A, B, C = JobAddress("m.a"), JobAddress("m.b"), JobAddress("m.c")


def batch(
    phase: BatchPhase,
    *,
    at: float = NOW,
    create_at: float | None = None,
    lane: int = 1,
    **more: Any,
) -> BatchRecord:
    return BatchRecord(
        id=BatchId("b"), lane=LaneId(lane), phase=phase, next_at=at, create_at=create_at, **more
    )


def running(
    tokens: int, *, at: float = LATER, phase: BatchPhase = "submitted", **more: Any
) -> BatchRecord:
    """Return a batch with so many prompt tokens, at the provider."""
    return batch(phase, at=at, members=1, bytes=4 * tokens + 90, **more)


def lane(
    pending: int, *, tools: int = 0, until: float = 0.0, number: int = 1, **more: Any
) -> LaneRecord:
    found = Lane(LaneId(number), "openai", f"/v1/{number}", "m")
    return LaneRecord(found, pending, tools, until, **more)


@dataclass(frozen=True)
class Case:
    name: str
    given: Snapshot
    then: tuple[Action, ...] = ()
    wake_at: float | None = None


CASES = (
    Case("nothing is left", Snapshot()),
    Case("requests wait", Snapshot(lanes=[lane(3)]), (Pack(LaneId(1)),)),
    Case("hooks are to be told", Snapshot(hooks={A: 0.0, B: NOW}), (RunHooks(A), RunHooks(B))),
    Case("hooks are told again later", Snapshot(hooks={A: LATER, B: LATER + 1}), (), LATER),
    Case(
        "hooks are told beside requests that wait for nobody",
        Snapshot(lanes=[lane(3)], hooks={A: 0.0}),
        (Pack(LaneId(1)), RunHooks(A)),
    ),
    Case(
        "one request waits for no hook that fails",
        Snapshot(lanes=[lane(1)], minimum={LaneId(1): 2}, hooks={A: LATER}),
        (Pack(LaneId(1), lone=True),),
        LATER,
    ),
    Case("an empty lane", Snapshot(lanes=[lane(0)])),
    Case("a lane is held", Snapshot(lanes=[lane(3, until=NOW + 60)]), (), NOW + 60),
    Case("an empty lane is held", Snapshot(lanes=[lane(0, until=NOW + 60)])),
    Case("a hold is over", Snapshot(lanes=[lane(3, until=NOW)]), (Pack(LaneId(1)),)),
    Case(
        "tool calls of the lane run",
        Snapshot(lanes=[lane(3, tools=1)], tools=[JobTools(A, 1)]),
        (RunTools(A),),
    ),
    Case(
        "results of the lane are read",
        Snapshot(lanes=[lane(3)], batches=[batch("ended")]),
        (Collect(BatchId("b")),),
    ),
    Case(
        "results of another lane are read",
        Snapshot(lanes=[lane(3)], batches=[batch("ended", lane=2)]),
        (Collect(BatchId("b")), Pack(LaneId(1))),
    ),
    Case(
        "another batch of the lane is at the provider",
        Snapshot(lanes=[lane(3)], batches=[batch("submitted", at=NOW + 5)]),
        (Pack(LaneId(1)),),
        NOW + 5,
    ),
    Case("an intent", Snapshot(batches=[batch("intended")]), (Submit(BatchId("b")),)),
    Case(
        "an intent whose create got no answer",
        Snapshot(batches=[batch("intended", create_at=NOW - 5)]),
        (Adopt(BatchId("b")),),
    ),
    Case(
        "an intent that waits after an error",
        Snapshot(batches=[batch("intended", at=NOW + 1)]),
        (),
        NOW + 1,
    ),
    Case(
        "an intent that is cancelled",
        Snapshot(batches=[batch("intended", cancel_at=NOW)]),
        (Cancel(BatchId("b")),),
    ),
    Case(
        "an intent whose create got no answer is looked for before it is cancelled",
        Snapshot(batches=[batch("intended", create_at=NOW - 5, cancel_at=NOW)]),
        (Adopt(BatchId("b")),),
    ),
    Case(
        "a batch is to be cancelled",
        Snapshot(batches=[batch("submitted", status="in_progress", cancel_at=NOW)]),
        (Cancel(BatchId("b")),),
    ),
    Case(
        "a cancellation failed in passing",
        Snapshot(batches=[batch("submitted", at=NOW + 5, cancel_at=NOW)]),
        (),
        NOW + 5,
    ),
    Case(
        "a cancellation was taken",
        Snapshot(batches=[batch("submitted", cancel_at=NOW - 9, cancelled_at=NOW - 8)]),
        (Poll(BatchId("b")),),
    ),
    *(
        Case(
            f"a batch to be cancelled is {status} already",
            Snapshot(batches=[batch("submitted", status=status, cancel_at=NOW)]),
            (Poll(BatchId("b")),),
        )
        for status in ("cancelling", "completed", "expired", "failed", "cancelled")
    ),
    Case(
        "a batch that was to be cancelled has ended",
        Snapshot(batches=[batch("ended", cancel_at=NOW)]),
        (Collect(BatchId("b")),),
    ),
    Case("a batch is due", Snapshot(batches=[batch("submitted")]), (Poll(BatchId("b")),)),
    Case("a batch is not due", Snapshot(batches=[batch("submitted", at=NOW + 9)]), (), NOW + 9),
    Case(
        "the earliest time counts",
        Snapshot(
            lanes=[lane(1, until=NOW + 50)],
            batches=[batch("submitted", at=NOW + 9), batch("intended", at=NOW + 20)],
        ),
        (),
        NOW + 9,
    ),
    Case("upstream is final", Snapshot(waiting={B: (A,)}), (Expand(B),)),
    Case("upstream is not final", Snapshot(waiting={B: (A,)}, unfinished=frozenset({A}))),
    Case(
        "upstream of upstream is not final",
        Snapshot(waiting={B: (A,), C: (B,)}, unfinished=frozenset({A})),
    ),
    Case("one step after the other", Snapshot(waiting={B: (A,), C: (B,)}), (Expand(B),)),
    Case(
        "upstream is to be judged again",
        Snapshot(waiting={B: (A,)}, unjudged=[A]),
        (Rejudge(A),),
    ),
    Case(
        "upstream has answers for an eager job",
        Snapshot(waiting={B: (A,)}, fresh=frozenset({B}), unfinished=frozenset({A})),
        (Expand(B, whole=False),),
    ),
    Case(
        "upstream of an eager job is final",
        Snapshot(waiting={B: (A,)}, fresh=frozenset({B})),
        (Expand(B),),
    ),
    Case(
        "upstream that waits itself has answers for an eager job",
        Snapshot(waiting={B: (A,), C: (B,)}, fresh=frozenset({C}), unfinished=frozenset({A})),
        (Expand(C, whole=False),),
    ),
    Case(
        "more answers for an eager job are being read",
        Snapshot(
            waiting={B: (A,)},
            fresh=frozenset({B}),
            unfinished=frozenset({A}),
            batches=[batch("ended", jobs={A: 3})],
        ),
        (Collect(BatchId("b")),),
    ),
    Case(
        "answers of another job are being read",
        Snapshot(
            waiting={B: (A,)},
            fresh=frozenset({B}),
            unfinished=frozenset({A}),
            batches=[batch("ended", jobs={C: 3})],
        ),
        (Collect(BatchId("b")), Expand(B, whole=False)),
    ),
    Case(
        "answers for an eager job are to be judged again",
        Snapshot(waiting={B: (A,)}, fresh=frozenset({B}), unfinished=frozenset({A}), unjudged=[A]),
        (Rejudge(A),),
    ),
    Case(
        "rows of the lane are being made of answers",
        Snapshot(
            lanes=[lane(3), lane(3, number=2)],
            waiting={B: (A,)},
            fresh=frozenset({B}),
            unfinished=frozenset({A}),
            coming={B: ("openai", "/v1/1", "m")},
        ),
        (Expand(B, whole=False), Pack(LaneId(2))),
    ),
    Case(
        "tool calls of the lane wait for a job that is not here",
        Snapshot(lanes=[lane(3, tools=1)]),
        (Pack(LaneId(1)),),
    ),
    # A bound on prompt tokens: a line of 489 bytes is 100 tokens.
    Case(
        "there is room for more",
        Snapshot(lanes=[lane(9, head=489)], batches=[running(300)], caps={LaneId(1): 400}),
        (Pack(LaneId(1)),),
        LATER,
    ),
    Case(
        "there is no room for more",
        Snapshot(lanes=[lane(9, head=489)], batches=[running(301)], caps={LaneId(1): 400}),
        (),
        LATER,
    ),
    Case(
        "another endpoint of the model takes the room",
        Snapshot(
            lanes=[lane(9, head=489), lane(0, number=2)],
            batches=[running(301, lane=2)],
            caps={LaneId(1): 400},
        ),
        (),
        LATER,
    ),
    Case(
        "what is asked one by one is in no queue",
        Snapshot(
            lanes=[lane(9, head=489)], batches=[running(301, via="live")], caps={LaneId(1): 400}
        ),
        (Pack(LaneId(1)),),
        LATER,
    ),
    Case(
        "a batch that has ended is in no queue",
        Snapshot(
            lanes=[lane(9, head=489), lane(0, number=2)],
            batches=[running(301, lane=2, phase="ended", at=NOW)],
            caps={LaneId(1): 400},
        ),
        (Collect(BatchId("b")), Pack(LaneId(1))),
    ),
    Case(
        "too little room for a batch worth its name",
        Snapshot(lanes=[lane(9, head=489)], batches=[running(9501)], caps={LaneId(1): 10_000}),
        (),
        LATER,
    ),
    Case(
        "a request beyond the bound goes alone",
        Snapshot(lanes=[lane(9, head=4_000)], caps={LaneId(1): 400}),
        (Pack(LaneId(1)),),
    ),
    # A queue that was full.
    Case(
        "a full queue in which a batch of ours is",
        Snapshot(lanes=[lane(3, hold_kind="full", until=NOW - 1)], batches=[running(1)]),
        (),
        LATER,
    ),
    Case(
        "a full queue that others filled",
        Snapshot(lanes=[lane(3, hold_kind="full", until=NOW + 9)]),
        (),
        NOW + 9,
    ),
    Case(
        "a full queue that others filled, a while ago",
        Snapshot(lanes=[lane(3, hold_kind="full", until=NOW)]),
        (Pack(LaneId(1)),),
    ),
    Case(
        "a queue that was full takes one batch",
        Snapshot(lanes=[lane(3, hold_kind="probe")], batches=[running(1, status="in_progress")]),
        (Pack(LaneId(1)),),
        LATER,
    ),
    Case(
        "a queue that was full has not said whether it takes one batch",
        Snapshot(lanes=[lane(3, hold_kind="probe")], batches=[running(1, status="validating")]),
        (),
        LATER,
    ),
    # Requests that wait for their time.
    Case("all have to wait", Snapshot(lanes=[lane(0, later=2, ready_at=LATER)]), (), LATER),
    Case(
        "some have to wait",
        Snapshot(lanes=[lane(1, later=2, ready_at=LATER)]),
        (Pack(LaneId(1)),),
        LATER,
    ),
    # Fewer than the provider wants.
    Case(
        "the first requests to a model go alone",
        Snapshot(lanes=[lane(9)], canaries=frozenset({LaneId(1)})),
        (Pack(LaneId(1)),),
    ),
    Case(
        "the rest waits for what became of the first",
        Snapshot(lanes=[lane(9)], batches=[running(1)], canaries=frozenset({LaneId(1)})),
        (),
        LATER,
    ),
    Case(
        "another model's first requests hold nobody back",
        Snapshot(lanes=[lane(9)], batches=[running(1, lane=2)], canaries=frozenset({LaneId(1)})),
        (Pack(LaneId(1)),),
        LATER,
    ),
    Case("enough wait", Snapshot(lanes=[lane(5)], minimum={LaneId(1): 5}), (Pack(LaneId(1)),)),
    Case(
        "too few wait, and no more will come",
        Snapshot(lanes=[lane(4)], minimum={LaneId(1): 5}),
        (Pack(LaneId(1), lone=True),),
    ),
    Case(
        "members of an open batch may come back",
        Snapshot(lanes=[lane(4)], batches=[running(1)], minimum={LaneId(1): 5}),
        (),
        LATER,
    ),
    Case(
        "tool calls may lead to next turns",
        Snapshot(lanes=[lane(4, tools=1)], tools=[JobTools(A, 1)], minimum={LaneId(1): 5}),
        (RunTools(A),),
    ),
    Case(
        "some will be ready later",
        Snapshot(lanes=[lane(4, later=1, ready_at=LATER)], minimum={LaneId(1): 5}),
        (),
        LATER,
    ),
    Case(
        "a job will join that waits for another lane",
        Snapshot(
            lanes=[lane(4), lane(9, number=2)],
            minimum={LaneId(1): 5},
            waiting={B: (A,)},
            unfinished=frozenset({A}),
            coming={B: ("openai", "/v1/1", "m")},
        ),
        (Pack(LaneId(2)),),
    ),
    Case(
        "a job would join that waits for these very requests",
        Snapshot(
            lanes=[lane(4)],
            minimum={LaneId(1): 5},
            waiting={B: (A,)},
            unfinished=frozenset({A}),
            coming={B: ("openai", "/v1/1", "m")},
        ),
        (Pack(LaneId(1), lone=True),),
    ),
    Case(
        "a batch of another lane brings nothing",
        Snapshot(
            lanes=[lane(4), lane(0, number=2)],
            batches=[running(1, lane=2)],
            minimum={LaneId(1): 5},
        ),
        (Pack(LaneId(1), lone=True),),
        LATER,
    ),
    Case(
        "both of two upstreams must be final",
        Snapshot(waiting={C: (A, B)}, unfinished=frozenset({B})),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_decides_what_is_next(case: Case) -> None:
    step = decide(case.given, NOW)
    assert (step.actions, step.wake_at) == (case.then, case.wake_at)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_after_an_interrupt_nothing_is_begun(case: Case) -> None:
    assert decide(replace(case.given, draining=True), NOW).done


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_same_look_decides_the_same(case: Case) -> None:
    """Level-based: nothing is remembered between two looks."""
    assert decide(case.given, NOW) == decide(case.given, NOW)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_two_actions_have_one_subject(case: Case) -> None:
    """Two at a time about one batch would both write its record."""
    subjects = [action.subject for action in decide(case.given, NOW).actions]
    assert len(subjects) == len(set(subjects))


def test_done_means_nothing_to_do_and_nothing_to_wait_for() -> None:
    assert decide(Snapshot(), NOW).done
    assert not decide(Snapshot(lanes=[lane(1)]), NOW).done
    assert not decide(Snapshot(lanes=[lane(1, until=NOW + 1)]), NOW).done
