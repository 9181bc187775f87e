"""The embedded server on a socket of this process, whose clock stands still until it is moved."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from batchspec.conformance.timeline import HURRY, Timeline
from batchspec.simulator import Pace, SimulatedClock, create_app, serving

_PACE = Pace(validating=2, in_progress=6, finalizing=1, cancelling=2)


@contextmanager
def embedded_server(directory: Path) -> Generator[tuple[str, Timeline]]:
    """Serve until the block ends; gives the base URL, and how time passes there."""
    clock = SimulatedClock(speed=0)
    app = create_app(directory, clock=clock, pace=_PACE, background=False)
    with serving(app) as base_url:
        yield base_url, _Standing(clock)


class _Standing:
    """The time of a clock in this process."""

    def __init__(self, clock: SimulatedClock) -> None:
        self._clock = clock

    def sleep(self, seconds: float) -> None:
        self._clock.advance(seconds)

    @contextmanager
    def running(self) -> Generator[None]:
        self._clock.speed = HURRY
        try:
            yield
        finally:
            self._clock.speed = 0
