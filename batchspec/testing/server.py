"""The provider of a test: the embedded server, and what it saw."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from batchspec.simulator import Faults, Pace, create_app
from batchspec.simulator.http.calls import Call
from batchspec.testing.answers import Request, ScriptedModel
from batchspec.testing.clock import VirtualClock

PACE = Pace(validating=5, in_progress=20, finalizing=2, cancelling=5)
"""How long batches stay in each status, in seconds of the test's clock, unless told otherwise."""


class Server:
    """The embedded server of one test.

    Attributes:
        app: The ASGI application.

    Raises:
        TypeError: `faults` or `pace` is of another type.
    """

    def __init__(
        self, directory: Path, scripted: ScriptedModel, clock: VirtualClock, **options: Any
    ) -> None:
        __tracebackhide__ = True
        _are_typed(options)
        self._scripted = scripted
        self._clock = clock
        given: dict[str, Any] = {"model": scripted, "pace": PACE, "background": False}
        given |= {name: value for name, value in options.items() if value is not None}
        self.app: Starlette = create_app(directory, clock=clock, **given)

    @property
    def calls(self) -> Sequence[Call]:
        """Return the calls that came, oldest first: method, path and status."""
        calls: list[Call] = self.app.state.calls.last(1000)
        return calls

    def count(self, method: str, path: str) -> int:
        """Return how many calls came, for example of `POST` to `/v1/batches`."""
        return sum(call.method == method and call.path == path for call in self.calls)

    @property
    def requests(self) -> Sequence[Request]:
        """Return what the model was asked, in order."""
        return tuple(self._scripted.requests)

    @property
    def batches(self) -> Sequence[dict[str, Any]]:
        """Return the batches as the API shows them now, newest first."""
        engine = self.app.state.engine
        engine.advance(self._clock())
        found = engine.database.list_batches(after=None, limit=10_000)
        return [batch.to_wire() for batch in found or ()]

    @property
    def pace(self) -> Pace:
        """How long a batch stays in each status; another one counts from now on."""
        pace: Pace = self.app.state.engine.rules.pace
        return pace

    @pace.setter
    def pace(self, pace: Pace) -> None:
        __tracebackhide__ = True
        _are_typed({"pace": pace})
        engine = self.app.state.engine
        engine.rules = replace(engine.rules, pace=pace)
        engine.runner.pace = pace

    def cancel_batches(self) -> None:
        """Cancel every open batch, as somebody with the same account could."""
        engine = self.app.state.engine
        for batch in self.batches:
            engine.cancel(batch["id"], self._clock())

    def close(self) -> None:
        """Let go of its files."""
        self.app.state.engine.close()


def _are_typed(options: Mapping[str, Any]) -> None:
    """Refuse what would fail, or hang, far from where it was written."""
    __tracebackhide__ = True
    for name, wanted, hint in (
        ("pace", Pace, "say how long a status lasts: Pace(in_progress=60)"),
        ("faults", Faults, "make them, then add to them: faults.add_scenario('hostile')"),
    ):
        value = options.get(name)
        if value is not None and not isinstance(value, wanted):
            raise TypeError(f"`{name}` is a `{wanted.__name__}`, not {value!r:.100}; {hint}.")
