"""Which cases of a scene are tried: all that differ, or as many as the tests have time for."""

import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Literal

from fuzz.amount import MINUTES, SEED, Patience

from sweep.points import Point, Trouble, distinct
from sweep.scenes import SCENES
from sweep.sweeping import Case, End, play

Way = Literal["killed", "unwound", "lost answers", "killed twice"]
WAYS: dict[Way, int] = {"killed": 1_000, "unwound": 8, "lost answers": 15, "killed twice": 4}
"""With how many cases of a scene the tests do; all there are is less than the first number."""
MAKING = "lagging"
"""The scene that dies while its state is made, for all."""
_SHARE = 0.4
"""Of the minutes of `make fuzz`, for all scenes and ways together."""
_MEMORY = Path("/dev/shm")
_BEFORE: tuple[Trouble, ...] = ("reset", "503", "429", "refused")
_AFTER: tuple[Trouble, ...] = ("reset", "500", "503")


@contextmanager
def _somewhere() -> Iterator[Path]:
    memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    folder = tempfile.mkdtemp(prefix="sweep-", dir=memory)
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@cache
def undisturbed(scene: str) -> End:
    """Play a scene to its end with nothing in the way."""
    with _somewhere() as folder:
        end = play(SCENES[scene], folder, Case(scene))
    assert not end.problems, end.problems
    return end


def tried(case: Case) -> End:
    """Play a scene as a case wants it, and compare it with the undisturbed one."""
    before = undisturbed(case.scene)
    with _somewhere() as folder:
        return play(SCENES[case.scene], folder, case, before)


@dataclass
class Report:
    """What was found.

    Attributes:
        tried: Cases.
        found: Cases by what is wrong with them.
    """

    tried: int = 0
    found: dict[str, list[Case]] = field(default_factory=lambda: defaultdict(list))

    def add(self, case: Case, end: End) -> None:
        """Note what a case came to."""
        self.tried += 1
        for problem in end.problems:
            self.found[problem].append(case)

    def __str__(self) -> str:
        return "\n".join(
            line
            for problem, cases in self.found.items()
            for line in (f"{len(cases)}x {problem}", *(f"    {case}" for case in cases[:3]))
        )


def sweep(scene: str, way: Way) -> Report:
    """Try a scene in one way: with what the tests have time for, or for the minutes there are."""
    report, random = Report(), Random(f"{SEED} {scene} {way}")
    every = list(_cases(scene, way))
    random.shuffle(every)
    patience = Patience(_SHARE / (len(SCENES) * len(WAYS)))
    enough = min(WAYS[way], SCENES[scene].most)
    for number, case in enumerate(every):
        if number >= enough and not patience:
            break
        if way == "killed twice":
            case = _again(case, random)  # noqa: PLW2901 - the second death depends on the first
        if MINUTES and number >= enough:
            case = _varied(case, random)  # noqa: PLW2901 - for long there is room for more
        report.add(case, tried(case))
    return report


def _cases(scene: str, way: Way) -> Iterator[Case]:
    points = undisturbed(scene).points
    match way:
        case "killed":
            yield from (Case(scene, (point,)) for point in telling(scene))
        case "unwound":
            yield from (Case(scene, (point,), unwinds=True) for point in points)
        case "lost answers":
            for point in points:
                for trouble in _troubles(point):
                    yield Case(scene, troubles=((point, trouble),))
        case "killed twice":
            for _ in range(200 if MINUTES else 1):
                yield from (Case(scene, (point,)) for point in distinct(points))


def telling(scene: str) -> list[Point]:
    """Return the points at which the world differs, but for those that another scene has as well.

    A state is made and locked before anything of a scene is looked at, so one scene dies at that.
    With minutes to spend every scene dies everywhere.
    """
    points = distinct(undisturbed(scene).points)
    if MINUTES or scene == MAKING:
        return points
    names, (first, last) = [str(point) for point in points], SCENES[scene].within
    return points[names.index(first) : names.index(last) + 1 if last else None]


def _troubles(point: Point) -> tuple[Trouble, ...]:
    if not point.is_call:
        return ()
    return {"before": _BEFORE, "after": _AFTER, "inside": ("reset",)}[point.when]


def _again(case: Case, random: Random) -> Case:
    """Let the next process die too, somewhere."""
    first = case.kills[0]
    later = [p for p in distinct(tried(case).points) if p.life == first.life + 1]
    return Case(case.scene, (first, random.choice(later))) if later else case


def _varied(case: Case, random: Random) -> Case:
    """Let a process come back later, and things happen in another order until then."""
    return Case(
        case.scene,
        case.kills,
        case.unwinds,
        pause=random.choice([0.0, 30.0, 90.0, 3_600.0, 100_000.0]),
        troubles=case.troubles,
    )
