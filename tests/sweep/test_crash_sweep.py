"""Killed at every point between two effects, with lost answers at every call: it ends the same.

The points are found in an undisturbed run. Whatever happened: the outputs are those of that run,
each line was executed once unless the server lost it, no batch and no file is left behind at the
provider or here, `verify` finds nothing, and a further plan is empty.
"""

import gc
from pathlib import Path

import pytest
from fuzz.amount import MINUTES

from sweep.cases import MAKING, WAYS, Way, sweep, telling, tried, undisturbed
from sweep.points import distinct
from sweep.scenes import SCENES, plain
from sweep.sweeping import Case, Scene, play

pytestmark = [
    # Who is killed closes nothing.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scene", SCENES)
def test_failures_01_02_03_28_29_32_it_ends_as_if_nothing_had_happened(
    scene: str, way: Way, told: list[str]
) -> None:
    report = sweep(scene, way)
    gc.collect()
    told.append(f"{scene}, {way}: {report.tried} cases")
    assert not report.found, f"\n{report}"


@pytest.mark.parametrize("scene", SCENES)
def test_a_scene_is_the_same_every_time(scene: str) -> None:
    """Otherwise a point could not be found again."""
    before = undisturbed(scene).points
    end = tried(Case(scene))
    assert (end.points, end.problems) == (before, [])


def test_every_kind_of_effect_is_seen() -> None:
    """A seam that goes blind must not go unnoticed."""
    seen = {point.what.split(" ")[0] for scene in SCENES for point in undisturbed(scene).points}
    assert seen >= {
        "POST", "GET", "DELETE", "commit", "fsync", "open", "rename", "remove", "tool", "judging",
    }  # fmt: skip


@pytest.mark.skipif(MINUTES > 0, reason="with minutes to spend nothing is left out")
def test_what_a_scene_leaves_out_another_one_dies_at() -> None:
    played = {name: {(p.when, p.what) for p in telling(name)} for name in SCENES}
    for name in SCENES:
        every = {(p.when, p.what) for p in distinct(undisturbed(name).points)}
        assert every - played[name] <= played["tools"] | played[MAKING], name


def test_a_line_that_is_paid_twice_is_seen(tmp_path: Path) -> None:
    """A list that never shows a batch leaves no way to find it: the oracle must complain."""
    scene = Scene(name="blind", steps=[plain], faults=[("list_lag", {"seconds": 1e6})])
    calm = play(scene, tmp_path / "calm", Case("blind"))
    point = next(p for p in calm.points if str(p).startswith("1 after POST /batches"))
    end = play(scene, tmp_path / "blind", Case("blind", (point,)), calm)
    assert calm.problems == []
    assert any("executed 2 times" in problem for problem in end.problems), end.problems
