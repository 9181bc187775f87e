"""`destroy`: what is removed, what stays, and that it can be interrupted anywhere."""

from collections.abc import Callable
from typing import Any

import pytest
from worlds import Fault, World

from adoption.handmade import by_hand, files, line
from batchspec.errors import ExitCode, RefusedError, UsageError
from batchspec.plan.changes import Kind
from batchspec.project.removing import DestroyResult
from batchspec.state.events import BatchCollected, CancelWanted, InputDeleted, ResultsDeleted


def destroyed(world: World, *addresses: str, **options: Any) -> DestroyResult:
    """Destroy as a process of its own would, and check the state afterwards."""
    try:
        with world.open() as project:
            return project.destroy(*addresses, hook=world.hook, **options)
    finally:
        world.check()


def counts(world: World) -> dict[str, int]:
    return {kind.value: n for kind, n in world.plan().counts.items() if n}


def stored(world: World, table: str = "conversations") -> int:
    with world.open() as project, project.reader() as reader:
        n: int = reader.db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
        return n


def test_answers_stay_and_are_reused(world: World) -> None:
    world.job("a", "b")
    world.apply()
    result = destroyed(world, "m.j")
    assert (result.exit_code, result.removal.items, result.removal.answers) == (0, 2, 2)
    assert result.removal.cost is not None
    assert result.removal.cost > 0
    assert counts(world) == {"=": 2}
    world.apply()
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}
    assert world.lines == 2


def test_answers_go_when_a_person_says_so(world: World) -> None:
    world.job("a", "b")
    world.apply()
    result = destroyed(world, "m.j", answers=True)
    assert result.answers
    assert (stored(world), stored(world, "items")) == (0, 0)
    assert counts(world) == {"+": 2}
    world.apply()
    assert world.lines == 4


def test_files_at_the_provider_go(world: World) -> None:
    world.job("a")
    world.apply()
    assert files(world)
    destroyed(world)
    assert files(world) == set()


def test_files_of_a_batch_others_share_stay(world: World) -> None:
    world.job("a")
    world.job("b", name="n")
    world.apply()
    before = files(world)
    destroyed(world, "m.j")
    assert files(world) == before
    assert world.texts("n.j") == {"b": "SAY B"}


def test_files_of_a_batch_made_by_hand_stay(world: World) -> None:
    world.job("a")
    batch = by_hand(world, line("a", "say a"))
    with world.open() as project:
        project.import_batch("m.j", batch)
    world.apply()
    before = files(world)
    destroyed(world)
    assert files(world) == before


def test_answers_others_want_stay(world: World) -> None:
    world.job("a", "b")
    world.job("a", name="n")
    world.apply()
    result = destroyed(world, "m.j", answers=True)
    assert result.removal.answers == 1
    assert world.texts("n.j") == {"a": "SAY A"}
    assert counts(world) == {"=": 1, "+": 1, " ": 1}


def test_open_batches_are_cancelled_and_read(world: World) -> None:
    """A job that is gone from the specs, too: its answers are kept."""
    world.job("a")
    world.apply(detach=True)
    world.remove("m")
    world.spec("other = 1")
    result = destroyed(world)
    assert (result.exit_code, result.open_batches) == (ExitCode.DONE, 0)
    assert [b["status"] for b in world.remote()] == ["cancelled"]
    assert files(world) == set()
    assert stored(world, "items") == 0


def test_detached(world: World) -> None:
    world.job("a")
    world.apply(detach=True)
    result = destroyed(world, detach=True)
    assert (result.exit_code, result.open_batches) == (ExitCode.IN_PROGRESS, 1)
    assert [b["status"] for b in world.remote()] == ["cancelling"]
    assert stored(world, "items") == 0
    world.remove("m")
    world.spec("other = 1")
    result = destroyed(world, answers=True)
    assert result.open_batches == 0
    assert (files(world), stored(world)) == (set(), 0)


def test_one_item(world: World) -> None:
    world.job("a", "b")
    world.apply()
    result = destroyed(world, 'm.j["a"]', answers=True)
    assert (result.removal.items, result.removal.answers) == (1, 1)
    assert not result.removal.everything
    assert world.texts() == {"b": "SAY B"}
    assert counts(world) == {"+": 1, " ": 1}


def test_everything_leaves_lineage_and_history(world: World) -> None:
    world.job("a")
    world.apply()
    with world.open() as project, project.reader() as reader:
        before = reader.lineage, len(reader.journal())
    destroyed(world, answers=True)
    with world.open() as project, project.reader() as reader:
        assert reader.lineage == before[0]
        kinds = [kind for _, _, kind, _ in reader.journal()]
    assert len(kinds) > before[1]
    assert kinds[-2:] == ["ItemsForgotten", "AnswersDeleted"]


def test_a_protected_job(world: World) -> None:
    world.job("a", protect="True")
    world.apply()
    for addresses in (("m.j",), ()):
        with pytest.raises(RefusedError, match=r"m\.j is protected; nothing was stopped"):
            destroyed(world, *addresses)
    assert world.texts() == {"a": "SAY A"}


def test_nobody_of_that_name(world: World) -> None:
    world.job("a")
    world.apply()
    with pytest.raises(UsageError, match=r"No job 'm\.k' is on record"):
        destroyed(world, "m.k")


def test_twice_is_once(world: World) -> None:
    world.job("a")
    world.apply()
    destroyed(world, "m.j")
    again = destroyed(world, "m.j", answers=True)
    assert (again.removal.items, again.removal.answers) == (0, 1)
    assert counts(world) == {"+": 1}


def test_a_file_that_cannot_be_deleted_is_told_and_left(world: World) -> None:
    world.job("a")
    world.apply()
    world.wire.faults.append(Fault("DELETE", "/files/.*", status=403, times=None))
    result = destroyed(world)
    assert (result.exit_code, len(result.left) > 0) == (ExitCode.DONE, True)
    assert stored(world, "items") == 0
    world.wire.faults.clear()
    destroyed(world)
    assert files(world) == set()


@pytest.mark.parametrize("kind", [CancelWanted, BatchCollected], ids=lambda kind: kind.__name__)
def test_interrupted_anywhere_it_goes_on(world: World, kind: type) -> None:
    world.job("a", "b")
    world.apply(detach=True)

    def die(event: Any) -> None:
        assert not isinstance(event, kind)

    world.hook.react = die
    with pytest.raises(AssertionError):
        destroyed(world, answers=True)
    world.hook.react = lambda event: None
    assert stored(world, "items") == 2
    destroyed(world, answers=True)
    assert (stored(world), stored(world, "items"), files(world)) == (0, 0, set())
    assert world.created == 1


def test_interrupted_between_files_it_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.job("a")
    world.apply()
    with world.open() as project:
        store = project.store()
        commit: Callable[..., None] = store.commit
        seen: list[Any] = []

        def dying(*events: Any) -> None:
            seen.extend(e for e in events if isinstance(e, InputDeleted | ResultsDeleted))
            assert not seen
            commit(*events)

        monkeypatch.setattr(store, "commit", dying)
        with pytest.raises(AssertionError):
            project.destroy(answers=True)
    world.check()
    assert stored(world, "items") == 1
    destroyed(world, answers=True)
    assert (stored(world), files(world)) == (0, set())


def test_what_is_under_way_of_others_goes_on(world: World) -> None:
    world.job("a")
    world.job("b", name="n")
    world.apply(detach=True)
    result = destroyed(world, "m.j", answers=True)
    assert [b.fate for b in result.removal.stop.batches] == ["shared"]
    world.remove("m")
    world.apply()
    assert world.texts("n.j") == {"b": "SAY B"}
    assert (Kind.SUBMIT in world.plan().counts, world.created) == (False, 1)
