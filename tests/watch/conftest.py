"""No watcher outlives its test, however that ends."""

from collections.abc import Iterator

import pytest

from tests.watch.rig import Watcher


@pytest.fixture(autouse=True)
def _nobody_watches_on() -> Iterator[None]:
    yield
    for watcher in Watcher.started:
        watcher.kill()
    Watcher.started.clear()
