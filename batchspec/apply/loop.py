"""The loop: look, decide, do, look again, until nothing is left to do or to wait for."""

import signal
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, assert_never, cast

import anyio
import anyio.abc
import anyio.to_thread

from batchspec.apply.adopt import do_adopt
from batchspec.apply.cancel import cancel_unneeded, do_cancel
from batchspec.apply.collect import do_collect
from batchspec.apply.errors import Errors
from batchspec.apply.expand import do_expand, fresh_jobs
from batchspec.apply.hooks import do_hooks, hooks_due
from batchspec.apply.hookwait import HookWait
from batchspec.apply.packing import do_pack
from batchspec.apply.rejudge import do_rejudge
from batchspec.apply.resting import Resting
from batchspec.apply.run import do_poll, do_submit
from batchspec.apply.tidy import do_tidy
from batchspec.apply.tools import do_tools
from batchspec.apply.world import World, lane_of
from batchspec.errors import ProviderError, RefusedError, SpecError
from batchspec.ids import BatchId, RemoteId
from batchspec.reconcile.actions import (
    Action,
    Adopt,
    Cancel,
    Collect,
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
from batchspec.reconcile.decide import Snapshot, decide
from batchspec.reconcile.observe import on_time
from batchspec.state.records import BatchRecord, JobProgress

HEARTBEAT = 10.0
"""Seconds between two heartbeats of the lease."""
_ABOUT: Mapping[type[Action], Callable[[World, BatchId], Awaitable[None]]] = {
    Submit: do_submit,
    Adopt: do_adopt,
    Cancel: do_cancel,
    Poll: do_poll,
    Collect: do_collect,
    Tidy: do_tidy,
}
_PROGRESS = 1.0
_UNTIDY = 20
_INSIST = 60.0
"""Seconds a detached run waits for a cancellation to be taken."""
_Group = BaseExceptionGroup[BaseException]
_PARALLEL: dict[type[Action], int] = {Submit: 4, Adopt: 4, Cancel: 8, Poll: 16, Collect: 2, Tidy: 4}


@dataclass(slots=True)
class Loop:
    """Runs the actions that `decide` asks for.

    Attributes:
        world: What it works with.
        detach: Return once everything that can be sent is sent.
        once: Look at each open batch once, whatever the time, and read what has ended; nothing is
            sent, and nothing is stopped.
        jobs: How far they were when last counted; at the end of `run` that is how they are.
        running: The kind of action that runs now, by its subject.
        signals: Interrupts so far; after the first nothing new is begun.
    """

    world: World
    detach: bool = False
    once: bool = False
    batches: frozenset[BatchId] | None = None
    """Only these are looked after, and nothing new is begun; None: everything is."""
    resting: Resting | None = None
    """Lets what an error is about rest while all else goes on; None: an error ends the run."""
    aside: Callable[[Any], None] | None = None
    """Is given the store after every report, in the thread that writes."""
    until: float | None = None
    """When it begins nothing new any more and ends, unix seconds; None: not by the clock."""
    listens: bool = True
    """Whether interrupts of this process end it; another one has them told by `drain`."""
    running: dict[Subject, type[Action]] = field(default_factory=dict[Subject, "type[Action]"])
    signals: list[int] = field(default_factory=list[int])
    jobs: Sequence[JobProgress] = ()
    _local: set[BatchId] = field(default_factory=set[BatchId])
    """Open batches that run in this process: a detached run waits for them."""
    _begun: set[Action] = field(default_factory=set[Action])
    _drained: bool = False
    _due: set[RemoteId] = field(default_factory=set[RemoteId])
    """Batches the provider has said something about, to be looked at before their time."""
    _changed: anyio.Event = field(default_factory=anyio.Event)
    errors: Errors = field(init=False)
    _hook_wait: HookWait = field(default_factory=HookWait)
    _failure: BaseException | None = None  # ends the run once running calls of tools have ended
    _reported: float = 0.0
    _counting: float = 0.0

    def __post_init__(self) -> None:
        self.errors = Errors(self.world)
        self.world.wrong = self.errors.event

    async def run(self) -> None:
        """Run until every job is final, everything is sent (`detach`), or an interrupt.

        Raises:
            BatchspecError: Something a person must mend; all that was recorded stays.
        """
        try:
            here = self.world.here.open(lambda: len(self.signals) > 1)
            async with here, anyio.create_task_group() as group:
                group.start_soon(self._heartbeat)
                if self.listens and threading.current_thread() is threading.main_thread():
                    await group.start(self._listen, group.cancel_scope)
                await self._reconcile(group)
                group.cancel_scope.cancel()
        except* Exception as errors:
            raise first_of(errors) from errors
        if self._failure is not None:
            raise self._failure
        if self.world.unreadable and not self.signals:
            raise ProviderError("\n".join(self.world.unreadable.values()))

    def drain(self) -> None:
        """Begin nothing new, and end once what runs has ended; batches at providers continue."""
        self._drained = True
        self._changed.set()

    def look_at(self, batch: RemoteId) -> None:
        """Look at a batch now, whatever its schedule says; an unknown one is no matter."""
        self._due.add(batch)
        self._changed.set()

    async def _reconcile(self, group: anyio.abc.TaskGroup) -> None:
        self._reported = self._hook_wait.since = self.world.clock.now()
        if not self.once:
            await cancel_unneeded(self.world)
        # Who tells events learns first how the provider calls the batches that exist already.
        self.world.hook.progress((), await self.world.db(self.world.store.open_batches))
        while True:
            self._changed = anyio.Event()
            snapshot = await self._snapshot()
            self._local = self._in_process(snapshot)
            now = self.world.clock.now()
            step = decide(snapshot, now)
            polls = (a for a in step.actions if isinstance(a, Poll) and not self._left_alone(a))
            self.world.glances.note_polls(
                {a.batch for a in polls}, snapshot.batches, snapshot.lanes
            )
            for action in step.actions:
                self._start(group, action)
            await self._report(snapshot.batches, now)
            over = step.done or self._all_sent(step.actions, snapshot)
            if self._hooks_can_wait(snapshot, now) or (over and not self.running):
                await self._report(snapshot.batches, now, last=True)
                if self.world.hooked:
                    await self.world.db(self.world.store.keep_looked)
                return
            await self._wait(self._rested(step.wake_at, now))

    def _hooks_can_wait(self, snapshot: Snapshot, now: float) -> bool:
        """Tell whether what is left is left to another run: to tell hooks that fail for long.

        One that goes on for weeks is that run itself.
        """
        if self.resting is not None:
            return False
        running = self.running.values()
        if not self._hook_wait.is_over(snapshot, running, self.world.told_at, now):
            return False
        self.world.hook.warning(
            f"Hooks of {', '.join(snapshot.hooks)} could not be told everything; the next "
            "`batchspec apply` or `batchspec watch` tries again."
        )
        return True

    def _rested(self, wake_at: float | None, now: float) -> float | None:
        """Return when to look again: also when something has rested, or the time is up."""
        rested = None if self.resting is None else self.resting.next_end(now)
        # What runs tells when it has ended; only where nothing does, the clock has to.
        until = None if self.running or self._draining() else self.until
        return min(filter(None, (wake_at, rested, until)), default=None)

    async def _snapshot(self) -> Snapshot:
        store, world, draining = self.world.store, self.world, self._draining()
        now = world.clock.now()

        def look() -> Snapshot:
            if self.batches is not None:
                own = [b for b in store.open_batches() if b.id in self.batches - world.held]
                if self.once:
                    return Snapshot(batches=[_to_look_at(b) for b in own], draining=draining)
                untidy = world.reachable(store.untidy(_UNTIDY))
                return Snapshot(batches=own, untidy=untidy, draining=draining)
            tools = store.tools()
            lanes = store.lanes(now)
            known = [b for b in store.open_batches() if b.id not in world.held]
            hurried = [self._hurried(b, now) for b in known]
            away = {t.job for t in tools if t.job not in world.jobs}
            # Calls of a job whose module is missing wait for it; of one that was removed, they end.
            away = away and away - store.removed_jobs()
            return Snapshot(
                lanes=lanes,
                caps=world.caps(lanes),
                canaries=world.canaries(lanes),
                minimum=world.minimum(lanes),
                coming={job: lane_of(world.jobs[job]) for job in world.waiting},
                batches=world.glances.gathered(hurried, lanes, now),
                untidy=world.reachable(store.untidy(_UNTIDY)),
                tools=[t for t in tools if t.job not in away],
                unjudged=store.unjudged(),
                waiting=dict(world.waiting),
                fresh=fresh_jobs(world),
                unfinished=frozenset(store.unfinished()) if world.waiting else frozenset(),
                hooks=hooks_due(world) if world.hooked and not draining else {},
                draining=draining,
            )

        return await world.db(look)

    def _all_sent(self, actions: tuple[Action, ...], snapshot: Snapshot) -> bool:
        """Tell whether a detached run has sent what can be sent, or one look was taken."""
        if self.once:
            return all(self._left_alone(action) for action in actions)
        if not self.detach or not all(self._left_alone(action) for action in actions):
            return False
        return all(
            b.phase == "submitted" and b.id not in self._local and not self._insists(b)
            for b in snapshot.batches
        )

    def _insists(self, batch: BatchRecord) -> bool:
        """Tell whether a detached run goes on asking to cancel a batch, or a later one does."""
        now, asked = self.world.clock.now(), batch.cancel_at
        return batch.to_cancel and asked is not None and now - asked < _INSIST

    def _in_process(self, snapshot: Snapshot) -> set[BatchId]:
        lanes = {r.lane.id for r in snapshot.lanes if r.lane.provider in self.world.local}
        return {b.id for b in snapshot.batches if b.lane in lanes or b.via == "live"}

    def _left_alone(self, action: Action) -> bool:
        """Tell whether this run leaves an action to a later one."""
        if self.once:
            return action in self._begun or not isinstance(action, Adopt | Poll | Collect)
        return self.detach and isinstance(action, Poll) and action.batch not in self._local

    def _start(self, group: anyio.abc.TaskGroup, action: Action) -> None:
        kind = type(action)
        if action.subject in self.running or self._left_alone(action) or self._rests(action):
            return
        if sum(other is kind for other in self.running.values()) >= _PARALLEL.get(kind, 8):
            return
        self.running[action.subject] = kind
        self._begun.add(action)
        group.start_soon(self._do, action)

    def _rests(self, action: Action) -> bool:
        return self.resting is not None and self.resting.rests(action, self.world.clock.now())

    def _hurried(self, batch: BatchRecord, now: float) -> BatchRecord:
        """Return a batch as due if the provider has said something about it, or it must be."""
        if batch.remote_id not in self._due:
            return on_time(batch, now, self.world.pace)
        self._due.discard(batch.remote_id)
        return replace(batch, next_at=0.0)

    async def _do(self, action: Action) -> None:
        world = self.world
        try:
            match action:
                case Pack():
                    await do_pack(world, action.lane, lone=action.lone)
                case Submit() | Adopt() | Cancel() | Poll() | Collect() | Tidy():
                    await _ABOUT[type(action)](world, action.batch)
                case RunTools():
                    await do_tools(world, action.job, self._draining)
                case Rejudge():
                    await do_rejudge(world, action.job)
                case Expand():
                    await do_expand(world, action)
                case RunHooks():
                    await do_hooks(world, action.job, self._draining)
                case _:
                    assert_never(action)
            await self.errors.went_well(action)
            if self.resting is not None:
                await self.resting.went_well(world, action)
        except* (SpecError, ProviderError, RefusedError) as errors:
            await self.errors.tell(action, first_of(errors), last=self.resting is None)
            if self.resting is None:
                self._fail(first_of(errors), action)
            else:
                await self.resting.went_wrong(world, action, first_of(errors))
        finally:
            self.running.pop(action.subject)
            self._changed.set()

    def _draining(self) -> bool:
        late = self.until is not None and self.world.clock.now() >= self.until
        return self._drained or late or bool(self.signals) or self._failure is not None

    def _fail(self, error: BaseException, action: Action) -> None:
        """End the run, at once unless users' functions run: one that is cut short may be lost."""
        others = {kind for subject, kind in self.running.items() if subject != action.subject}
        if others.isdisjoint({RunTools, RunHooks}):
            raise error
        if self._failure is None:
            self._failure = error
            self.world.hook.warning(
                "Stopping because of an error: running calls of tools and hooks end first. "
                "Interrupt twice to stop at once."
            )

    async def _wait(self, wake_at: float | None) -> None:
        """Wait for an action to end, an interrupt, the time, or the next report.

        Reports are for people, who look in real time, whatever the world's clock does.
        """
        report = anyio.sleep(_PROGRESS if self.running else HEARTBEAT)
        async with anyio.create_task_group() as group:
            group.start_soon(_after, self._changed.wait(), group.cancel_scope)
            group.start_soon(_after, report, group.cancel_scope)
            if wake_at is not None:
                due = self.world.clock.sleep_until(wake_at)
                group.start_soon(_after, due, group.cancel_scope)

    async def _report(
        self, batches: Sequence[BatchRecord], now: float, *, last: bool = False
    ) -> None:
        """Tell the hook how far the jobs are; counting must not take more than a fiftieth."""
        if not last and now - self._reported < max(_PROGRESS, 50 * self._counting):
            return
        started = self.world.clock.now()
        jobs = await self.world.db(self.world.store.progress)
        self._reported = self.world.clock.now()
        self._counting = self._reported - started
        self.jobs = jobs
        self.world.hook.progress(jobs, batches)
        if self.aside is not None:
            await self.world.db(self.aside, self.world.store)

    async def _heartbeat(self) -> None:
        """Show that we live, whatever else is done with the state meanwhile.

        Others wait in real time, so this is none of the world's clock: nothing is decided by it.
        """
        thread = anyio.CapacityLimiter(1)
        while True:
            await anyio.sleep(HEARTBEAT)
            await anyio.to_thread.run_sync(self.world.store.renew, limiter=thread)

    async def _listen(
        self, scope: anyio.CancelScope, *, task_status: anyio.abc.TaskStatus[None]
    ) -> None:
        """First interrupt: begin nothing new. Second: stop at once; what is recorded is safe."""
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
            task_status.started()
            async for number in received:
                self.signals.append(number)
                self._changed.set()
                if len(self.signals) > 1:
                    scope.cancel()
                    return
                self.world.hook.warning(
                    "Stopping: running calls end, then the state is saved. Batches at the "
                    f"provider continue{self._but_here()}. Interrupt again to stop at once."
                )

    def _but_here(self) -> str:
        names = ", ".join(sorted(self.world.local))
        return f"; those of {names} run here and go on with the next apply" if names else ""


def _to_look_at(batch: BatchRecord) -> BatchRecord:
    """Return a batch that is due, and to be looked at even if it is to be stopped."""
    return replace(batch, next_at=0.0, cancel_at=None)


async def _after(wait: Awaitable[Any], scope: anyio.CancelScope) -> None:
    await wait
    scope.cancel()


def first_of(errors: _Group) -> BaseException:
    """Return the first single error of nested groups; tasks beside it were only cancelled."""
    first = errors.exceptions[0]
    return first_of(cast("_Group", first)) if isinstance(first, BaseExceptionGroup) else first
