"""What `on_error` hooks are told by whoever tries again for ever: once, until it is over."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from batchspec.apply.errors import Said
from batchspec.errors import ConfigurationError, StateError
from batchspec.plan.consent import Consent
from batchspec.project.applying import Applying
from batchspec.simulator import Pace
from batchspec.state.events import CallFailed, Event
from batchspec.store.sqlite import StateStore
from tests.hooks.test_hooks import ALL, Hooked
from tests.watch.test_agenda import Step, watch
from tests.worlds import Fault, World, failure

WATCHED = Consent(approve="all", max_cost=Decimal(1))


@pytest.fixture
def hooked(tmp_path: Path) -> Iterator[Hooked]:
    pace = Pace(validating=60, in_progress=5 * 3600, finalizing=60, cancelling=60)
    world = World(tmp_path, pace=pace)
    yield Hooked(world)
    world.close()


def test_the_same_is_said_once_until_it_is_over_and_once_in_ten_minutes() -> None:
    said = Said()
    lane = ("lane", "1")
    assert not said
    assert said.is_news(lane, "batch_68f0a1b2c3d4 was refused, 3 times", 0)
    assert said
    assert not said.is_news(lane, "batch_0123456789ab was refused, 4 times", 9_999)
    assert said.is_news(lane, "the key was refused", 9_999)
    assert said.is_news(("lane", "2"), "the key was refused", 9_999)
    said.well(lane)
    assert not said.is_news(lane, "the key was refused", 10_000)
    said.well(lane)
    assert said.is_news(lane, "the key was refused", 10_600)


def test_a_provider_that_is_away_is_told_of_once(hooked: Hooked) -> None:
    world = hooked.world
    away = Fault("GET", "/batches/.*", status=503, body=failure("busy"), times=0)
    world.wire.faults.append(away)
    failed: list[CallFailed] = []

    def react(event: Event) -> None:
        if type(event).__name__ == "BatchSubmitted":
            away.times = 9
        if isinstance(event, CallFailed):
            failed.append(event)

    world.hook.react = react
    hooked.job("a", **ALL)
    watch(world, WATCHED)
    assert hooked.keys() == ["a"]
    assert len(failed) == 9
    (error,) = hooked.told("errors")
    assert (error["what"], error["name"]) == ("provider", "openai")
    assert "calls in a row failed" in error["reason"]
    assert "busy" in error["reason"] or "503" in error["reason"]


def rounds_that_fail(monkeypatch: pytest.MonkeyPatch, errors: list[Exception]) -> None:
    """Let rounds fail before their loop begins."""
    connect = Applying.connect

    def failing(self: Applying, connections: object) -> object:
        if errors:
            raise errors.pop(0)
        return connect(self, connections)  # type: ignore[arg-type]

    monkeypatch.setattr(Applying, "connect", failing)


def test_what_ends_whole_rounds_is_told_once(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_key = [ConfigurationError(f"no key, try {n}") for n in range(5)]
    rounds_that_fail(monkeypatch, [*no_key])
    hooked.job("a", **ALL)
    steps: list[Step] = [lambda _until: None] * 5
    watch(hooked.world, WATCHED, *steps)
    assert hooked.keys() == ["a"]
    (error,) = hooked.told("errors")
    assert (error["what"], error["reason"]) == ("round", "no key, try 0")


def test_a_state_that_cannot_be_written_is_told_of_all_the_same(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds_that_fail(monkeypatch, [StateError("no space left on device")] * 2)
    note = StateStore.note_deliveries
    full = [True]

    def noting(self: StateStore, *given: object) -> None:
        if full.pop() if full else False:
            raise StateError("no space left on device")
        note(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(StateStore, "note_deliveries", noting)
    hooked.job("a", **ALL)
    steps: list[Step] = [lambda _until: None] * 2
    watch(hooked.world, WATCHED, *steps)
    assert [error["reason"] for error in hooked.told("errors")] == ["no space left on device"]


def test_rows_that_cannot_be_planned_are_told_of_until_they_can(hooked: Hooked) -> None:
    data = hooked.world.root / "t.jsonl"
    data.write_text('{"id": "a"}\n')
    hooked.job(rows="rows.jsonl('t.jsonl')", refresh_every="'1h'", **ALL)

    def put(text: str) -> Step:
        return lambda _until: (data.write_text(text), None)[1]

    half = '{"id": "a"}\n{"id": '
    watch(hooked.world, WATCHED, put(half), put(half), put('{"id": "a"}\n{"id": "b"}\n'))
    assert hooked.keys() == ["a", "b"]
    (error,) = hooked.told("errors")
    assert error["what"] == "rows"
    assert "t.jsonl:2" in error["reason"]
