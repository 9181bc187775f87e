"""What `on_error` hooks are told: what stopped or rests, once until it is well again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from batchspec.apply.hooks import do_hooks, note_error
from batchspec.apply.world import World, lane_of
from batchspec.errors import kind_of
from batchspec.ids import BatchId, JobAddress
from batchspec.reconcile.actions import (
    Action,
    Adopt,
    Cancel,
    Expand,
    Pack,
    Poll,
    Rejudge,
    RunHooks,
    RunTools,
    Submit,
    Tidy,
)
from batchspec.state.events import (
    BatchCollected,
    BatchDoubled,
    BatchEvent,
    BatchLost,
    BatchObserved,
    BatchRejected,
    BatchSubmitted,
    CallFailed,
)
from batchspec.state.records import BatchRecord

AWAY = 3
"""Calls in a row that fail before a provider counts as away."""
AWAY_FOR = 60.0
"""Seconds since the first of them."""
_SPACE = 600.0
"""Seconds between two times that the same is said of a subject that was well meanwhile."""


_Name = tuple[str, str]
"""Of what an error is about: mostly the subject of an action."""


@dataclass(slots=True)
class _Once:
    kind: str
    at: float
    lasts: bool = True

    def is_past(self, now: float) -> bool:
        return not self.lasts and now - self.at >= _SPACE


@dataclass(slots=True)
class Said:
    """What hooks were told of errors; who tries again for weeks keeps it from run to run."""

    _of: dict[_Name, _Once] = field(default_factory=dict[_Name, _Once])

    def is_news(self, subject: _Name, reason: str, now: float) -> bool:
        """Tell whether an error is to be told, which is taken as told then.

        The same is said once until its subject is well again, and once in ten minutes. Ids and
        numbers in it make no difference.
        """
        kind, before = kind_of(reason), self._of.get(subject)
        if before is not None and before.kind == kind and not before.is_past(now):
            before.lasts = True
            return False
        self._of[subject] = _Once(kind, now)
        return True

    def well(self, subject: _Name) -> None:
        """Note that the error of a subject is over."""
        if (before := self._of.get(subject)) is not None:
            before.lasts = False

    def __bool__(self) -> bool:
        return any(one.lasts for one in self._of.values())


@dataclass(slots=True)
class Errors:
    """Errors of one run.

    Attributes:
        world: Whose hooks are told.
        said: What they were told before.
    """

    world: World
    said: Said = field(default_factory=Said)
    _failed: dict[str, tuple[int, float]] = field(default_factory=dict[str, tuple[int, float]])
    """Calls in a row that failed, by provider, and since when."""

    async def event(self, event: BatchEvent | BatchDoubled) -> None:
        """Note a lost batch, a rejection that lets its lane rest, a provider that is away."""
        match event:
            case CallFailed(reason=reason):
                await self._call_failed(event.id, reason)
                return
            case BatchObserved() | BatchSubmitted() | BatchCollected() if self._failed:
                await self._answered(event.id)
                return
            case BatchLost(reason=reason):
                rests = True
            case BatchRejected(reason=reason, hold_lane_until=until):
                rests = bool(until)
            case _:
                return
        if rests:
            record = await self.world.db(self.world.store.batch, event.id)
            about = _About([*record.jobs], "batch", record.remote_id or record.id, _lane(record))
            await self._note(about, reason)

    async def _call_failed(self, batch: BatchId, reason: str) -> None:
        name, now = await self._provider(batch), self.world.clock.now()
        calls, since = self._failed.get(name, (0, now))
        self._failed[name] = calls + 1, since
        if calls + 1 >= AWAY and now - since >= AWAY_FOR:
            jobs = [j for j, local in self.world.jobs.items() if lane_of(local)[0] == name]
            about = _About(jobs, "provider", name, ("provider", name))
            await self._note(about, f"{calls + 1} calls in a row failed: {reason}")

    async def _answered(self, batch: BatchId) -> None:
        name = await self._provider(batch)
        if self._failed.pop(name, None) is not None:
            self.said.well(("provider", name))

    async def _provider(self, batch: BatchId) -> str:
        record = await self.world.db(self.world.store.batch, batch)
        lane = await self.world.db(self.world.store.lane, record.lane)
        return lane.provider

    async def tell(self, action: Action, error: BaseException, *, last: bool) -> None:
        """Note an error that ends a run, or lets something rest.

        Args:
            action: What failed.
            error: How.
            last: Whether nothing is begun after it: then hooks are told now, once.
        """
        if not self.world.hooked:
            return
        noted = await self._note(await self._about(action), str(error))
        for job in noted if last else ():
            await do_hooks(self.world, job, lambda: False, errors_only=True)

    async def went_well(self, action: Action) -> None:
        """Let the next error of a subject be told, whatever it says; see `Resting.went_well`."""
        sends = Pack | Submit | Adopt | Cancel | Poll | Tidy
        if self.said and not isinstance(action, sends):
            self.said.well((await self._about(action)).subject)

    async def _note(self, about: "_About", reason: str) -> Sequence[JobAddress]:
        if not self.said.is_news(about.subject, reason, self.world.clock.now()):
            return ()
        return await note_error(self.world, about.jobs, about.what, about.name, reason)

    async def _about(self, action: Action) -> "_About":
        world = self.world
        match action:
            case RunTools() | Expand() | Rejudge() | RunHooks():
                return _About([action.job], action.subject[0], action.job, action.subject)
            case Pack():
                lane = await world.db(world.store.lane, action.lane)
                model = (lane.provider, lane.endpoint, lane.model)
                jobs = [job for job, local in world.jobs.items() if lane_of(local) == model]
                return _About(jobs, "lane", f"{lane.provider}:{lane.model}", action.subject)
            case _:
                record = await world.db(world.store.batch, action.batch)
                name = record.remote_id or record.id
                return _About([*record.jobs], "batch", name, _lane(record))


class _About(NamedTuple):
    """What an error is about.

    Attributes:
        jobs: For which something stops.
        what: As in `JobError`.
        name: As in `JobError`.
        subject: Stays the same while requests are put together anew.
    """

    jobs: Sequence[JobAddress]
    what: str
    name: str
    subject: _Name


def _lane(record: BatchRecord) -> _Name:
    return ("lane", str(record.lane))
