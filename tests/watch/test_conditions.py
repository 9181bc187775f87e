"""What is so is recorded when it changes, and told to whoever does not know it yet."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from batchspec.errors import Diagnostic, ProviderError, SpecError
from batchspec.ids import JobAddress
from batchspec.state.events import Event
from batchspec.state.watching import ConditionChanged
from batchspec.store.sqlite import StateStore
from batchspec.testing.clock import VirtualClock
from batchspec.watch.conditions import Conditions
from batchspec.watch.protocol import NotLoaded, Said, Warned, decode, encode
from tests.store.shop import agree
from tests.worlds import Recorder

ODD = Diagnostic(summary="wrong", detail="\udcff.txt: no JSON")
NOW = 1_790_000_000.0
WRONG = ConditionChanged(
    type="SpecLoaded", status="False", reason="NotLoaded", message="m.py:3: wrong", at=NOW
)
RIGHT = ConditionChanged(
    type="SpecLoaded", status="True", reason="Loaded", message="The specs are loaded.", at=NOW
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    store = StateStore(tmp_path, lambda: NOW)
    store.initialise("lineage-1")
    store.acquire("one", "watch")
    yield store
    store.close()


def engine(store: StateStore, *before: ConditionChanged) -> tuple[Conditions, list[Event]]:
    """Begin as an engine does: it may be told something before it holds the lease."""
    hook = Recorder()
    found = Conditions(hook, VirtualClock(NOW))
    for said in before:
        found.note(said)
    found.begin(store.reader().conditions())
    return found, hook.events


def standing(store: StateStore) -> dict[tuple[str | None, str], str]:
    return {(c.job, c.type): c.status for c in store.reader().conditions()}


def test_what_was_said_before_the_lease_is_held_counts_after_what_is_on_record(
    store: StateStore,
) -> None:
    """Else the same mistake, made again after a restart, would be no news."""
    first, _ = engine(store, WRONG)
    first.flush(store)
    second, events = engine(store, RIGHT)
    second.flush(store)
    assert standing(store) == {(None, "SpecLoaded"): "True"}
    second.note(WRONG)
    second.flush(store)
    assert standing(store) == {(None, "SpecLoaded"): "False"}
    assert [(e.status, e.before) for e in events if isinstance(e, ConditionChanged)] == [
        ("True", "False"),
        ("False", "True"),
    ]


def test_what_is_still_wrong_is_told_once_by_each_process_and_recorded_once(
    store: StateStore,
) -> None:
    first, told = engine(store, WRONG)
    first.flush(store)
    serial = store.reader().serial()
    second, again = engine(store, WRONG)
    second.note(WRONG)
    second.flush(store)
    assert [len(told), len(again)] == [1, 1]
    assert store.reader().serial() == serial


def test_what_is_wrong_of_a_job_is_told_again_and_what_is_well_is_not(store: StateStore) -> None:
    """Metrics of a process begin with nothing."""
    agree(store, "p1", {"m.j": {"a": "A"}})
    failed = ConditionChanged(
        type="Degraded", status="True", reason="X", message="x", at=NOW, job=JobAddress("m.j")
    )
    first, _ = engine(store, RIGHT, failed)
    first.flush(store)
    second, again = engine(store)
    for said in (RIGHT, failed):
        second.note(said, quietly=True)
    assert [(e.type, e.before) for e in again if isinstance(e, ConditionChanged)] == [
        ("Degraded", "True")
    ]


def test_an_error_is_over_once_a_round_is(store: StateStore) -> None:
    agree(store, "p1", {"m.j": {"a": "A"}})
    first, _ = engine(store)
    first.stalled(ProviderError("No key."))
    first.stalled(ProviderError("It raised."), JobAddress("m.j"))
    first.flush(store)
    found = {c.job: c.message for c in store.reader().conditions()}
    assert found == {
        None: "No key. It is tried again by itself.",
        "m.j": "It raised. It is tried again by itself.",
    }
    second, _ = engine(store)
    second.all_done()
    second.flush(store)
    assert set(standing(store).values()) == {"False"}


def test_an_error_that_stays_is_recorded_once(store: StateStore) -> None:
    """Somebody may need a week to mend it."""
    found, events = engine(store)
    for _ in range(100):
        found.stalled(ProviderError("No key."))
        found.flush(store)
    assert len(events) == 1


def test_conditions_of_jobs_that_are_gone_are_not_told(store: StateStore) -> None:
    failed = ConditionChanged(
        type="Degraded", status="True", reason="X", message="x", at=NOW, job=JobAddress("m.j")
    )
    found, _ = engine(store, failed)
    found.flush(store)
    assert not store.reader().conditions()


def test_texts_that_are_none_are_recorded_as_what_can_be(store: StateStore) -> None:
    """The name of a file need not be UTF-8, and messages have such names in them."""
    found, events = engine(store)
    found.note(replace(WRONG, message="docs/\udcff.txt is wrong"))
    found.say("Planned", "False", "RowsInvalid", str(SpecError([ODD])))
    found.flush(store)
    assert [c.message for c in store.reader().conditions() if not c.good] == [
        r"docs/\udcff.txt is wrong",
        r"wrong. \udcff.txt: no JSON",
    ]
    assert len(events) == 2


@pytest.mark.parametrize("said", [Warned("\udcff"), NotLoaded(problems=(ODD,))])
def test_texts_that_are_none_can_be_told(said: Said) -> None:
    assert r"\udcff" in str(decode(encode(said)))


def test_what_no_row_takes_is_told_and_ends_nothing(store: StateStore) -> None:
    found, events = engine(store)
    found.note(replace(WRONG, reason="Half\udcff"))
    found.note(replace(RIGHT, type="Planned"))
    found.flush(store)
    assert standing(store) == {(None, "Planned"): "True"}
    assert [type(event) for event in events] == [ConditionChanged]
    assert isinstance(found.hook, Recorder)
    (warned,) = found.hook.warnings
    assert "SpecLoaded was not recorded" in warned
    assert "m.py:3: wrong" in warned
