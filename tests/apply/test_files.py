"""Input files at the provider: found again, never two for one batch, and gone in the end."""

import json
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from worlds import START, Fault, World, failure

from batchspec.errors import ExitCode, LockedError, ProviderError
from batchspec.state import events
from batchspec.state.events import Event, InputDeleted

CREATE, UPLOAD, FILES = ("POST", "/batches"), ("POST", "/files"), ("GET", "/files")
DELETE = ("DELETE", "/files/.*")
MakeWorld = Callable[..., World]


class KilledError(Exception):
    """The process dies here."""


def dies_at(world: World, name: str) -> None:
    """Let the process die once, right after an event was committed."""
    kind: type[Event] = getattr(events, name)

    def react(event: Event) -> None:
        if isinstance(event, kind):
            world.hook.react = lambda _: None
            raise KilledError

    world.hook.react = react


def inputs(world: World) -> list[dict[str, Any]]:
    """Return the input files the provider has."""
    rows = world.app.state.engine.database.rows("SELECT document FROM files", ())
    files: list[dict[str, Any]] = [json.loads(row[0]) for row in rows]
    return [file for file in files if file["purpose"] == "batch"]


# --- uploads


@pytest.mark.parametrize("status", [None, 500, 502, 408], ids=str)
def test_a_lost_answer_to_an_upload_is_found_again(world: World, status: int | None) -> None:
    world.job("a")
    world.wire.faults.append(Fault(*UPLOAD, status=status, body={}, after=True))
    assert world.apply().exit_code == ExitCode.DONE
    assert (world.wire.count(*UPLOAD), world.created) == (1, 1)
    assert inputs(world) == []


@pytest.mark.parametrize("status", [None, 500, 429], ids=str)
def test_an_upload_that_never_arrived_is_made_again(world: World, status: int | None) -> None:
    world.job("a")
    world.wire.faults.append(Fault(*UPLOAD, status=status, body={}))
    assert world.apply().exit_code == ExitCode.DONE
    assert (world.wire.count(*UPLOAD), world.created) == (2, 1)


def test_failure_1_a_crash_between_upload_and_record_leaves_no_file_behind(world: World) -> None:
    """The process dies before the answer is on record."""
    world.job("a")
    app = world.wire.app

    async def dying(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)
        if (scope["method"], scope["path"]) == ("POST", "/v1/files"):
            world.wire.app = app
            raise KilledError

    world.wire.app = dying
    with pytest.raises(KilledError):
        world.apply()
    assert len(inputs(world)) == 1
    assert world.apply().exit_code == ExitCode.DONE
    assert (world.wire.count(*UPLOAD), world.created) == (1, 1)
    assert inputs(world) == []


@pytest.mark.parametrize("name", ["BatchIntended", "UploadAttempted", "InputUploaded"])
def test_a_crash_before_the_batch_is_created_costs_one_upload_at_most(
    world: World, name: str
) -> None:
    world.job("a")
    dies_at(world, name)
    with pytest.raises(KilledError):
        world.apply()
    assert world.apply().exit_code == ExitCode.DONE
    assert (world.wire.count(*UPLOAD), world.created) == (1, 1)
    assert inputs(world) == []


@pytest.mark.parametrize("status", [404, 501, 503, None], ids=str)
def test_files_that_cannot_be_listed_do_not_stop_a_batch(world: World, status: int | None) -> None:
    """Another one is uploaded, which costs nothing, and a person is told."""
    world.job("a")
    world.wire.faults += [
        Fault(*UPLOAD, after=True),
        Fault(*FILES, status=status, body={}, times=4 if status is None else 1),
    ]
    assert world.apply().exit_code == ExitCode.DONE
    assert (world.wire.count(*UPLOAD), world.created) == (2, 1)
    assert any("uploaded anew" in warning for warning in world.hook.warnings)
    assert inputs(world) == [], "both are deleted in the end"


def test_half_a_file_is_not_taken_for_the_whole(world: World) -> None:
    world.job("a")

    def shorter(body: bytes) -> bytes:
        page = json.loads(body)
        page["data"][0]["bytes"] -= 1
        return json.dumps(page).encode()

    world.wire.faults += [Fault(*UPLOAD, after=True), Fault(*FILES, rewrite=shorter)]
    assert world.apply().exit_code == ExitCode.DONE
    assert world.wire.count(*UPLOAD) == 2
    assert inputs(world) == []


def test_of_two_uploads_one_is_used_and_the_other_deleted(world: World) -> None:
    world.job("a")
    world.wire.faults += [
        Fault(*UPLOAD, after=True, times=2),
        Fault(*FILES, status=503, body={}, times=1),
    ]
    seen: list[int] = []
    world.hook.react = lambda event: (
        seen.append(len(inputs(world))) if type(event).__name__ == "InputUploaded" else None
    )
    assert world.apply().exit_code == ExitCode.DONE
    assert (world.wire.count(*UPLOAD), seen) == (2, [1])


def test_a_file_nobody_knows_of_goes_when_its_batch_is_taken_apart(world: World) -> None:
    """The plan changed after an upload whose answer was lost."""
    world.job("a")
    world.wire.faults.append(Fault(*UPLOAD, after=True))
    dies_at(world, "CallFailed")
    with pytest.raises(KilledError):
        world.apply()
    world.job("a", "b")
    assert world.apply().exit_code == ExitCode.DONE
    assert inputs(world) == []


def test_a_file_that_is_given_up_is_deleted(world: World) -> None:
    """No create finds it, so that another one is uploaded."""
    world.job("a")
    lost = failure("Cannot find file file-1, or organization o does not have access to it.")
    world.wire.faults.append(Fault(*CREATE, status=400, body=lost, times=5))
    assert world.apply().exit_code == ExitCode.DONE
    assert (world.created, world.wire.count(*UPLOAD)) == (1, 2)
    assert inputs(world) == []


# --- creates


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_create_that_was_refused_leaves_no_file(world: World, status: int) -> None:
    world.job("a")
    world.wire.faults.append(Fault(*CREATE, status=status, body=failure("No.")))
    with pytest.raises(ProviderError):
        world.apply()
    assert (world.created, inputs(world)) == (0, [])
    assert world.apply().exit_code == ExitCode.DONE
    assert world.created == 1


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 504, None], ids=str)
def test_a_create_nobody_knows_of_keeps_its_file(world: World, status: int | None) -> None:
    """The batch may exist, and needs it."""
    world.job("a")
    world.wire.faults.append(Fault(*CREATE, status=status, body={}, after=True))
    dies_at(world, "CallFailed")
    with pytest.raises(KilledError):
        world.apply()
    assert len(inputs(world)) == 1
    assert world.apply().exit_code == ExitCode.DONE
    assert world.created == 1


def test_a_holder_that_wakes_up_late_creates_nothing(world: World) -> None:
    """It was stopped between the intent and the call, and another process took over."""
    world.job("a")

    def stopped(event: Event) -> None:
        if isinstance(event, events.CreateAttempted):
            world.clock.advance(100)
            with sqlite3.connect(world.state / "batchspec.db") as db:
                db.execute("UPDATE lease SET holder = 'other', fence = fence + 1")
            db.close()

    world.hook.react = stopped
    with pytest.raises(LockedError):
        world.apply()
    assert world.wire.count(*CREATE) == 0
    with sqlite3.connect(world.state / "batchspec.db") as db:
        db.execute("UPDATE lease SET holder = NULL")
    db.close()
    world.hook.react = lambda _: None
    assert world.apply().exit_code == ExitCode.DONE
    assert world.created == 1


def test_a_holder_that_wakes_up_late_and_is_still_one_goes_on(world: World) -> None:
    world.job("a")
    world.hook.react = lambda event: (
        world.clock.advance(100) if isinstance(event, events.CreateAttempted) else None
    )
    assert world.apply().exit_code == ExitCode.DONE
    assert world.wire.count(*CREATE) == 1


# --- deletes


@pytest.mark.parametrize("name", ["BatchCollected", "InputDeleted"])
def test_a_file_is_deleted_after_a_crash_though_nothing_else_is_to_be_done(
    world: World, name: str
) -> None:
    world.job("a")
    dies_at(world, name)
    with pytest.raises(KilledError):
        world.apply()
    plan = world.plan()
    assert (plan.can_apply, plan.chores) == (False, int(name == "BatchCollected"))
    world.apply()
    assert (inputs(world), world.plan().chores) == ([], 0)


def test_a_delete_whose_answer_is_lost_is_repeated(world: World) -> None:
    """Then there is no such file, which is as good."""
    world.job("a")
    world.wire.faults.append(Fault(*DELETE, after=True))
    assert world.apply().exit_code == ExitCode.DONE
    assert inputs(world) == []


def test_a_delete_that_fails_in_passing_is_repeated_soon(world: World) -> None:
    world.job("a")
    world.wire.faults.append(Fault(*DELETE, status=500, body={}, times=3))
    assert world.apply().exit_code == ExitCode.DONE
    assert (inputs(world), world.wire.count(*DELETE)) == ([], 4)


def test_a_file_that_cannot_be_deleted_is_left_with_a_warning(world: World) -> None:
    """It neither fails the run nor makes it wait, and no later run tries."""
    world.job("a")
    world.apply()
    took = world.clock() - START
    world.job("a", "b")
    world.wire.faults.append(Fault(*DELETE, status=403, body=failure("No."), times=None))
    began = world.clock()
    assert world.apply().exit_code == ExitCode.DONE
    assert world.clock() - began < took + 20
    assert sum("could not be deleted" in warning for warning in world.hook.warnings) == 1
    tried = world.wire.count(*DELETE)
    world.job("a", "b", "c")
    world.wire.faults.clear()
    assert world.apply().exit_code == ExitCode.DONE
    assert world.wire.count(*DELETE) == tried + 1


def test_every_batch_that_is_done_with_has_its_file_deleted_once(world: World) -> None:
    world.job("a", "b")
    world.apply()
    world.job("a", "b", "c")
    world.apply()
    deleted = [event.id for event in world.hook.events if isinstance(event, InputDeleted)]
    assert len(deleted) == len(set(deleted)) == 2
