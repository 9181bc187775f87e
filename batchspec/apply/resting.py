"""Errors in a run that goes on for weeks: what they are about rests, everything else goes on."""

from collections.abc import Callable
from dataclasses import dataclass, field

from batchspec.apply.world import World
from batchspec.errors import RefusedError
from batchspec.ids import BatchId
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
from batchspec.reconcile.retry import backoff, believed

FIRST = 15.0
"""Seconds that the subject of a first error rests; each further one doubles them."""
LONGEST = 3600.0
"""Seconds at most."""
REFUSED = 60.0
"""Seconds at most after a budget refused something: who else waits there must not wait for long."""

Told = Callable[[Subject, BaseException], None]
"""Is told what rests, and why."""


@dataclass(slots=True)
class Resting:
    """What an error was about, and until when it rests.

    A batch that cannot be sent lets its lane rest: its requests would be put together anew and
    refused anew. Batches that are under way are looked at all the same, by their schedule.

    Attributes:
        told: Is told of every error.
        well: Is told what goes on again.
    """

    told: Told
    well: Callable[[Subject], None] = lambda _subject: None
    _until: dict[Subject, float] = field(default_factory=dict[Subject, float])
    _failures: dict[Subject, int] = field(default_factory=dict[Subject, int])
    _lanes: dict[BatchId, Subject] = field(default_factory=dict[BatchId, Subject])
    """Of batches that failed to be sent, as long as these lanes rest."""

    def rests(self, action: Action, now: float) -> bool:
        """Tell whether an action is not to be begun now."""
        match action:
            case Submit(batch=batch):
                subject = self._lanes.get(batch, action.subject)
            case Pack() | RunTools() | Expand() | Rejudge() | RunHooks():
                subject = action.subject
            case _:
                return False
        return self._end(subject, now) > now

    def next_end(self, now: float) -> float | None:
        """Return when the next of them has rested; None: nothing rests."""
        ends = (self._end(subject, now) for subject in self._until)
        return min((end for end in ends if end > now), default=None)

    def _end(self, subject: Subject, now: float) -> float:
        return believed(self._until.get(subject, 0.0), now, LONGEST)

    async def went_wrong(self, world: World, action: Action, error: BaseException) -> None:
        """Let the subject of an error rest."""
        subject = await self._subject(world, action)
        if not isinstance(action, Pack | RunTools | Expand | Rejudge | RunHooks):
            self._note_batch(action.batch, subject, world.clock.now())
        self._failures[subject] = failures = self._failures.get(subject, 0) + 1
        cap = REFUSED if isinstance(error, RefusedError) else LONGEST
        wait = backoff(failures, first=FIRST, cap=cap, name=":".join(subject))
        self._until[subject] = world.clock.now() + wait
        self.told(subject, error)

    async def went_well(self, world: World, action: Action) -> None:
        """Forget the errors of a subject; of a lane, only answers show that it is well."""
        if not self._failures or isinstance(action, Pack | Submit | Adopt | Cancel | Poll | Tidy):
            return
        subject = await self._subject(world, action)
        if self._failures.pop(subject, None) is not None:
            self._until.pop(subject, None)
            self.well(subject)

    async def _subject(self, world: World, action: Action) -> Subject:
        if isinstance(action, Pack | RunTools | Expand | Rejudge | RunHooks):
            return action.subject
        record = await world.db(world.store.batch, action.batch)
        return ("lane", str(record.lane))

    def _note_batch(self, batch: BatchId, lane: Subject, now: float) -> None:
        """Let a batch rest with its lane; what others there did until then is history."""
        rest = {b: s for b, s in self._lanes.items() if self._until.get(s, 0.0) > now}
        self._lanes = {**rest, batch: lane}
