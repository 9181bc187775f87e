"""Looking at the recorded state and mending it by hand."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from worlds import World

from batchspec.errors import LockedError, RefusedError, UsageError
from batchspec.project.state import ProjectState
from batchspec.state.browsed import ItemDetail, JobDetail


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.check()
    world.close()


def state(world: World) -> ProjectState:
    return world.project().state


def addresses(world: World) -> list[str]:
    return [entry.address for entry in state(world).items()]


def test_jobs_and_items_are_listed(world: World) -> None:
    world.job("a", "b")
    world.job("x", name="n")
    world.apply()
    recorded = state(world)
    assert recorded.jobs() == ["m.j", "n.j"]
    assert recorded.jobs("n.*") == ["n.j"]
    assert addresses(world) == ['m.j["a"]', 'm.j["b"]', 'n.j["x"]']
    assert [e.outcome for e in recorded.items("m.j")] == ["succeeded", "succeeded"]
    assert [e.key for e in recorded.items('m.j["b"]')] == ["b"]


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("m.k", "There is no job 'm.k' on record. Did you mean 'm.j'?"),
        ('m.j["row-2"]', "no item with the key 'row-2' on record. Did you mean 'row-1'?"),
        ('m.j["zzz"]', "no item with the key 'zzz' on record."),
    ],
)
def test_what_is_not_there_is_told_with_what_was_meant(
    world: World, address: str, told: str
) -> None:
    world.job("row-1", "b")
    world.apply()
    recorded = state(world)
    for look in (
        recorded.show,
        recorded.batches,
        lambda a: recorded.forget([a]),
        lambda a: recorded.move(a, a.replace("zzz", "q").replace("row-2", "q").replace("k", "q")),
        lambda a: list(recorded.history(a)),
    ):
        with pytest.raises(UsageError) as caught:
            look(address)
        assert told in str(caught.value)


def test_a_job_and_an_item_are_shown_in_full(world: World) -> None:
    world.job("a", "b")
    world.apply()
    job = state(world).show("m.j")
    assert isinstance(job, JobDetail)
    assert (job.progress.items, job.judged, job.lane.model) == (2, True, "gpt-5-mini")
    item = state(world).show('m.j["a"]')
    assert isinstance(item, ItemDetail)
    assert (item.entry.outcome, item.turn, item.tries) == ("succeeded", 1, 1)
    assert item.remote_id == world.remote()[0]["id"]
    assert {"row", "request", "reply"} <= set(item.bodies)
    assert item.cost == pytest.approx(float(world.items()["a"].cost or 0))
    assert item.previous is None


def test_an_old_answer_and_shared_requests_are_shown(world: World) -> None:
    world.job("a", name="m")
    world.job("a", name="n")
    world.apply()
    item = state(world).show('m.j["a"]')
    assert isinstance(item, ItemDetail)
    assert item.shared_with == ('n.j["a"]',)
    world.remove("n")
    world.job("a", prompt="'sing {id}'")
    world.model = lambda _: {"role": "assistant", "content": None, "refusal": "no"}
    world.apply()
    item = state(world).show('m.j["a"]')
    assert isinstance(item, ItemDetail)
    assert item.previous is not None
    assert item.previous.outcome == "succeeded"


def test_batches_are_listed_open_ones_first(world: World) -> None:
    world.job("a")
    world.apply()
    world.job("a", "b")
    world.apply(detach=True)
    recorded = state(world)
    (still_open,) = recorded.batches()
    assert still_open.batch.phase == "submitted"
    assert [one.batch.phase for one in recorded.batches(every=True)] == ["submitted", "collected"]
    (first,) = recorded.batches('m.j["a"]', every=True)
    assert first.batch.phase == "collected"
    assert recorded.batches("m.j") == [still_open]


def test_history_is_of_everything_or_of_one_address(world: World) -> None:
    world.job("a")
    world.job("x", name="n", prompt="'sing {id}'", settings="{'max_tokens': 9}")
    world.apply()
    everything = [entry.kind for entry in state(world).history()]
    assert everything[:2] == ["PlanAgreed", "PlanAgreed"]
    assert everything[-2:] == ["BatchCollected", "InputDeleted"]
    assert all(entry.event is not None for entry in state(world).history())
    own = list(state(world).history("m.j"))
    assert [entry.kind for entry in own].count("PlanAgreed") == 1
    assert {entry.payload["id"] for entry in own if "id" in entry.payload} == {
        one.batch.id for one in state(world).batches("m.j", every=True)
    }


def test_a_job_that_is_moved_costs_nothing(world: World) -> None:
    world.job("a", "b")
    world.apply(detach=True)
    state(world).move("m.j", "n.j")
    world.remove("m")
    world.job("a", "b", name="n")
    world.check()
    assert state(world).jobs() == ["n.j"]
    assert list(state(world).batches()[0].batch.jobs) == ["n.j"]
    world.apply()
    assert world.created == 1
    assert world.texts("n.j") == {"a": "SAY A", "b": "SAY B"}
    assert [e.kind for e in state(world).history("n.j")].count("AddressMoved") == 1


def test_an_item_that_is_moved_keeps_its_answer(world: World) -> None:
    world.job("a", "b", prompt="'say it'")
    world.apply()
    state(world).move('m.j["a"]', 'm.j["c"]')
    assert addresses(world) == ['m.j["c"]', 'm.j["b"]']
    assert world.texts() == {"c": "SAY IT", "b": "SAY IT"}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("m.j", "n.j", "There is a job 'n.j' on record already"),
        ('m.j["a"]', 'm.j["b"]', "has an item with the key 'b' already"),
        ('m.j["a"]', 'n.j["c"]', "an item to another key of its job"),
        ("m.j", 'm.j["c"]', "a job is moved to the address of a job"),
        ("m.j", "elsewhere", "is no address of a job"),
    ],
)
def test_a_move_that_makes_no_sense_changes_nothing(
    world: World, old: str, new: str, told: str
) -> None:
    world.job("a", "b")
    world.job("x", name="n")
    world.apply()
    before = addresses(world)
    with pytest.raises(UsageError, match=re.escape(told)):
        state(world).move(old, new)
    assert addresses(world) == before


def test_what_is_forgotten_is_found_again_for_free(world: World) -> None:
    world.job("a", "b")
    world.apply()
    (event,) = state(world).forget(["m.j"])
    assert (event.items, event.in_flight) == (2, 0)
    assert state(world).jobs() == []
    world.apply()
    assert world.created == 1
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}


def test_the_answer_of_a_forgotten_item_in_flight_is_kept(world: World) -> None:
    world.job("a", "b")
    world.apply(detach=True)
    (event,) = state(world).forget(['m.j["a"]'])
    assert (event.items, event.in_flight) == (1, 1)
    world.check()
    world.job("b")
    world.apply()
    assert world.texts() == {"b": "SAY B"}
    world.job("a", "b")
    world.apply()
    assert world.created == 1
    assert world.texts() == {"b": "SAY B", "a": "SAY A"}


def test_what_two_jobs_want_is_served_by_the_one_that_stays(world: World) -> None:
    world.job("a", name="m")
    world.job("a", name="n")
    world.apply(detach=True)
    (event,) = state(world).forget(["m.j"])
    assert event.in_flight == 0, "the other job waits for it"
    world.remove("m")
    world.apply()
    assert world.texts("n.j") == {"a": "SAY A"}


def test_a_protected_job_is_not_forgotten(world: World) -> None:
    world.job("a", name="m")
    world.job("x", name="n")
    world.apply()
    with world.project().leased("test") as store, store.transaction() as db:
        db.execute("UPDATE jobs SET protect = 1 WHERE address = 'm.j'")
    for address in ("m.j", 'm.j["a"]'):
        with pytest.raises(RefusedError, match=r"Job m\.j is protected; nothing was forgotten"):
            state(world).forget(["n.j", address])
    assert len(addresses(world)) == 2


def test_failure_36_mending_waits_for_no_apply(world: World) -> None:
    """Two writers: the second is refused before it changes anything."""
    world.job("a")
    world.apply()
    with world.project().leased("apply"):
        for change in (lambda s: s.move("m.j", "n.j"), lambda s: s.forget(["m.j"])):
            with pytest.raises(LockedError, match="locked by `apply`"):
                change(state(world))
    assert addresses(world) == ['m.j["a"]']
