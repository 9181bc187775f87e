"""What every store promises. A second implementation is added to `open_store`."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from batchspec.errors import LockedError, StateError
from batchspec.ids import BatchId, JobAddress, LaneId
from batchspec.messages import Usage
from batchspec.plan.changes import Kind
from batchspec.state.events import BatchIntended, BatchRejected, Part, ToolsRun
from batchspec.state.machine import IllegalTransition
from batchspec.state.settlement import Answered, AskAgain, SendAgain
from batchspec.state.stored import CallDone, NextTurn
from batchspec.store.lease import TTL
from batchspec.store.sqlite import StateStore

from .conftest import Time
from .shop import (
    ANSWERED,
    CALLS,
    MODEL,
    agree,
    answer,
    collect,
    desired,
    drafted,
    intend,
    phases,
    send,
    shown,
)

JOB = JobAddress("m.j")
LANE = LaneId(1)
NOTE = ToolsRun(job=JOB, calls=0, pending=0, final=0, at=1.0)
"""An event that changes nothing but the journal."""
OpenStore = Callable[[], StateStore]

# --- agreeing to a plan


def test_new_rows_wait_to_be_sent(store: StateStore) -> None:
    assert agree(store, "p1", {"m.j": {"a": "A", "b": "B"}}) == [Kind.SUBMIT, Kind.SUBMIT]
    assert phases(store) == {"pending": 2}
    assert len(list(store.pending(LANE))) == 2
    (lane,) = store.lanes()
    assert (lane.lane.provider, lane.lane.model, lane.pending) == ("openai", "gpt-5-mini", 2)
    assert store.unfinished() == {JOB}


def test_equal_requests_share_one_conversation(store: StateStore) -> None:
    agree(store, "p1", {"m.j": {"a": "same", "b": "same"}, "m.k": {"z": "same"}})
    assert len(list(store.pending(LANE))) == 1
    answer(store, "b1")
    assert shown(store) == {
        "a": ("succeeded", b"reply", False),
        "b": ("succeeded", b"reply", False),
    }
    assert shown(store, "m.k") == {"z": ("succeeded", b"reply", False)}
    assert store.unfinished() == set()


def test_the_old_answer_of_a_changed_row_is_readable_until_the_new_one_is_in(
    store: StateStore,
) -> None:
    agree(store, "p1", {"m.j": {"a": "old"}})
    answer(store, "b1", text=b"old reply")
    assert agree(store, "p2", {"m.j": {"a": "new"}}) == [Kind.RESUBMIT]
    assert shown(store) == {"a": ("succeeded", b"old reply", True)}
    batch = send(store, "b2")
    assert shown(store) == {"a": ("succeeded", b"old reply", True)}
    collect(store, batch, text=b"new reply")
    assert shown(store) == {"a": ("succeeded", b"new reply", False)}


def test_a_row_that_changes_twice_still_shows_its_last_answer(store: StateStore) -> None:
    agree(store, "p1", {"m.j": {"a": "one"}})
    answer(store, "b1", text=b"first reply")
    agree(store, "p2", {"m.j": {"a": "two"}})
    agree(store, "p3", {"m.j": {"a": "three"}})
    assert shown(store) == {"a": ("succeeded", b"first reply", True)}
    assert len(list(store.pending(LANE))) == 1, "nobody wants the second one any more"


@pytest.mark.parametrize("settlement", [CALLS, AskAgain("again"), SendAgain("passing")])
def test_the_old_answer_of_a_replaced_row_is_readable_in_every_turn_of_the_new_one(
    store: StateStore, settlement: AskAgain | SendAgain
) -> None:
    agree(store, "p1", {"m.j": {"a": "A"}})
    answer(store, "b1", text=b"old reply")
    assert agree(store, "p2", {"m.j": {"a": "A"}}, replace=True) == [Kind.RESUBMIT]
    assert shown(store) == {"a": ("succeeded", b"old reply", True)}
    answer(store, "b2", settlement, text=b"half way")
    assert shown(store) == {"a": ("succeeded", b"old reply", True)}
    if settlement is not CALLS:
        answer(store, "b3", text=b"new reply")
        assert shown(store) == {"a": ("succeeded", b"new reply", False)}


def test_a_replacement_nobody_waits_for_gives_the_old_answer_back(store: StateStore) -> None:
    agree(store, "p1", {"m.j": {"a": "A"}})
    answer(store, "b1", text=b"old reply")
    agree(store, "p2", {"m.j": {"a": "A"}}, replace=True)
    agree(store, "p3", {"m.j": {}})
    assert shown(store) == {}
    assert agree(store, "p4", {"m.j": {"a": "A"}}) == [Kind.REUSE]
    assert shown(store) == {"a": ("succeeded", b"old reply", False)}


def test_the_newest_answer_is_the_old_one(store: StateStore) -> None:
    """A row that changed, was answered, and is then asked for anew."""
    agree(store, "p1", {"m.j": {"a": "one"}})
    answer(store, "b1", text=b"first")
    agree(store, "p2", {"m.j": {"a": "two"}})
    answer(store, "b2", text=b"second")
    agree(store, "p3", {"m.j": {"a": "two"}}, replace=True)
    assert shown(store) == {"a": ("succeeded", b"second", True)}


def test_a_known_request_is_reused(store: StateStore) -> None:
    agree(store, "p1", {"m.j": {"a": "A"}})
    answer(store, "b1")
    assert agree(store, "p2", {"m.k": {"z": "A"}}) == [Kind.REUSE]
    assert shown(store, "m.k") == {"z": ("succeeded", b"reply", False)}
    assert list(store.pending(LANE)) == []


def test_removed_rows_are_forgotten_and_not_sent(store: StateStore) -> None:
    agree(store, "p1", {"m.j": {"a": "A", "b": "B"}})
    agree(store, "p2", {"m.j": {"a": "A"}})
    assert phases(store) == {"pending": 1}
    assert len(list(store.pending(LANE))) == 1


def test_a_removed_row_in_a_batch_comes_back_and_is_kept(store: StateStore) -> None:
    agree(store, "p1", {"m.j": {"a": "A", "b": "B"}})
    batch = send(store)
    agree(store, "p2", {"m.j": {"a": "A"}})
    collect(store, batch)
    assert agree(store, "p3", {"m.j": {"a": "A", "b": "B"}}) == [Kind.KEEP, Kind.REUSE]
    assert shown(store)["b"] == ("succeeded", b"reply", False)


def test_members_nobody_wants_are_told(store: StateStore) -> None:
    agree(store, "p1", {"m.j": {"a": "A", "b": "B"}})
    batch = send(store)
    agree(store, "p2", {"m.j": {"a": "A"}})
    replies = store.open_segment("replies")
    with store.collecting(batch, [replies]) as collection:
        assert [m.wanted for m in collection.members().values()] == [True, False]


def test_a_removed_job_is_forgotten_and_can_come_back(store: StateStore) -> None:
    agree(store, "p1", {"m.j": {"a": "A"}, "m.k": {"b": "B"}})
    answer(store, "b1")
    agree(store, "p2", {"m.j": {"a": "A"}}, removed=["m.k"])
    assert {p.address: p.removed for p in store.progress()} == {"m.j": False, "m.k": True}
    assert shown(store, "m.k") == {}
    assert agree(store, "p3", {"m.k": {"b": "B"}}) == [Kind.REUSE]
    assert {p.address: p.removed for p in store.progress()} == {"m.j": False, "m.k": False}


def test_a_conversation_in_flight_follows_its_item_to_another_job(store: StateStore) -> None:
    """Whose tools and validators then serve it."""
    agree(store, "p1", {"m.j": {"a": "A"}})
    batch = send(store)
    agree(store, "p2", {"m.k": {"a": "A"}}, removed=["m.j"])
    with store.collecting(batch, []) as collection:
        assert [m.job for m in collection.members().values()] == ["m.k"]
        assert all(m.wanted for m in collection.members().values())


def test_a_conversation_stays_with_its_job_while_that_wants_it(store: StateStore) -> None:
    agree(store, "p1", {"m.j": {"a": "A", "b": "A"}})
    batch = send(store)
    agree(store, "p2", {"m.j": {"a": "A"}, "m.k": {"z": "A"}})
    with store.collecting(batch, []) as collection:
        assert [m.job for m in collection.members().values()] == ["m.j"]


def test_an_unanswered_row_is_opened_again(store: StateStore) -> None:
    agree(store, "p1", {"m.j": {"a": "A"}})
    answer(store, "b1", Answered("cancelled", "by somebody"))
    assert agree(store, "p2", {"m.j": {"a": "A"}}) == [Kind.RESUBMIT]
    assert shown(store) == {"a": (None, b"reply", False)} or shown(store)["a"][0] is None
    answer(store, "b2")
    assert shown(store) == {"a": ("succeeded", b"reply", False)}


def test_an_order_of_fields_survives(store: StateStore) -> None:
    """A model fills a schema in the order of its fields."""
    contract = type(MODEL)(
        provider="openai", endpoint="e", model="m", settings={"z": {"b": 1, "a": 2}, "a": 1}
    )
    agree(store, "p1", {"m.j": {"a": "A"}}, contract=contract)
    stored = store.contract(1)
    assert stored.canonical() == contract.canonical()
    assert json.dumps(stored.settings) == json.dumps(contract.settings)


def test_a_doubled_key_is_told_and_a_plan_can_be_dropped(store: StateStore) -> None:
    draft = store.draft("p1")
    draft.begin(JOB, MODEL, b"")
    rows = [desired("a", "A")._replace(line=2), desired("a", "B")._replace(line=9)]
    (double,) = draft.put(JOB, [(row, Kind.SUBMIT) for row in rows], len)
    assert (double.key, double.first, double.second) == ("a", 2, 9)
    draft.discard()
    draft.discard()
    assert list(store.scratch.iterdir()) == []


def test_a_draft_counts_different_requests(store: StateStore) -> None:
    draft, _, _ = drafted(store, "p1", {"m.j": {"a": "A", "b": "A", "c": "C"}})
    size = len(desired("a", "A").messages_json) + 100
    assert (draft.totals(JOB).requests, draft.totals(JOB).bytes) == (2, 2 * size)
    draft.discard()


def test_a_draft_knows_what_is_recorded(store: StateStore) -> None:
    agree(store, "p1", {"m.j": {"a": "A", "b": "B"}})
    draft, _, _ = drafted(store, "p2", {"m.j": {"a": "new"}})
    assert draft.recorded_items(JOB) == 2
    (was,) = draft.look(JOB, [desired("b", "new")])
    assert was.request is not None
    assert draft.record(was.request) == (desired("b", "B").messages_json, b'{"id":"b"}')
    draft.discard()


def test_a_plan_that_fails_half_way_changes_nothing(store: StateStore) -> None:
    agree(store, "p1", {"m.j": {"a": "A"}})
    before = store.reader().serial()
    draft, events, _ = drafted(store, "p1", {"m.j": {"a": "new", "b": "B"}})
    with pytest.raises(StateError):
        store.agree(draft, "p1", events)
    assert (phases(store), store.reader().serial()) == ({"pending": 1}, before)
    assert agree(store, "p2", {"m.j": {"a": "new", "b": "B"}}) == [Kind.RESUBMIT, Kind.SUBMIT]


# --- batches


def test_an_intent_takes_its_members_out_of_the_lane(store: StateStore) -> None:
    agree(store, "p1", {"m.j": {"a": "A"}, "m.k": {"b": "B"}})
    batch = intend(store)
    record = store.batch(batch)
    assert (record.phase, record.members, record.jobs) == ("intended", 2, {"m.j": 1, "m.k": 1})
    assert list(store.pending(LANE)) == []
    assert [b.id for b in store.open_batches()] == [batch]
    requests = list(store.requests(batch))
    assert [json.loads(r.messages_json)[0]["content"] for r in requests] == ["A", "B"]
    assert len({r.custom_id for r in requests}) == 2


def test_an_intent_whose_members_are_gone_is_refused(store: StateStore) -> None:
    agree(store, "p1", {"m.j": {"a": "A"}})
    event = BatchIntended(
        id=BatchId("b"), lane=LANE, parts=(Part(1, 1, 9, 5, 1),), members=5, bytes=1, at=1.0
    )
    with pytest.raises(StateError, match="5 members, 1 were found"):
        store.commit(event)
    assert phases(store) == {"pending": 1}
    assert store.open_batches() == ()


def test_events_of_one_commit_are_one(store: StateStore) -> None:
    """The second is illegal, so that the first has not happened."""
    agree(store, "p1", {"m.j": {"a": "A"}})
    batch = intend(store)
    illegal = BatchRejected(id=batch, at=1.0, reason="x")
    store.commit(illegal)
    with pytest.raises(IllegalTransition):
        store.commit(NOTE, illegal)
    assert "ToolsRun" not in [kind for *_, kind, _ in store.reader().journal()]


def test_a_rejected_batch_gives_its_members_back_and_may_hold_its_lane(store: StateStore) -> None:
    agree(store, "p1", {"m.j": {"a": "A", "b": "B"}})
    for n in (1, 2):
        batch = intend(store, f"b{n}")
        store.commit(BatchRejected(id=batch, at=5.0, reason="full", hold_lane_until=60.0))
        (lane,) = store.lanes()
        assert (lane.pending, lane.hold_until, lane.hold_reason) == (2, 60.0, "full")
        assert lane.holds == n
    answer(store, "b3")
    (lane,) = store.lanes()
    assert (lane.holds, lane.hold_until) == (0, 0.0)


def test_rejected_lines_are_final_and_the_rest_waits(store: StateStore) -> None:
    agree(store, "p1", {"m.j": {"a": "A", "b": "B", "c": "C"}})
    batch = intend(store)
    event = BatchRejected(id=batch, at=5.0, reason="bad")
    store.reject_lines(event, {2: "line two", 0: "no line", 9: "no line"})
    assert phases(store) == {"pending": 2, "final": 1}
    assert shown(store)["b"] == ("failed", None, False)
    assert store.batch(batch).phase == "rejected"


@pytest.mark.parametrize(
    ("settlement", "phase"),
    [
        (ANSWERED, "final"),
        (CALLS, "tools"),
        (AskAgain("x"), "pending"),
        (SendAgain("x"), "pending"),
    ],
)
def test_a_settled_member_is_where_its_settlement_says(
    store: StateStore, settlement: Answered, phase: str
) -> None:
    agree(store, "p1", {"m.j": {"a": "A"}})
    answer(store, "b1", settlement)
    assert phases(store) == {phase: 1}
    assert store.open_batches() == ()


def test_what_was_paid_adds_up_over_turns(store: StateStore) -> None:
    agree(store, "p1", {"m.j": {"a": "A"}})
    answer(store, "b1", AskAgain("x"))
    answer(store, "b2")
    (progress,) = store.progress()
    assert (progress.usage, progress.cost) == (Usage(20, 0, 10, 0), 1)
    assert store.reader().spent() == 1


def test_counts_are_the_same_however_many_are_added_up_at_a_time(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    agree(store, "p1", {"m.j": {"a": "A", "b": "B", "c": "C"}, "m.k": {"d": "D"}})
    answer(store, "b1")
    at_once = store.progress()
    assert sum(job.turns for job in at_once) == 4
    monkeypatch.setattr("batchspec.store.jobs._PART", 1)
    assert store.progress() == at_once


def test_a_collection_that_fails_changes_nothing(store: StateStore) -> None:
    """Neither rows nor bodies; it can be done again."""
    agree(store, "p1", {"m.j": {"a": "A"}})
    batch = send(store)
    with pytest.raises(RuntimeError), store.collecting(batch, []):
        raise RuntimeError("killed")
    assert phases(store) == {"batched": 1}
    collect(store, batch)
    assert phases(store) == {"final": 1}


def test_a_batch_is_not_collected_twice(store: StateStore) -> None:
    agree(store, "p1", {"m.j": {"a": "A"}})
    batch = send(store)
    collect(store, batch)
    with pytest.raises(IllegalTransition):
        collect(store, batch)


# --- tools


def test_tool_calls_are_journalled_before_and_after_they_run(store: StateStore) -> None:
    agree(store, "p1", {"m.j": {"a": "A"}})
    answer(store, "b1", CALLS)
    assert [(t.job, t.conversations) for t in store.tools()] == [("m.j", 1)]
    (turn,) = store.tool_turns(JOB, 9)
    assert (turn.key, [c.name for c in turn.calls]) == ("a", ["f", "g"])
    assert {c.status for c in turn.calls} == {"waiting"}
    store.record_calls([], [turn], 5.0)
    done = CallDone(turn.conversation, turn.turn, 0, "done", "7", 1, 0.1)
    store.record_calls([done], [], 6.0)
    (again,) = store.tool_turns(JOB, 9)
    assert [(c.status, c.result) for c in again.calls] == [("done", "7"), ("running", None)]
    further = store.open_segment("requests")
    request = further.append(b"[1]")
    event = ToolsRun(job=JOB, calls=2, pending=1, final=0, at=9.0)
    store.continue_turns([NextTurn(turn.conversation, request, 55)], [further], event)
    assert (store.tools(), phases(store)) == ((), {"pending": 1})
    (sent,) = store.requests(intend(store, "b2"))
    assert sent.custom_id.endswith("-2")
    assert sent.messages_json == b"[1]"


def test_a_conversation_whose_tool_failed_is_final(store: StateStore) -> None:
    agree(store, "p1", {"m.j": {"a": "A"}})
    answer(store, "b1", CALLS)
    (turn,) = store.tool_turns(JOB, 9)
    event = ToolsRun(job=JOB, calls=2, pending=0, final=1, at=9.0)
    store.continue_turns([NextTurn(turn.conversation, outcome="failed", reason="r")], [], event)
    assert shown(store)["a"][0] == "failed"


def test_calls_of_a_first_answer_are_no_calls_of_the_second(store: StateStore) -> None:
    agree(store, "p1", {"m.j": {"a": "A"}})
    answer(store, "b1", CALLS)
    (turn,) = store.tool_turns(JOB, 9)
    done = [CallDone(turn.conversation, 1, n, "done", "old", 1, 0.0) for n in (0, 1)]
    store.record_calls(done, [], 6.0)
    event = ToolsRun(job=JOB, calls=2, pending=0, final=1, at=9.0)
    store.continue_turns([NextTurn(turn.conversation, outcome="failed", reason="r")], [], event)
    agree(store, "p2", {"m.j": {"a": "A"}}, replace=True)
    answer(store, "b2", type(CALLS)(CALLS.calls[:1]))
    (turn,) = store.tool_turns(JOB, 9)
    assert [(c.status, c.result) for c in turn.calls] == [("waiting", None)]


# --- the file


def test_every_change_counts_and_is_journalled(store: StateStore) -> None:
    assert store.reader().serial() == 0
    agree(store, "p1", {"m.j": {"a": "A"}})
    assert store.reader().serial() == 1
    answer(store, "b1")
    assert store.reader().serial() == 4
    journal = store.reader().journal()
    kinds = [kind for _, _, kind, _ in journal]
    assert kinds == [
        "PlanAgreed", "BatchIntended", "InputUploaded", "CreateAttempted", "BatchSubmitted",
        "BatchObserved", "BatchCollected",
    ]  # fmt: skip
    assert [seq for seq, *_ in journal] == sorted(seq for seq, *_ in journal)
    assert json.loads(journal[1][3])["members"] == 1
    assert [kind for *_, kind, _ in store.reader().journal(last=1)] == ["BatchCollected"]


def test_a_state_keeps_its_lineage(open_store: OpenStore) -> None:
    first = open_store()
    first.initialise("another")
    assert first.reader().lineage == "lineage-1"


def test_readers_see_a_state_while_it_is_written(store: StateStore) -> None:
    agree(store, "p1", {"m.j": {"a": "A"}})
    with store.reader() as reader, store.transaction() as db:
        db.execute("DELETE FROM items")
        assert [item.key for item in reader.items(JOB)] == ["a"]
        db.execute(
            "INSERT INTO items (id, job, key, conversation, row, digest) "
            "SELECT 1, 1, 'a', 1, request, 0 FROM conversations"
        )


def test_one_item_can_be_read_alone_and_failed_ones_too(store: StateStore) -> None:
    agree(store, "p1", {"m.j": {"a": "A"}})
    answer(store, "b1")
    agree(store, "p2", {"m.j": {"a": "A", "b": "B"}})
    answer(store, "b2", Answered("failed", "why"))
    with store.reader() as reader:
        assert [i.key for i in reader.items(JOB, keys=["b"])] == ["b"]  # type: ignore[arg-type]
        assert [i.key for i in reader.items(JOB, keys=["b", "a", "x"])] == ["a", "b"]  # type: ignore[list-item]
        assert list(reader.items(JOB, keys=[])) == []
        assert [(i.key, i.reason) for i in reader.items(JOB, failed=True)] == [("b", "why")]
        assert list(reader.items(JobAddress("m.none"))) == []


def test_only_the_owner_can_read_a_state(store: StateStore, directory: Path) -> None:
    agree(store, "p1", {"m.j": {"a": "A"}})
    draft, _, _ = drafted(store, "p2", {"m.j": {"a": "A2"}})
    for path in [directory, *directory.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
    draft.discard()


# --- one writer


def test_without_the_lease_nothing_is_written(open_store: OpenStore) -> None:
    with pytest.raises(StateError, match="lease"):
        open_store().commit(NOTE)


def test_a_second_holder_is_told_who_has_it(open_store: OpenStore, time: Time) -> None:
    open_store().acquire("one", "apply")
    time.now += 7
    with pytest.raises(LockedError) as raised:
        open_store().acquire("two", "watch")
    told = str(raised.value)
    assert f"`apply` of process {os.getpid()} on " in told
    assert "last heard of 7 s ago" in told


def test_a_lease_can_be_given_back_and_taken_again(open_store: OpenStore) -> None:
    first, second = open_store(), open_store()
    first.acquire("one", "apply")
    lease = first.reader().lease()
    assert lease is not None
    assert (lease.holder, lease.operation, lease.pid) == ("one", "apply", os.getpid())
    first.release()
    assert first.reader().lease() is None
    second.acquire("two", "apply")


def test_the_same_holder_may_take_it_again(open_store: OpenStore) -> None:
    open_store().acquire("one", "apply")
    again = open_store()
    again.acquire("one", "apply")
    held = again.reader().lease()
    assert held is not None
    assert (held.holder, held.fence) == ("one", 2)


def test_a_heartbeat_keeps_a_lease(open_store: OpenStore, time: Time) -> None:
    first = open_store()
    first.acquire("one", "apply")
    time.now += TTL
    first.renew()
    time.now += TTL
    with pytest.raises(LockedError):
        open_store().acquire("two", "apply")


def test_a_silent_holder_is_taken_over_and_cannot_write_any_more(
    open_store: OpenStore, time: Time
) -> None:
    """Stopped for a while and woken up again: the fencing number stops it."""
    first, second = open_store(), open_store()
    first.acquire("one", "apply")
    first.db.execute("UPDATE lease SET host = 'elsewhere'")
    agree(first, "p1", {"m.j": {"a": "A"}})
    batch = send(first)
    time.now += TTL + 1
    second.acquire("two", "watch")
    with pytest.raises(LockedError, match=r"lost its lease.*`watch`"):
        first.commit(NOTE)
    with pytest.raises(LockedError):
        first.renew()
    with pytest.raises(LockedError):
        collect(first, batch)
    with pytest.raises(LockedError):
        agree(first, "p2", {"m.j": {"b": "B"}})
    first.release()
    held = second.reader().lease()
    assert held is not None
    assert held.holder == "two", "a lost lease is not given back"
    collect(second, batch)
    assert phases(second) == {"final": 1}
