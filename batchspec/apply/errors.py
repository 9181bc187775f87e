"""What `on_error` hooks are told: what stopped or rests, once until it is well again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from batchspec.apply.hooks import do_hooks, note_error
from batchspec.apply.world import World, lane_of
from batchspec.ids import JobAddress
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
    Subject,
    Submit,
    Tidy,
)
from batchspec.state.events import BatchDoubled, BatchEvent, BatchLost, BatchRejected
from batchspec.state.records import BatchRecord


@dataclass(slots=True)
class Errors:
    """Errors of one run.

    Args:
        world: Whose hooks are told.
    """

    world: World
    _told: dict[Subject, str] = field(default_factory=dict[Subject, str])
    """What was said of a subject that is not well again; the same is not said twice."""

    async def event(self, event: BatchEvent | BatchDoubled) -> None:
        """Note a batch that is lost, or whose rejection lets its lane rest."""
        match event:
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
        if self._told and not isinstance(action, sends):
            self._told.pop((await self._about(action)).subject, None)

    async def _note(self, about: "_About", reason: str) -> Sequence[JobAddress]:
        if self._told.get(about.subject) == reason:
            return ()
        self._told[about.subject] = reason
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
    subject: Subject


def _lane(record: BatchRecord) -> Subject:
    return ("lane", str(record.lane))
