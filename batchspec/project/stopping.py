"""Cancelling: what is under way for some items ends, and what was answered by then is kept."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import anyio.to_thread

from batchspec.apply.loop import Loop
from batchspec.errors import ExitCode, RefusedError
from batchspec.ids import BatchId, JobAddress
from batchspec.plan.changes import Plan
from batchspec.ports import Hook
from batchspec.project.applying import Applying
from batchspec.project.atwork import at_work, disconnect
from batchspec.project.tainting import named_items
from batchspec.project.wiring import Connections
from batchspec.state.events import CancelWanted, Event
from batchspec.state.housekeeping import ItemsCancelled
from batchspec.state.records import JobProgress
from batchspec.state.stopped import Stop
from batchspec.store import stopping
from batchspec.store.readdress import protected
from batchspec.store.removing import batches_of
from batchspec.store.sqlite import StateStore
from batchspec.store.stopping import Named

if TYPE_CHECKING:
    from batchspec.project.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelResult:
    """What was stopped, and how it ended."""

    stop: Stop
    """What was under way, when it was stopped."""
    jobs: tuple[JobProgress, ...] = ()
    """The jobs concerned, as they are now."""
    open_batches: int = 0
    """Cancelled batches that have not ended yet."""
    signal: int | None = None
    """The interrupt that ended the waiting."""

    @property
    def exit_code(self) -> ExitCode:
        """Return what the command ends with."""
        if self.signal is not None:
            return ExitCode(128 + self.signal)
        return ExitCode.IN_PROGRESS if self.open_batches else ExitCode.DONE


class Stopping:
    """One cancellation of some items.

    Args:
        project: Whose.
        addresses: Of jobs, which may be globs, or of items; empty: everything.
    """

    def __init__(self, project: "Project", addresses: Sequence[str]) -> None:
        self._project = project
        self._addresses = addresses

    def look(self) -> Stop:
        """Say what would be stopped; changes nothing.

        Raises:
            UsageError: An address is not on record.
            RefusedError: A job is protected.
        """
        with self._project.reader():
            pass  # tells that there is no state, where a store would make one
        store = self._project.store()
        with stopping.chosen(store.db, self._named(store)):
            return stopping.look(store.db)

    def _named(self, store: StateStore, *, removed: bool = False) -> Named:
        if self._addresses:
            named: Named = named_items(store, self._addresses, removed=removed)
        else:
            jobs = (job for job in store.progress() if removed or not job.removed)
            named = {job.address: None for job in jobs}
        self._refuse_protected(store, named)
        return named

    def _refuse_protected(self, store: StateStore, named: Iterable[JobAddress]) -> None:
        specs = {job.address: job.job.protect for job in self._project.desired}
        kept = [job for job in named if specs.get(job) or protected(store.db, job)]
        if kept:
            raise RefusedError(
                f"Job {', '.join(kept)} is protected; nothing was stopped. Set protect=False in "
                "its spec and apply first, or leave it out."
            )

    async def run(self, hook: Hook, *, detach: bool) -> CancelResult:
        """Stop the items, cancel batches nobody else needs, and wait until they have ended.

        Args:
            hook: Is told what happens.
            detach: Return once the provider has taken the cancellations.
        """
        async with at_work(self._project, hook, "cancel") as (store, connections):
            named = await anyio.to_thread.run_sync(self._named, store)
            stopped = await self._stop(named, store, connections, hook, detach=detach)
            return await anyio.to_thread.run_sync(self._result, store, *stopped)

    async def _stop(  # noqa: PLR0913 - what it works with
        self,
        named: Named,
        store: StateStore,
        connections: Connections,
        hook: Hook,
        *,
        detach: bool,
        whole: frozenset[JobAddress] = frozenset(),
    ) -> tuple[Stop, frozenset[BatchId], Sequence[int]]:
        """Stop items; returns what was stopped, the batches waited for, and interrupts.

        `whole` are jobs that are being removed: all of their batches are waited for.
        """
        project = self._project
        with store.reader() as reader:
            lineage = reader.lineage
        applying = Applying(project, nothing(project, lineage), hook, detach=detach)
        providers = applying.connect(connections)
        record = partial(self._record, named, store, applying)
        stop, events = await anyio.to_thread.run_sync(record)
        for event in events:
            hook.event(event)
        world = replace(applying.world(connections, providers), orphans=whole)
        ids = frozenset(b.id for b in stop.batches if b.fate in {"cancel", "ending"})
        ids |= batches_of(store.db, whole)
        loop = Loop(world, detach=detach, batches=ids)
        try:
            with project.desired.imports():
                await loop.run()
        finally:
            await disconnect(project, providers)
        return stop, ids, loop.signals

    def _record(
        self, named: Named, store: StateStore, applying: Applying
    ) -> tuple[Stop, list[Event]]:
        """Stop what waits and note which batches are to be cancelled, in one transaction."""
        now = self._project.clock.now()
        # What was put together and never asked for waits like any other row.
        store.unpack()
        events: list[Event] = list(applying.bindings)
        with stopping.chosen(store.db, named), store.transaction() as db:
            stop = stopping.look(db)
            stopping.stop(db)
            for job in stop.jobs:
                waiting = job.pending + job.tools
                if waiting or job.batched:
                    told = ItemsCancelled(
                        job=job.job, waiting=waiting, in_flight=job.batched, at=now
                    )
                    events.append(told)
            events += [CancelWanted(id=b.id, at=now, reason="requested") for b in stop.cancelled]
            for event in events:
                store.apply_event(event)
        return stop, events

    def _result(
        self, store: StateStore, stop: Stop, batches: frozenset[BatchId], signals: Sequence[int]
    ) -> CancelResult:
        concerned = {job.job for job in stop.jobs}
        return CancelResult(
            stop=stop,
            jobs=tuple(job for job in store.progress() if job.address in concerned),
            open_batches=sum(batch.id in batches for batch in store.open_batches()),
            signal=signals[0] if signals else None,
        )


def nothing(project: "Project", lineage: str) -> Plan:
    """Return a plan that would do nothing, for runs that look after batches only."""
    return Plan(
        id=project.mint(),
        environment=project.environment,
        lineage=lineage,
        serial=0,
        jobs=(),
        batches=0,
        simulated=project.simulated,
    )
