from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from worlds import START, check_state

from batchspec.store.sqlite import StateStore


class Time:
    """A clock for stores."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state" / "default"


@pytest.fixture(params=[StateStore], ids=["sqlite"])
def open_store(
    request: pytest.FixtureRequest, directory: Path, time: Time
) -> Iterator[Callable[[], StateStore]]:
    """Opens the state as further processes would; every implementation passes the same suite."""
    opened: list[StateStore] = []

    def open_() -> StateStore:
        store: StateStore = request.param(directory, time)
        store.initialise("lineage-1")
        opened.append(store)
        return store

    yield open_
    for store in opened:
        store.close()
    if opened:
        check_state(directory)


@pytest.fixture
def store(open_store: Callable[[], StateStore]) -> StateStore:
    store = open_store()
    store.acquire("me", "apply")
    return store
