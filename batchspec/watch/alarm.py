"""Telling `on_error` hooks of what ends whole rounds, in which no loop runs that could."""

from dataclasses import dataclass, field
from functools import partial

import anyio.to_thread

from batchspec.apply.errors import Said
from batchspec.apply.hooks import do_hooks, note_error, tell_unrecorded
from batchspec.apply.world import World
from batchspec.errors import BatchspecError, LockedError, StateError
from batchspec.project import Project
from batchspec.project.applying import Applying
from batchspec.project.atwork import connecting
from batchspec.project.hooking import kinds_of
from batchspec.reconcile.retry import backoff
from batchspec.store.sqlite import StateStore
from batchspec.watch.agreeing import going_on
from batchspec.watch.conditions import Conditions

_FIRST, _LONGEST = 5.0, 600.0
"""Seconds after a round that an error ended; each further one doubles them."""
_ROUND, _ROWS = ("round", ""), ("rows", "")


@dataclass(slots=True)
class Alarm:
    """Tells each error once until it is over, however often a watcher tries again.

    Attributes:
        project: With specs that are pinned.
        conditions: Say that a round failed; a hook, which is told what could not be told.
        said: What was told, in all rounds.
        unplanned: Why there is no plan.
    """

    project: Project
    conditions: Conditions
    said: Said = field(default_factory=Said)
    unplanned: BatchspecError | None = None
    _failures: int = 0

    async def planned(self, store: StateStore) -> None:
        """Tell that rows could not be planned, if so."""
        error, self.unplanned = self.unplanned, None
        if error is None:
            self.said.well(_ROWS)
        else:
            await self._sound(store, _ROWS, error)

    async def round_failed(self, store: StateStore, error: BatchspecError) -> float:
        """Tell that an error ended a round; returns when to begin another one, unix seconds."""
        self._failures += 1
        wait = backoff(self._failures, first=_FIRST, cap=_LONGEST)
        self.conditions.stalled(error)
        await self._sound(store, _ROUND, error)
        return self.project.clock.now() + wait

    def round_went_well(self) -> None:
        """Note that a round came to its end."""
        self._failures = 0
        self.said.well(_ROUND)

    async def _sound(
        self, store: StateStore, subject: tuple[str, str], error: BatchspecError
    ) -> None:
        jobs = (*self.project.desired.jobs, *self.project.desired.paused)
        if not any(job.job.on_error is not None for job in jobs):
            return
        if not self.said.is_news(subject, str(error), self.project.clock.now()):
            return
        try:
            await self._tell(store, subject[0], error)
        except LockedError:
            raise
        except BatchspecError as failed:
            self.conditions.warning(f"Hooks were not told of an error: {failed}")

    async def _tell(self, store: StateStore, what: str, error: BatchspecError) -> None:
        plan = await anyio.to_thread.run_sync(going_on, self.project, None)
        async with connecting(self.project, self.conditions) as connections:
            applying = Applying(self.project, plan, self.conditions, detach=False)
            world = applying.world(connections, {})
            # Specs may be imported late, by functions of theirs.
            with self.project.desired.imports():
                async with world.here.open():
                    await self._tell_all(store, world, what, error)

    async def _tell_all(
        self, store: StateStore, world: World, what: str, error: BatchspecError
    ) -> None:
        jobs = (*self.project.desired.jobs, *self.project.desired.paused)
        said = (list(world.hooked), what, self.project.environment, str(error))
        try:
            await world.db(store.begin_hooks, kinds_of(jobs))
            noted = await note_error(world, *said)
        except LockedError:
            raise
        except StateError:
            # A full disk is an error to be told of, too.
            await tell_unrecorded(world, *said)
            return
        for job in noted:
            await partial(do_hooks, errors_only=True)(world, job, lambda: False)
