"""Waiting for the lease, and taking it away."""

import threading
from collections.abc import Callable
from math import inf
from pathlib import Path

import pytest

from batchspec.errors import LockedError
from batchspec.store import lease, waiting
from batchspec.store.lease import Watcher, describe, gone
from batchspec.store.sqlite import StateStore
from batchspec.store.waiting import Patience

from .shop import agree

Open = Callable[[], StateStore]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What people who wait are told; at once, for nobody waits here."""
    monkeypatch.setattr(waiting, "TELL_AFTER", 0.0)
    return []


def test_a_lease_that_is_given_back_in_time_is_taken(open_store: Open, told: list[str]) -> None:
    """Who waits is told once whom for."""
    first, second = open_store(), open_store()
    first.acquire("one", "watch")

    def tell(sentence: str) -> None:
        told.append(sentence)
        first.release()

    second.patience = Patience(60.0, tell)
    second.acquire("two", "apply")
    agree(second, "p1", {"m.j": {"a": "A"}})
    (sentence,) = told
    assert sentence.startswith("Waiting for at most 60 s. The state is locked by `watch`")
    assert "(lock one)" in sentence


def test_who_waits_for_ever_stands_by(open_store: Open, told: list[str]) -> None:
    """What another can do that waits for a while is no advice for it."""
    first, second = open_store(), open_store()
    first.acquire("one", "watch", Watcher(4711, 0.0))

    def tell(sentence: str) -> None:
        told.append(sentence)
        first.release()

    second.patience = Patience(inf, tell)
    second.acquire("two", "watch")
    assert told[0].startswith("Standing by: `watch` of process 4711 on ")
    assert told[0].endswith("(lock one) is at work; this one takes over when it is gone.")


def test_the_wait_ends_with_the_sentence_of_the_lock(open_store: Open, told: list[str]) -> None:
    first, second = open_store(), open_store()
    first.acquire("one", "watch")
    second.patience = Patience(0.01, told.append)
    with pytest.raises(LockedError, match=r"locked by `watch`.* Waited 0\.01 s in vain\."):
        second.acquire("two", "apply")
    assert len(told) == 1


def test_a_wait_that_is_given_up_ends_at_once(open_store: Open, told: list[str]) -> None:
    """An interrupt does this from another thread."""
    first, second = open_store(), open_store()
    first.acquire("one", "watch")
    second.patience = Patience(3600.0, lambda _: second.patience.given_up.set())
    thread = threading.Thread(target=lambda: told.append(_refused(second)))
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    assert "locked by `watch`" in told[0]


def _refused(store: StateStore) -> str:
    with pytest.raises(LockedError) as caught:
        store.acquire("two", "apply")
    return str(caught.value)


def test_failure_36_a_file_that_is_written_to_for_long_is_told_as_locked(
    open_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan of a million rows is one transaction; who comes meanwhile is no error of the file."""
    monkeypatch.setattr("batchspec.store.lease._BUSY_MS", 1)
    first, second = open_store(), open_store()
    first.acquire("one", "apply")
    with first.transaction(), pytest.raises(LockedError, match="locked by `apply` of process"):
        second.acquire("two", "apply")
    first.release()
    second.acquire("two", "apply")


def test_who_loses_the_lease_to_a_person_cannot_write(open_store: Open, directory: Path) -> None:
    first, second = open_store(), open_store()
    first.acquire("one", "apply")
    with second.reader() as reader:
        held = reader.lease()
        serial = reader.serial()
    assert held is not None
    second.take_lease_away(held)
    with pytest.raises(LockedError, match="lost its lease"):
        agree(first, "p1", {"m.j": {"a": "A"}})
    with second.reader() as reader:
        assert reader.lease() is None
        assert reader.serial() == serial, "a saved plan stays good"
        assert [kind for _, _, kind, _ in reader.journal()] == ["LeaseBroken"]
    second.acquire("two", "apply")
    agree(second, "p2", {"m.j": {"a": "A"}})


def test_a_lease_that_changed_hands_meanwhile_is_left_alone(open_store: Open) -> None:
    """A person agreed to stop one process; another one holds the lock by now."""
    first, second = open_store(), open_store()
    first.acquire("one", "apply")
    with second.reader() as reader:
        held = reader.lease()
    first.release()
    first.acquire("three", "apply")
    assert held is not None
    with pytest.raises(LockedError, match="changed hands"):
        second.take_lease_away(held)
    agree(first, "p1", {"m.j": {"a": "A"}})


def test_the_message_names_the_way_out(open_store: Open) -> None:
    store = open_store()
    store.acquire("0198f1c2aaaa", "apply")
    with store.reader() as reader:
        held = reader.lease()
    assert held is not None
    assert "`batchspec unlock 0198f1c2aaaa`" in describe(held, held.heartbeat)
    assert "--lock-timeout" in describe(held, held.heartbeat)


def test_a_holder_of_which_nothing_can_be_known_counts_by_its_heartbeat(
    open_store: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other users' processes are hidden where a service may not see them, and live on."""
    store = open_store()
    store.acquire("one", "apply")
    held = store.reader().lease()
    assert held is not None
    monkeypatch.setattr(lease, "_PROC", tmp_path)
    assert not gone(held, held.heartbeat + 59)
    assert gone(held, held.heartbeat + 61)
