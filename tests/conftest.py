"""Fixtures every part of the suite may ask for."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from worlds import World, check_state

# How fast a machine is, and what else it does, is no property of the code.
settings.register_profile(
    "patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")

MakeWorld = Callable[..., World]


@pytest.fixture(autouse=True)
def _every_state_is_sound(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every test no invariant of a state it left on disk is broken.

    A test that damages one on purpose is marked `damages_state`.
    """
    folder = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    if folder is None or request.node.get_closest_marker("damages_state"):
        return
    for state in folder.rglob("batchspec.db"):
        check_state(state.parent)


@pytest.fixture
def world_type() -> type[World]:
    """What `make_world` makes; a folder of tests may have worlds of its own."""
    return World


@pytest.fixture
def make_world(tmp_path: Path, world_type: type[World]) -> Iterator[MakeWorld]:
    """Makes worlds; what they leave behind is checked at the end."""
    made: list[World] = []

    def make(**options: Any) -> World:
        made.append(world_type(tmp_path, **options))
        return made[-1]

    yield make
    for world in made:
        world.close()
        world.check()


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world()
