"""Deleting what nothing needs any more, at the provider and on disk."""

from dataclasses import replace
from typing import cast

import pytest
from worlds import Fault, World, failure

from batchspec.errors import LockedError
from batchspec.ids import FileId
from batchspec.ports import Client
from batchspec.project.wiring import Unconnected
from batchspec.store.segments import segment_path

TAKE = ("DELETE", "/files/.*")


def left(world: World) -> set[str]:
    """Return the ids of the files at the provider."""
    database = world.app.state.engine.database
    found = database.list_files(
        world.clock.now(), purpose=None, after=None, limit=10_000, order="asc"
    )
    return {file.id for file in found or ()}


@pytest.fixture
def answered(world: World) -> World:
    """A project with two batches that were collected, whose input files were left."""
    world.wire.faults.append(Fault(*TAKE, status=500, body=failure("not now"), times=None))
    world.job("a")
    world.apply()
    world.job("a", "b")
    world.apply()
    world.wire.faults.clear()
    world.wire.calls.clear()
    return world


def test_files_go_once_and_answers_stay(answered: World) -> None:
    assert len(left(answered)) == 4
    with answered.open() as project:
        done = project.state.gc()
        assert (done.inputs, done.results, done.left, done.failed) == (2, 2, [], False)
        assert done.input_bytes > 100
    assert left(answered) == set()
    assert answered.texts() == {"a": "SAY A", "b": "SAY B"}
    with answered.open() as project:
        again = project.state.gc()
        assert (again.inputs, again.results) == (0, 0)
        kinds = [entry.kind for entry in project.state.history()]
        assert kinds.count("InputDeleted") == 2
        assert kinds.count("ResultsDeleted") == 2
    assert answered.wire.count(*TAKE) == 4
    answered.apply()
    assert answered.created == 2


def test_a_dry_run_writes_nothing_and_calls_nobody(answered: World) -> None:
    with answered.open() as project:
        serial = project.reader().serial()
        with project.leased("apply"):  # it needs no lease
            found = project.state.gc(dry_run=True)
        assert (found.inputs, found.results, found.dry_run) == (2, 2, True)
        assert project.reader().serial() == serial
    assert answered.wire.calls == []
    assert len(left(answered)) == 4


def test_a_file_that_is_gone_already_counts_as_deleted(answered: World) -> None:
    """The process died between a deletion and its record."""
    gone = Fault(*TAKE, status=404, body=failure("no such file"), after=True, times=None)
    answered.wire.faults.append(gone)
    with answered.open() as project:
        done = project.state.gc()
    assert (done.inputs, done.results, done.failed) == (2, 2, False)
    assert left(answered) == set()


def test_what_cannot_be_deleted_is_told_and_tried_another_time(answered: World) -> None:
    answered.wire.faults.append(Fault(*TAKE, status=403, body=failure("no"), times=1))
    with answered.open() as project:
        done = project.state.gc()
        assert done.failed
        assert (done.inputs, done.results) == (1, 2)
        assert "could not be deleted" in done.left[0]
        again = project.state.gc()
        assert (again.inputs, again.results, again.left) == (1, 0, [])


def test_a_provider_that_refuses_everything_is_left_alone_soon(answered: World) -> None:
    answered.wire.faults.append(Fault(*TAKE, status=403, body=failure("no"), times=None))
    with answered.open() as project:
        done = project.state.gc()
    assert (done.inputs, done.results) == (0, 0)
    assert done.left[-1] == "The rest at openai is left to another time."
    assert answered.wire.count(*TAKE) == 3


def test_files_of_others_and_of_open_batches_are_not_touched(answered: World) -> None:
    """Those of imported batches are somebody else's too."""
    answered.job("a", "b", "c")
    answered.apply(detach=True)
    with answered.open() as project:
        with project.leased("test") as store, store.transaction() as db:
            (theirs,) = db.execute("SELECT input_file_id FROM batches WHERE number = 1").fetchone()
            db.execute("UPDATE batches SET imported = 1 WHERE number = 1")
            (running,) = db.execute(
                "SELECT input_file_id FROM batches WHERE phase = 'submitted'"
            ).fetchone()
        done = project.state.gc()
        assert (done.inputs, done.results) == (1, 1)
        assert {FileId(theirs), FileId(running)} <= left(answered)
        with project.leased("test") as store, store.transaction() as db:
            db.execute("UPDATE batches SET imported = 0 WHERE number = 1")


def test_files_of_young_batches_may_be_kept(answered: World) -> None:
    with answered.open() as project:
        kept = project.state.gc(dry_run=True, keep=7 * 86_400)
        assert (kept.inputs, kept.results) == (0, 0)


def test_files_at_another_account_are_told(answered: World) -> None:
    with answered.open() as project:
        here = replace(project.providers["openai"], account="here")
        project.providers["openai"] = here
        with project.leased("test") as store, store.transaction() as db:
            db.execute("UPDATE batches SET account = 'elsewhere' WHERE number = 1")
        told = project.state.gc(dry_run=True)
        done = project.state.gc()
    assert (done.inputs, done.results) == (told.inputs, told.results) == (1, 1)
    assert "at another account: elsewhere" in done.left[0]
    assert told.left == done.left


def test_a_dry_run_tells_that_a_key_is_missing(
    answered: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It announces nothing that the real run would leave alone."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with answered.open() as project:
        here = project.providers["openai"]
        project.providers["openai"] = replace(here, client=cast("Client", Unconnected("openai")))
        told = project.state.gc(dry_run=True)
        done = project.state.gc()
    assert (told.inputs, told.results) == (done.inputs, done.results) == (0, 0)
    assert told.left == done.left
    assert "OPENAI_API_KEY" in told.left[0]


def test_bodies_that_no_row_points_at_go_and_others_stay(answered: World) -> None:
    with answered.open() as project:
        with project.leased("test") as store:
            segment = store.open_segment("replies")
            segment.append(b"lonely")
            with store.transaction():
                store.close_segment(segment)
        path = segment_path(answered.state / "artifacts", segment.segment)
        assert path.exists()
        found = project.state.gc(dry_run=True)
        assert (found.segments, found.segment_bytes) == (1, path.stat().st_size)
        assert path.exists()
        before = set((answered.state / "artifacts").iterdir()) - {path}
        assert project.state.gc().segments == 1
        assert set((answered.state / "artifacts").iterdir()) == before
    assert answered.texts() == {"a": "SAY A", "b": "SAY B"}


def test_failure_36_gc_needs_the_lease(answered: World) -> None:
    locked = pytest.raises(LockedError)
    with answered.project().leased("apply"), answered.open() as project, locked:
        project.state.gc()
    assert answered.wire.count(*TAKE) == 0


def test_failure_28_results_are_deleted_only_after_they_were_read(world: World) -> None:
    """A batch that has ended is not one whose results are here."""
    world.job("a")
    world.wire.faults.append(Fault("GET", "/files/.*/content", status=500, body=failure("later")))

    def stop_there(event: object) -> None:
        if type(event).__name__ == "CallFailed":
            raise KeyboardInterrupt

    world.hook.react = stop_there
    with pytest.raises(KeyboardInterrupt):
        world.apply()
    world.hook.react = lambda event: None
    with world.open() as project:
        done = project.state.gc()
        assert (done.inputs, done.results) == (0, 0)
    world.apply()
    assert world.created == 1
    assert world.texts() == {"a": "SAY A"}
