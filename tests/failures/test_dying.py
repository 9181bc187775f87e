"""Failures seen in the wild, by the numbers of docs/reliability.md: deaths, and rows that vanish.

The crash sweep in `tests/sweep` tries every moment; these are the moments that hurt others.
"""

from collections.abc import Callable

import pytest
from sweep.cases import tried
from sweep.points import Point
from sweep.sweeping import Case
from worlds import Fault, World

from batchspec.errors import ExitCode
from batchspec.testing.clock import START

CREATE, BATCH = ("POST", "/batches"), ("GET", "/batches/batch_.*")
CONTENT = ("GET", "/files/.*/content")
MakeWorld = Callable[..., World]
pytestmark = [
    # Who is killed closes nothing.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def problems(scene: str, *points: str) -> list[str]:
    """Return what is wrong in the end when a scene is killed at some points."""
    return tried(Case(scene, tuple(map(Point.parse, points)))).problems


def test_failure_01_killed_between_an_upload_and_its_create() -> None:
    """The file that is on record is used; nothing is left at the provider."""
    assert problems("tools", "1 after commit InputUploaded #1") == []


def test_failure_02_killed_between_a_create_and_its_record() -> None:
    """The batch is found, and nothing is sent; also if the next run dies at the same place."""
    assert problems("tools", "1 after POST /batches #1") == []
    assert problems("tools", "1 after POST /batches #1", "2 after GET /batches #1") == []


@pytest.mark.parametrize("status", [None, 500, 503])
def test_failure_03_a_create_without_an_answer_is_one_post(
    world: World, status: int | None
) -> None:
    """Even if the server asks to try again, as the SDK would by itself."""
    world.job("a", "b")
    again = {"x-should-retry": "true"}
    world.wire.faults.append(Fault(*CREATE, status=status, body={}, headers=again, after=True))
    assert world.apply().exit_code == ExitCode.DONE
    assert (world.wire.count(*CREATE), world.created, world.lines) == (1, 1, 2)


@pytest.mark.parametrize("moment", ["before tool #1", "after tool #1", "after tool #2"])
@pytest.mark.parametrize("scene", ["tools", "once"])
def test_failure_32_killed_while_tools_run(scene: str, moment: str) -> None:
    """Each call runs at least once, or at most once if it may run once only."""
    assert problems(scene, f"1 {moment}") == []


def test_failure_39_a_row_whose_line_never_comes_ends(world: World) -> None:
    """It goes again with a cap; the others have their answers."""
    world.job("a", "b")
    world.faults.add("lost_line", custom_id=_custom_id(world, "b"))
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert world.outcomes() == {"a": "succeeded", "b": "failed"}


def test_failure_39_rows_that_are_removed_in_flight_keep_nobody_waiting(world: World) -> None:
    world.job("a", "b")
    world.apply(detach=True)
    world.job("a")
    assert world.apply().exit_code == ExitCode.DONE
    assert world.outcomes() == {"a": "succeeded"}
    assert world.clock.now() - START < 3_600


def _custom_id(world: World, key: str) -> str:
    with world.open() as project:
        return str(project.render(f'm.j["{key}"]').request["custom_id"])
