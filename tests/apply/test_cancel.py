"""Batches that are to stop: the intent is on record first, and what they have is still read."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from worlds import PACE, START, Fault, World, failure

from batchspec.errors import ExitCode
from batchspec.ids import BatchId
from batchspec.simulator import Pace
from batchspec.state.events import BatchDoubled, CancelTaken, CancelWanted, Event
from batchspec.state.records import BatchRecord
from batchspec.store.sqlite import StateStore

CREATE, LIST, BATCH = ("POST", "/batches"), ("GET", "/batches"), ("GET", "/batches/batch_[^/]*")
CANCEL = ("POST", "/batches/.*/cancel")
SLOW = Pace(validating=5, in_progress=20_000, finalizing=2, cancelling=5)
MakeWorld = Callable[..., World]


class KilledError(Exception):
    """The process dies here."""


def dies_at(world: World, kind: type[Event]) -> None:
    """Let the process die once, right after an event was committed."""

    def react(event: Event) -> None:
        if isinstance(event, kind):
            world.hook.react = lambda _: None
            raise KilledError

    world.hook.react = react


def records(world: World) -> list[BatchRecord]:
    with world.open() as project, project.reader() as reader:
        return list(reader.batches())


def request_cancel(world: World, batch: BatchId) -> None:
    """Note that a person wants a batch cancelled."""
    store = StateStore(world.state, world.clock)
    store.acquire("person", "cancel")
    with store.transaction() as db:
        db.execute(
            "UPDATE conversations SET stopped = 1 WHERE phase = 'batched' AND batch = "
            "(SELECT number FROM batches WHERE id = ?)",
            (batch,),
        )
        store.apply_event(CancelWanted(id=batch, at=world.clock(), reason="requested"))
    store.close()


# --- batches no row wants


def test_a_batch_no_row_wants_is_cancelled(make_world: MakeWorld) -> None:
    """Its rows changed while it ran; they are sent as they are now."""
    world = make_world(pace=SLOW)
    world.job("a", "b")
    world.apply(detach=True)
    world.server.pace = PACE
    world.job("a", "b", prompt="'tell {id}'")
    assert world.apply().exit_code == ExitCode.DONE
    assert world.texts() == {"a": "TELL a".upper(), "b": "TELL B"}
    newer, older = world.remote()
    assert (older["status"], newer["status"]) == ("cancelled", "completed")
    assert (world.wire.count(*CANCEL), world.lines) == (1, 2)


def test_a_batch_with_one_wanted_row_goes_on(make_world: MakeWorld) -> None:
    world = make_world(pace=PACE)
    world.job("a", "b")
    world.apply(detach=True)
    with world.open() as project, project.reader() as reader:
        assert reader.unwanted() == {}
    world.job("a", "b", prompt="lambda row: 'say ' + row['id'] + '!' * (row['id'] == 'b')")
    world.apply(detach=True)
    with world.open() as project, project.reader() as reader:
        assert list(reader.unwanted().values()) == [(2, 1)]
    assert world.apply().exit_code == ExitCode.DONE
    assert world.wire.count(*CANCEL) == 0
    assert world.texts() == {"a": "SAY A", "b": "SAY B!"}


def test_what_a_batch_answered_before_it_was_cancelled_is_kept(make_world: MakeWorld) -> None:
    """It is paid for: rows that come back have their answers."""
    world = make_world(pace=replace(SLOW, in_progress=400))
    keys = [str(n) for n in range(8)]
    world.job(*keys)
    world.apply(detach=True)
    world.clock.advance(205)
    world.job("x")
    world.apply()
    assert world.remote()[-1]["request_counts"]["completed"] == 4
    world.job("x", *keys)
    world.apply()
    assert len(world.texts()) == 9
    assert world.lines == 9, "no row is paid twice"


def test_rows_that_come_back_before_the_call_withdraw_a_cancellation(
    make_world: MakeWorld,
) -> None:
    world = make_world(pace=replace(SLOW, in_progress=50))
    world.job("a", "b")
    world.apply(detach=True)
    world.job("c")
    dies_at(world, CancelWanted)
    with pytest.raises(KilledError):
        world.apply()
    world.job("a", "b", "c")
    assert world.apply().exit_code == ExitCode.DONE
    assert (world.wire.count(*CANCEL), world.lines) == (0, 3)
    assert all(batch.cancel_at is None for batch in records(world))


def test_rows_that_come_back_after_the_call_go_again(make_world: MakeWorld) -> None:
    """They did not run, and nobody but us stopped them: no plan has to ask."""
    world = make_world(pace=SLOW)
    world.job("a", "b")
    world.apply(detach=True)
    world.server.pace = replace(PACE, cancelling=50)
    world.job("c")
    world.apply(detach=True)
    assert world.remote()[-1]["status"] == "cancelling"
    world.job("a", "b", "c")
    assert world.apply().exit_code == ExitCode.DONE
    assert (world.wire.count(*CANCEL), world.lines) == (1, 3)


def test_a_removed_job_cancels_its_batch_after_a_crash_too(make_world: MakeWorld) -> None:
    world = make_world(pace=SLOW)
    world.job("a", name="gone")
    world.job("b")
    world.apply(detach=True)
    world.remove("gone")
    world.job("c")
    world.server.pace = PACE
    dies_at(world, CancelWanted)
    with pytest.raises(KilledError):
        world.apply()
    assert world.wire.count(*CANCEL) == 0
    assert world.apply().exit_code == ExitCode.DONE
    assert world.wire.count(*CANCEL) == 1
    assert world.remote()[-1]["status"] == "cancelled"


@pytest.mark.parametrize("status", [500, 429, 404, 409, 400, None], ids=str)
def test_a_cancellation_that_fails_stops_nothing_and_is_repeated(
    make_world: MakeWorld, status: int | None
) -> None:
    world = make_world(pace=replace(SLOW, in_progress=2000))
    world.job("a")
    world.apply(detach=True)
    world.job("b")
    world.wire.faults.append(Fault(*CANCEL, status=status, body=failure("No."), times=2))
    assert world.apply().exit_code == ExitCode.DONE
    assert world.wire.count(*CANCEL) == 3
    assert world.remote()[-1]["status"] == "cancelled"


def test_a_lost_answer_to_a_cancellation_is_not_asked_for_again(make_world: MakeWorld) -> None:
    world = make_world(pace=replace(SLOW, in_progress=2000, cancelling=100))
    world.job("a")
    world.apply(detach=True)
    world.job("b")
    world.wire.faults.append(Fault(*CANCEL, after=True))
    assert world.apply().exit_code == ExitCode.DONE
    assert world.wire.count(*CANCEL) == 1


def test_what_cannot_be_cancelled_any_more_is_collected(make_world: MakeWorld) -> None:
    """It ended between the look and the call."""
    world = make_world(pace=PACE)
    world.job("a")
    world.apply(detach=True)
    world.job("b")
    world.clock.advance(500)

    def still_running(body: bytes) -> bytes:
        return json.dumps({**json.loads(body), "status": "in_progress"}).encode()

    world.wire.faults.append(Fault(*BATCH, rewrite=still_running))
    assert world.apply().exit_code == ExitCode.DONE
    assert (world.wire.count(*CANCEL), world.lines) == (1, 2)
    world.job("a", "b")
    world.apply()
    assert world.lines == 2, "its answer was kept"


# --- batches a person cancels


def test_a_batch_cancelled_before_it_was_sent_costs_no_call(world: World) -> None:
    world.job("a", "b")
    world.wire.faults.append(Fault("POST", "/files", status=429, body=failure("Slow.")))
    world.hook.react = lambda event: None
    dies_at(world, _kind("BatchIntended"))
    with pytest.raises(KilledError):
        world.apply()
    (batch,) = records(world)
    request_cancel(world, batch.id)
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert world.outcomes() == {"a": "cancelled", "b": "cancelled"}
    assert world.created == 0
    assert not [call for call in world.wire.calls if call[0] == "POST"]


def _kind(name: str) -> type[Event]:
    from batchspec.state import events  # noqa: PLC0415 - by its name

    kind: type[Event] = getattr(events, name)
    return kind


def test_a_batch_that_may_exist_is_looked_for_and_cancelled(make_world: MakeWorld) -> None:
    world = make_world(pace=SLOW)
    world.job("a")
    world.wire.faults.append(Fault(*CREATE, after=True))
    dies_at(world, _kind("CallFailed"))
    with pytest.raises(KilledError):
        world.apply()
    (batch,) = records(world)
    request_cancel(world, batch.id)
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert world.outcomes() == {"a": "cancelled"}
    assert (world.created, world.wire.count(*CREATE), world.wire.count(*CANCEL)) == (1, 1, 1)
    assert world.remote()[0]["status"] == "cancelled"


def test_a_batch_that_does_not_exist_after_all_is_given_up(world: World) -> None:
    world.job("a")
    world.wire.faults.append(Fault(*CREATE))
    dies_at(world, _kind("CallFailed"))
    with pytest.raises(KilledError):
        world.apply()
    (batch,) = records(world)
    request_cancel(world, batch.id)
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert (world.outcomes(), world.created) == ({"a": "cancelled"}, 0)


def test_failure_15_a_cancelled_batch_has_paid_results(make_world: MakeWorld) -> None:
    """They are read and kept; only what did not run is cancelled."""
    world = make_world(pace=replace(SLOW, in_progress=400))
    world.job(*(str(n) for n in range(8)))
    world.apply(detach=True)
    world.clock.advance(205)
    request_cancel(world, records(world)[0].id)
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    outcomes = list(world.outcomes().values())
    assert (outcomes.count("succeeded"), outcomes.count("cancelled")) == (4, 4)


def test_a_detached_run_cancels_before_it_returns(make_world: MakeWorld) -> None:
    world = make_world(pace=SLOW)
    world.job("a")
    world.apply(detach=True)
    world.job("b")
    world.wire.faults.append(Fault(*CANCEL, status=500, body={}))
    assert world.apply(detach=True).exit_code == ExitCode.IN_PROGRESS
    assert any(isinstance(event, CancelTaken) for event in world.hook.events)


def test_a_detached_run_does_not_wait_for_ever_to_cancel(make_world: MakeWorld) -> None:
    world = make_world(pace=SLOW)
    world.job("a")
    world.apply(detach=True)
    world.job("b")
    world.wire.faults.append(Fault(*CANCEL, status=500, body={}, times=None))
    assert world.apply(detach=True).exit_code == ExitCode.IN_PROGRESS
    assert 60 < world.clock() - START < 300


# --- doubles


def doubling(world: World, *, seconds: float = 1) -> None:
    """Let every create make two batches."""
    app = world.wire.app

    async def twice(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)
        if (scope["method"], scope["path"]) == ("POST", "/v1/batches"):
            world.clock.advance(seconds)
            body = world.remote()[0]
            copy = {k: body[k] for k in ("input_file_id", "endpoint", "completion_window")}
            await _post(app, {**copy, "metadata": body["metadata"]})

    world.wire.app = twice


async def _post(app: Any, body: Any) -> None:
    messages = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]

    async def receive() -> Any:
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        assert message.get("status", 200) == 200

    scope = {
        "type": "http", "method": "POST", "path": "/v1/batches", "raw_path": b"/v1/batches",
        "headers": [(b"content-type", b"application/json"), (b"authorization", b"Bearer any")],
        "query_string": b"", "root_path": "",
        "scheme": "http", "server": ("simulator", 80), "client": ("127.0.0.1", 0),
        "http_version": "1.1", "asgi": {"version": "3.0"},
    }  # fmt: skip
    await app(scope, receive, send)


def test_of_two_batches_with_one_token_the_older_is_kept(make_world: MakeWorld) -> None:
    """Somebody sent the same request twice; only one is paid in full."""
    world = make_world(pace=replace(SLOW, in_progress=500))
    world.job("a")
    world.wire.faults.append(Fault(*CREATE, after=True))
    doubling(world)
    assert world.apply().exit_code == ExitCode.DONE
    newer, older = world.remote()
    assert (older["status"], newer["status"]) == ("completed", "cancelled")
    assert any("doubles" in warning for warning in world.hook.warnings)
    assert world.texts() == {"a": "SAY A"}
    kept, double = records(world)
    assert (double.double_of, double.members, double.phase) == (kept.id, 0, "collected")
    assert double.remote_id == newer["id"]


def test_a_double_is_cancelled_though_the_process_dies_when_it_is_found(
    make_world: MakeWorld,
) -> None:
    world = make_world(pace=replace(SLOW, in_progress=500))
    world.job("a")
    world.wire.faults.append(Fault(*CREATE, after=True))
    doubling(world)
    dies_at(world, BatchDoubled)
    with pytest.raises(KilledError):
        world.apply()
    assert world.wire.count(*CANCEL) == 0
    assert world.apply().exit_code == ExitCode.DONE
    newer, older = world.remote()
    assert (older["status"], newer["status"]) == ("completed", "cancelled")


@pytest.mark.parametrize("status", [409, 500, 404, None], ids=str)
def test_a_double_that_cannot_be_cancelled_is_no_reason_to_stop(
    world: World, status: int | None
) -> None:
    """It is watched until it has ended, and not a byte of it is read."""
    world.job("a")
    world.wire.faults += [
        Fault(*CREATE, after=True),
        Fault(*CANCEL, status=status, body=failure("x"), times=None),
    ]
    doubling(world)
    assert world.apply().exit_code == ExitCode.DONE
    assert [batch["status"] for batch in world.remote()] == ["completed", "completed"]
    assert world.wire.count("GET", "/files/.*/content") == 1
    assert {batch.phase for batch in records(world)} == {"collected"}


def test_a_late_double_is_found_once(make_world: MakeWorld) -> None:
    """The list showed what the first create made only after the second."""
    world = make_world(pace=replace(SLOW, in_progress=500))
    world.job("a")
    empty = {"object": "list", "data": [], "has_more": False}
    world.wire.faults += [
        Fault(*CREATE, after=True),
        Fault(*LIST, rewrite=lambda _: json.dumps(empty).encode(), times=6),
    ]
    assert world.apply().exit_code == ExitCode.DONE
    assert world.created == 2
    assert sum(isinstance(event, BatchDoubled) for event in world.hook.events) == 1
    assert sorted(batch["status"] for batch in world.remote()) == ["cancelled", "completed"]


def test_a_double_that_failed_or_vanished_is_closed(world: World) -> None:
    """What became of it is of no consequence."""
    world.job("a")
    world.wire.faults.append(Fault(*CREATE, after=True))
    doubling(world)

    def failed(body: bytes) -> bytes:
        batch = json.loads(body)
        if batch["id"] == world.remote()[0]["id"]:
            errors = [{"code": "billing_hard_limit_reached", "line": None, "message": "Pay."}]
            batch |= {"status": "failed", "errors": {"data": errors}}
        return json.dumps(batch).encode()

    world.wire.faults.append(Fault(*BATCH, rewrite=failed, times=None))
    assert world.apply().exit_code == ExitCode.DONE
