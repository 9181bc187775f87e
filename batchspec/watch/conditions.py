"""What is so of the project and of its jobs: recorded when it changes, and never more often."""

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import anyio
import anyio.to_thread

from batchspec.errors import BatchspecError, LockedError, StateError, storable
from batchspec.ids import JobAddress
from batchspec.plan.consent import Held
from batchspec.ports import Clock, Hook, Timing, ToolRan
from batchspec.state.events import BatchCollected, BatchObserved, BatchSubmitted, Event
from batchspec.state.records import BatchRecord, JobProgress
from batchspec.state.watching import (
    GOOD,
    Condition,
    ConditionChanged,
    ConditionStatus,
    ConditionType,
)
from batchspec.store.sqlite import StateStore
from batchspec.watch.rounds import camel

_Name = tuple[JobAddress | None, ConditionType]
_Known = tuple[ConditionStatus, str, str]


_SOON = 1.0
"""Seconds until what is said is recorded, at most."""
_RUNS: _Known = ("True", "Runs", "The engine runs.")


@dataclass(slots=True)
class Conditions:
    """Conditions as they are recorded, and those that are to be.

    Implements `ports.Hook` by passing on what happens, and learning from it how jobs are.

    Attributes:
        hook: Is told everything, and each condition that is recorded.
        clock: Says since when.
    """

    hook: Hook
    clock: Clock
    _known: dict[_Name, _Known] = field(default_factory=dict[_Name, _Known])
    _new: dict[_Name, ConditionChanged] = field(default_factory=dict[_Name, ConditionChanged])
    _told: set[_Name] = field(default_factory=set[_Name])
    """Of which this process knows how they are."""
    _left: set[_Name] = field(default_factory=set[_Name])
    """What rested when an earlier process ended, and nobody knows whether it still does."""

    def begin(self, recorded: Sequence[Condition]) -> None:
        """Take what an earlier process recorded; what was said here already is said after it."""
        said, self._new = self._new, {}
        self._told.clear()
        self._known = {(c.job, c.type): (c.status, c.reason, c.message) for c in recorded}
        self._left = {(c.job, c.type) for c in recorded if c.type == "Stalled" and not c.good}
        for one in said.values():
            self.note(one)
        runs: _Name = (None, "Running")
        if self._known.get(runs, _RUNS)[0] == "False" and runs not in said:
            self.say("Running", *_RUNS)  # it did not under a watcher before

    def stalled(self, error: BaseException, job: JobAddress | None = None) -> None:
        """Say what lets something rest; told once, however often it is tried again."""
        message = f"{error} It is tried again by itself."
        self.say("Stalled", "True", type(error).__name__, message, job)

    def all_done(self) -> None:
        """Say that nothing rests any more: a round came to its end."""
        for job, kind in list(self._known):
            if kind == "Stalled":
                self.goes_on(job)
        self._left.clear()

    def goes_on(self, job: JobAddress | None = None) -> None:
        """Say that what let something rest is over, if anything did."""
        known = self._known.get((job, "Stalled"))
        if known is not None and known[0] == "True":
            self.say("Stalled", "False", "Recovered", "It goes on.", job)

    def say(
        self,
        kind: ConditionType,
        status: ConditionStatus,
        reason: str,
        message: str,
        job: JobAddress | None = None,
    ) -> None:
        """Say how something is from now on."""
        now = self.clock.now()
        self.note(
            ConditionChanged(
                type=kind, status=status, reason=reason, message=message, at=now, job=job
            )
        )

    def consented(self, held: Sequence[Held], plan: str | None) -> None:
        """Say what waits for a person, and in which plan."""
        if not held:
            self.say("Consented", "True", "NothingPending", "Nothing waits for consent.")
            return
        messages = [one.message for one in held]
        if plan is not None:
            messages.append(f"Agree to it with `batchspec approve {plan}`.")
        self.say("Consented", "False", camel(held[0].code), " ".join(messages))

    def note(self, said: ConditionChanged, *, quietly: bool = False) -> None:
        """Say how something is now; nothing happens where it was so before.

        Args:
            said: What is so.
            quietly: Whether another message alone is no news.
        """
        said = replace(said, message=storable(said.message))
        name: _Name = (said.job, said.type)
        is_now: _Known = (said.status, said.reason, said.message)
        known, told = self._known.get(name), name in self._told
        self._told.add(name)
        self._left.discard(name)
        if known == is_now or (quietly and known is not None and known[:2] == is_now[:2]):
            if not told and GOOD.get(said.type, said.status) != said.status:
                # Recorded by an earlier process, and still so: who looks on now does not know.
                self.hook.event(replace(said, before=said.status))
            return
        self._known[name] = is_now
        before = known[0] if known else None
        self._new[name] = replace(said, before=before)

    def event(self, event: Event) -> None:
        """Pass on an event."""
        if self._left and isinstance(event, BatchSubmitted | BatchObserved | BatchCollected):
            self._left.discard((None, "Stalled"))
            self.goes_on()
        self.hook.event(event)

    def progress(self, jobs: Sequence[JobProgress], batches: Sequence[BatchRecord]) -> None:
        """Pass on how far jobs are, and say it."""
        self.standing(jobs)
        self.hook.progress(jobs, batches)

    def warning(self, message: str) -> None:
        """Pass on a sentence for people."""
        self.hook.warning(message)

    def ran(self, call: ToolRan) -> None:
        """Pass on a call that has ended."""
        if isinstance(self.hook, Timing):
            self.hook.ran(call)

    def standing(self, jobs: Sequence[JobProgress]) -> None:
        """Say how far jobs are."""
        now = self.clock.now()
        for job in jobs:
            if not job.removed:
                for said in _standing(job, now):
                    self.note(said, quietly=True)

    def flush(self, store: StateStore) -> None:
        """Record what is new; blocking.

        What cannot be recorded is told instead: it ends nothing.

        Raises:
            BatchspecError: The state cannot be written now; it is recorded later.
        """
        while self._new:
            new, self._new = self._new, {}
            events = tuple(new.values())
            try:
                store.commit(*events)
            except BatchspecError:  # a full disk; they are as true later
                self._new = {**new, **self._new}
                raise
            except Exception:  # noqa: BLE001 - one of them is such that no row takes it
                events = tuple(event for event in events if self._recorded(store, event))
            for event in events:
                self.hook.event(event)

    def _recorded(self, store: StateStore, event: ConditionChanged) -> bool:
        try:
            store.commit(event)
        except BatchspecError as error:
            self.hook.warning(f"The condition {event.type} was not recorded: {error}")
            return False
        except Exception as error:  # noqa: BLE001 - a mistake of ours, and no round's end
            said = f"{event.status}, {event.message}"
            self.hook.warning(f"The condition {event.type} was not recorded: {error!r} ({said})")
            return False
        return True

    async def flushing(self, store: StateStore, again: anyio.Event, lost: threading.Event) -> None:
        """Record what is new for ever, also what other processes say; a full disk has to wait.

        Args:
            store: Where it is recorded.
            again: Is set once the lease is lost, which nobody else notices while nothing is done.
            lost: Whether it is.
        """
        while True:
            with suppress(StateError, LockedError):
                await anyio.to_thread.run_sync(self.flush, store)
            if lost.is_set():
                again.set()
            await anyio.sleep(_SOON)


def _standing(job: JobProgress, now: float) -> list[ConditionChanged]:
    done, failed = job.final >= job.items, job.failed
    counts = f"{job.final:,} of {job.items:,} items are final, {failed:,} of them failed."

    def said(
        kind: ConditionType, status: ConditionStatus, reason: str, message: str
    ) -> ConditionChanged:
        return ConditionChanged(
            job=job.address, type=kind, status=status, reason=reason, message=message, at=now
        )

    if done:
        progressing = said("Progressing", "False", "AllFinal", counts)
    else:
        progressing = said("Progressing", "True", "UnderWay", counts)
    if done and not failed:
        converged = said("Converged", "True", "AllFinal", counts)
    else:
        converged = said("Converged", "False", "ItemsFailed" if done else "UnderWay", counts)
    if failed:
        degraded = said("Degraded", "True", "ItemsFailed", counts)
    else:
        degraded = said("Degraded", "False", "NoneFailed", "No item failed.")
    return [progressing, converged, degraded]
