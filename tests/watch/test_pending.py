"""Consent as files: a crash, another user or a damaged file may cost time, and never consent."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import cast

import anyio
import pytest

from batchspec.errors import StalePlanError, StateError
from batchspec.plan.changes import Plan
from batchspec.plan.consent import Consent
from batchspec.project import Project
from batchspec.project.pending import Pending
from batchspec.project.planfiles import SavedPlan, read_plan, read_rows, write_plan
from batchspec.watch.engine import Engine
from batchspec.watch.waking import _AGAIN
from tests.worlds import World

WATCHES, OTHER = 65_534, 65_533
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.job("a")
    yield world
    world.close()


def watch(world: World, rests: int = 1, then: Callable[[], object] = lambda: None) -> list[float]:
    """Let an engine run until it rests; returns for how long it would have, where it is known."""
    left, found = rests, list[float]()
    with world.open() as project:
        project.pin()
        engine = Engine(project=project, consent=Consent(), hook=world.hook)

        def idle(until: float | None) -> None:
            nonlocal left
            left -= 1
            found.extend([] if until is None else [until - world.clock.now()])
            if left:
                then()
            else:
                engine.drain()

        engine.idle = idle
        anyio.run(engine.run)
    return found


def waits(world: World) -> tuple[Pending, SavedPlan]:
    watch(world)
    pending = Pending(world.state)
    (saved,) = pending
    return pending, saved


def mark(pending: Pending) -> Path:
    (found,) = pending.folder.glob("*.approved")
    return found


def names(pending: Pending) -> set[str]:
    return {path.suffix for path in pending.folder.iterdir()}


def test_a_plan_that_a_crash_left_aside_after_somebody_agreed_is_done(world: World) -> None:
    """Between the two renames of one that somebody approves in the moment it is replaced."""
    pending, saved = waits(world)
    pending.approve(saved)
    saved.path.rename(saved.path.with_suffix(".retired"))
    watch(world)
    assert world.texts() == {"a": "SAY A"}
    assert not names(pending)


def test_one_that_nobody_agreed_to_is_removed(world: World) -> None:
    pending, saved = waits(world)
    saved.path.rename(saved.path.with_suffix(".retired"))
    (again,) = [other for _, other in [waits(world)]]
    assert again.plan.id != saved.plan.id
    assert names(pending) == {".plan"}


class Died(BaseException):
    """Of the process, in the moment in which the file was to be removed."""


def test_a_crash_after_the_grant_was_recorded_leaves_nothing_to_be_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pending, saved = waits(world)
    pending.approve(saved)

    def die(_pending: Pending, _saved: SavedPlan) -> None:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(Pending, "remove", die)
        with pytest.RaisesGroup(Died, flatten_subgroups=True):
            watch(world)
    assert names(pending) == {".plan", ".approved"}
    watch(world)
    assert not names(pending)
    assert world.hook.warnings == []
    assert (world.created, world.texts()) == (1, {"a": "SAY A"})


def test_a_damaged_plan_that_was_approved_is_told_and_another_one_waits(world: World) -> None:
    pending, saved = waits(world)
    pending.approve(saved)
    saved.path.write_bytes(saved.path.read_bytes()[:-9])
    _, other = waits(world)
    assert other.plan.id != saved.plan.id
    assert names(pending) == {".plan"}
    (told,) = world.hook.warnings
    assert f"Plan {saved.plan.id} was approved and cannot be done" in told


def test_consent_to_what_a_plan_was_before_is_told(world: World) -> None:
    pending, saved = waits(world)
    saved.path.with_suffix(".approved").write_text("of another one")
    watch(world)
    assert names(pending) == {".plan"}
    (told,) = world.hook.warnings
    assert "approve it again" in told


# --- users


def given_away(pending: Pending, owner: int) -> None:
    pending.folder.parent.chmod(0o755)
    for path in (pending.folder, *pending.folder.iterdir()):
        os.chown(path, owner, owner)


@as_root
def test_root_agrees_for_whoever_watches(world: World) -> None:
    pending, saved = waits(world)
    given_away(pending, WATCHES)
    pending.approve(saved)
    assert mark(pending).stat().st_uid == WATCHES


@as_root
def test_who_cannot_agree_for_whoever_watches_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pending, saved = waits(world)
    given_away(pending, WATCHES)
    pending.folder.chmod(0o777)
    saved.path.chmod(0o644)
    monkeypatch.chdir(world.state)
    (found,) = Pending(Path())
    os.seteuid(OTHER)
    try:
        with pytest.raises(StateError, match=f"is of user {WATCHES}"):
            Pending(Path()).approve(found)
    finally:
        os.seteuid(0)
    assert names(pending) == {".plan"}


@as_root
def test_consent_that_cannot_be_read_now_is_kept_and_done_once_it_can(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pending, saved = waits(world)
    pending.approve(saved)
    left = mark(pending)
    given_away(pending, WATCHES)
    os.chown(left, 0, 0)
    monkeypatch.chdir(world.state)
    with world.open() as project, project.reader() as reader:
        os.seteuid(WATCHES)
        try:
            told: list[str] = []
            assert Pending(Path()).to_do(reader.db, told.append) == []
            Pending(Path()).withdraw()
        finally:
            os.seteuid(0)
    assert "which cannot be read. It is tried again by itself" in told[0]
    assert names(pending) == {".plan", ".approved"}
    watch(world)
    assert world.texts() == {"a": "SAY A"}


def test_it_looks_again_at_consent_that_cannot_be_read(world: World) -> None:
    pending, saved = waits(world)
    odd = saved.path.with_suffix(".approved")
    odd.mkdir()  # whoever reads it gets an error

    def mend() -> None:
        odd.rmdir()
        pending.approve(saved)

    (again, *_) = watch(world, 2, mend)
    assert again == pytest.approx(_AGAIN)
    assert world.texts() == {"a": "SAY A"}
    assert not names(pending)


class Planning:
    """Saves plans for one row or for two, at three prices."""

    def __init__(self, saved: SavedPlan) -> None:
        self.header, self.rows = saved.header, list(read_rows(saved))
        self.turn = 0

    def save_plan(self, plan: Plan, path: Path) -> SavedPlan:
        self.turn += 1
        header = replace(
            self.header,
            plan=replace(self.header.plan, id=plan.id),
            ceiling=Decimal(1 + self.turn % 3),
        )
        write_plan(path, header, self.rows[: 1 + self.turn // 4 % 2])
        return read_plan(path)


def test_no_consent_is_lost_however_plans_replace_each_other(world: World) -> None:
    world.job("a", "b")
    watch(world)
    pending = Pending(world.state)
    (saved,) = pending
    project, begun = Planning(saved), saved.header.plan
    pending.remove(saved)
    told, done, over = set[str](), set[str](), threading.Event()

    def agree() -> None:
        mine = Pending(world.state)
        while not over.is_set():
            for one in mine:
                with suppress(StalePlanError):
                    mine.approve(one)
                    told.add(one.plan.id)

    person = threading.Thread(target=agree)
    person.start()
    for number in range(300):
        pending.propose(cast("Project", project), replace(begun, id=f"{number:032x}"))
        if number % 3 == 0:
            pending.withdraw()
        if number % 2:
            for one in pending.approved():
                done.add(one.plan.id)
                pending.remove(one)
    over.set()
    person.join()
    done |= {one.plan.id for one in pending.approved()}
    assert told
    assert told <= done
