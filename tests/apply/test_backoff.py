"""Requests that failed in passing wait before they go again; those that never ran do not."""

from collections.abc import Callable
from typing import Any

import pytest
from worlds import PACE, World

from batchspec.errors import ExitCode
from batchspec.reconcile.retry import again_at
from batchspec.simulator import HTTPFailure, Pace
from batchspec.state.events import BatchCollected, BatchIntended, Event

MakeWorld = Callable[..., World]


def failing(times: int, key: str = "bad") -> Callable[[dict[str, Any]], str]:
    """Return a model that fails in passing for some rows, a number of times each."""
    left: dict[str, int] = {}

    def model(body: dict[str, Any]) -> str:
        asked = str(body["messages"][-1]["content"])
        left.setdefault(asked, times if key in asked else 0)
        if left[asked]:
            left[asked] -= 1
            raise HTTPFailure(503, "Overloaded.")
        return "fine"

    return model


def times_of(world: World, kind: type[Event]) -> list[float]:
    return [event.at for event in world.hook.events if isinstance(event, kind)]


def test_what_failed_in_passing_goes_again_after_a_while_and_together(world: World) -> None:
    world.model = failing(2)
    world.job("a", "bad-1", "bad-2", "bad-3")
    assert world.apply().exit_code == ExitCode.DONE
    intended, collected = times_of(world, BatchIntended), times_of(world, BatchCollected)
    members = [event.members for event in world.hook.events if isinstance(event, BatchIntended)]
    assert members == [4, 3, 3], "what came back together goes together"
    poll = world.settings.poll_interval
    first, second = intended[1] - collected[0], intended[2] - collected[1]
    assert poll <= first <= 1.2 * poll + 1
    assert 2 * poll <= second <= 2.4 * poll + 1, "it lengthens"


def test_a_process_that_ends_keeps_the_time(world: World) -> None:
    """The next one waits as long."""
    world.model = failing(1)
    world.job("bad")

    class KilledError(Exception):
        pass

    def die(event: Event) -> None:
        if isinstance(event, BatchCollected):
            world.hook.react = lambda _: None
            raise KilledError

    world.hook.react = die
    with pytest.raises(KilledError):
        world.apply()
    assert world.apply().exit_code == ExitCode.DONE
    intended, collected = times_of(world, BatchIntended), times_of(world, BatchCollected)
    assert intended[1] - collected[0] >= world.settings.poll_interval


def test_what_never_ran_goes_at_once(make_world: MakeWorld) -> None:
    world = make_world(pace=Pace(validating=1, in_progress=300, finalizing=1, window=200))

    def faster(event: Event) -> None:
        if isinstance(event, BatchCollected):
            world.server.pace = PACE

    world.hook.react = faster
    world.job(*(str(n) for n in range(10)))
    assert world.apply().exit_code == ExitCode.DONE
    intended, collected = times_of(world, BatchIntended), times_of(world, BatchCollected)
    assert intended[1] == pytest.approx(collected[0], abs=1)


def test_an_answer_that_is_refused_for_good_is_final_with_the_words_of_the_provider(
    world: World,
) -> None:
    def refuse(body: dict[str, Any]) -> str:
        raise HTTPFailure(400, "This prompt is too long.")

    world.model = refuse
    world.job("a")
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert "This prompt is too long." in (world.items()["a"].reason or "")
    assert world.created == 1


@pytest.mark.parametrize(("attempts", "expected"), [(1, 10), (2, 20), (3, 40), (4, 60), (40, 60)])
def test_the_wait_doubles_up_to_a_cap(attempts: int, expected: float) -> None:
    assert again_at(1000, attempts, first=10, cap=60, name="") == 1000 + expected


def test_batches_that_come_back_together_go_apart() -> None:
    """One name, one time; another name, another time, at most a fifth later."""
    times = {again_at(0, 1, first=10, cap=60, name=name) for name in ("a", "b", "c", "a")}
    assert len(times) == 3
    assert all(10 <= time <= 12 for time in times)
