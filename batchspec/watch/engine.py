"""One interpreter's part of watching: plan, do what is agreed to, wait, and again.

The specs are pinned: an engine never sees others than those it was started with. When they change,
a new interpreter takes over, and this one is drained.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf

import anyio
import anyio.to_thread

from batchspec.apply.loop import Loop, first_of
from batchspec.apply.resting import Resting
from batchspec.apply.world import OverBudgetError
from batchspec.errors import (
    BatchspecError,
    LockedError,
    RefusedError,
    SpecError,
    StalePlanError,
)
from batchspec.ids import RemoteId
from batchspec.plan.changes import Plan
from batchspec.plan.consent import Consent, Held, Verdict
from batchspec.ports import Hook
from batchspec.project import ApplyResult, Project
from batchspec.project.agreed import close_account, under_way
from batchspec.project.applying import Applying
from batchspec.project.atwork import connecting, holding
from batchspec.project.beating import beating
from batchspec.project.ceilings import too_dear
from batchspec.project.pending import ENOUGH, Pending
from batchspec.project.planfiles import SavedPlan
from batchspec.reconcile.actions import Subject
from batchspec.state.watching import ConditionChanged, PlanGranted
from batchspec.store.lease import Watcher
from batchspec.store.sqlite import StateStore
from batchspec.watch.agenda import hides_expired, planned
from batchspec.watch.agreeing import at_its_end, begin_account, going_on, granted, judged, may_go
from batchspec.watch.alarm import Alarm
from batchspec.watch.beats import beats
from batchspec.watch.conditions import Conditions
from batchspec.watch.protocol import Beside, Round, RoundResult
from batchspec.watch.rounds import begun, ended, job_of, refused
from batchspec.watch.tidying import tidied
from batchspec.watch.waking import break_off, next_due

_LONGEST = 600.0
"""Seconds between two times that a refusal nobody can explain is a reason to plan again."""


@dataclass(slots=True, kw_only=True)
class Engine:
    """Reconciles until it is told to drain.

    Attributes:
        project: With specs that are pinned, or with none.
        consent: What is agreed to before anything is known.
        hook: Is told what happens.
        plans: Whether there are specs; without, only what is under way is looked after.
        watcher: Who started it, if another process did.
        beat: Called every second, as long as it is not stuck.
        planned: Is told each plan and how much of it is agreed to.
        idle: Is told that there is nothing to do, until when if that is known.
        leads: Is told that this engine holds the lease, and when it does not any more.
        beside: Is told what is no event: rounds, and how long they took.
        stuck: Is told, again and again, that calls of tools which do not end keep it from planning.
    """

    project: Project
    consent: Consent
    hook: Hook
    plans: bool = True
    watcher: Watcher | None = None
    beat: Callable[[], None] = lambda: None
    planned: Callable[[Plan, Verdict], None] = lambda _plan, _verdict: None
    idle: Callable[[float | None], None] = lambda _until: None
    leads: Callable[[bool], None] = lambda _holds: None
    beside: Callable[[Beside], None] = lambda _said: None
    stuck: Callable[[], None] = lambda: None
    _round_now: Round = field(default_factory=lambda: Round("", 0))
    _conditions: Conditions = field(init=False)
    _alarm: Alarm = field(init=False)
    _resting: Resting = field(init=False)
    _hides: bool = False  # whether the last plan could not show what is too old
    _pending: Pending = field(init=False)
    _loop: Loop | None = None
    _grants: PlanGranted | None = None  # recorded with the plan that is applied
    _again: anyio.Event = field(default_factory=anyio.Event)
    _draining: bool = False
    _waiting: anyio.CancelScope | None = None
    _verdict: Verdict = field(default_factory=Verdict)
    _asks_at: float = 0.0  # when a refusal `_verdict` does not explain is a reason to plan again
    _busy: bool = False  # whether anything was under way when the last plan was made
    _read_at: float = 0.0
    _until: float | None = None

    def __post_init__(self) -> None:
        self._pending = Pending(self.project.directory)
        self._conditions = Conditions(self.hook, self.project.clock)
        self._alarm = Alarm(self.project, self._conditions)
        # For all rounds: else rows that change by the minute would begin each wait anew.
        self._resting = Resting(self._rested, lambda what: self._conditions.goes_on(job_of(what)))

    def replan(self) -> None:
        """Plan again: data changed, or somebody agreed to something."""
        self._again.set()
        if self._loop is not None:
            self._loop.drain()

    def drain(self) -> None:
        """Begin nothing new and end once what runs has ended; batches at providers continue."""
        self._draining = True
        if self._waiting is not None:
            self._waiting.cancel()
        self.replan()

    def look_at(self, batch: RemoteId) -> None:
        """Look at a batch now, whatever its schedule says."""
        if self._loop is not None:
            self._loop.look_at(batch)

    def note(self, said: ConditionChanged) -> None:
        """Record what another process found out, soon."""
        self._conditions.note(said)

    async def run(self) -> None:
        """Reconcile until it is drained.

        Raises:
            BatchspecError: The state cannot be used at all.
        """
        self.project.patience.timeout = inf
        try:
            async with anyio.create_task_group() as group:
                patience = self.project.settings.watch.drain_timeout
                group.start_soon(beats, self.beat, self._ends, self.stuck, patience)
                await self._lead()
                group.cancel_scope.cancel()
        except* BatchspecError as errors:
            raise first_of(errors) from errors

    async def _lead(self) -> None:
        while not self._draining:
            async with AsyncExitStack() as stack:
                store = None
                with anyio.CancelScope() as self._waiting:
                    held = holding(self.project, self._conditions, "watch", self.watcher)
                    store = await stack.enter_async_context(held)
                if store is None or self._draining:
                    return
                lost = stack.enter_context(beating(store))
                self.leads(True)  # noqa: FBT003 - of a callback
                # Somebody took the lease away; it is waited for like at the beginning.
                with suppress(LockedError):
                    await self._rounds(store, lost)
                self.leads(False)  # noqa: FBT003

    async def _rounds(self, store: StateStore, lost: threading.Event) -> None:
        with self.project.reader() as reader:
            self._conditions.begin(reader.conditions())
        while not self._draining:
            self._again = anyio.Event()
            began, self._round_now = self._now(), begun(self.project)
            self.beside(self._round_now)
            try:
                until = await self._round(store)
                self._alarm.round_went_well()
                self._end_round(began, "done" if until is None else "waits")
            except (LockedError, anyio.get_cancelled_exc_class()):
                raise
            except BatchspecError as error:
                until = await self._alarm.round_failed(store, error)
                self._end_round(began, "failed")
            with suppress(BatchspecError):
                await anyio.to_thread.run_sync(self._conditions.flush, store)
            await self._rest(store, until, lost)
            if lost.is_set():
                await anyio.to_thread.run_sync(store.confirm)

    def _end_round(self, began: float, result: RoundResult) -> None:
        again = self._again.is_set()
        if result != "failed" and not again:
            self._conditions.all_done()
        self.beside(ended(result, self._now() - began, again=again))

    async def _round(self, store: StateStore) -> float | None:
        """Plan, do what is agreed to, and see it to its end; returns when to plan again.

        Raises:
            BatchspecError: It cannot go on; nothing that was recorded is lost.
        """
        plan, verdict, done, self._hides = None, Verdict(), False, False
        if self.plans:
            to_do = partial(self._pending.to_do, store.db, self.hook.warning)
            for saved in await anyio.to_thread.run_sync(to_do):
                await self._grant(store, saved)
            plan, verdict = await anyio.to_thread.run_sync(self._judge, store)
            await self._alarm.planned(store)
        self._until = await anyio.to_thread.run_sync(
            break_off, self.project, store, self._read_at if self.plans else None, verdict
        )
        if verdict.agreed == "changes":
            anew = partial(self._judge_again, store, verdict, prune=False)
            plan = await anyio.to_thread.run_sync(anew)
        if plan is not None and verdict.agreed != "nothing":
            done = await self._agree(store, plan, verdict)
        if not done:
            rows_may_go = await anyio.to_thread.run_sync(may_go, plan, store)
            goes_on = await anyio.to_thread.run_sync(going_on, self.project, plan)
            result = await self._apply(store, goes_on, by=None)
            self._hides = hides_expired(self.project, plan, result)
            if rows_may_go and not await anyio.to_thread.run_sync(under_way, store):
                self._again.set()
        if not self._draining:
            for left in await tidied(self.project, store, self._conditions):
                self.hook.warning(left)
        return await anyio.to_thread.run_sync(self._due, store, verdict)

    def _judge_again(
        self, store: StateStore, verdict: Verdict, *, prune: bool, excludes: Sequence[str] = ()
    ) -> Plan | None:
        """Plan less than was judged; None: it may cost more by now, as data grows, and waits."""
        plan = self._plan(prune=prune, excludes=excludes)
        again = None if plan is None else judged(self.project, plan, self.consent, store)
        if again is not None and again.agreed == "nothing":
            self._hold([*verdict.held, *again.held], None)
            return None
        return plan

    def _due(self, store: StateStore, verdict: Verdict) -> float | None:
        """Return when there may be something to do that nobody tells of."""
        whole = not self._draining and not self._again.is_set()
        ended = self._busy and not under_way(store)
        closed = whole and (close_account(self.project, store) or ended)
        read_at = self._read_at if self.plans else None
        if closed and self._hides:
            return self._now()
        return next_due(self.project, store, read_at, verdict, closed=closed)

    async def _agree(self, store: StateStore, plan: Plan, verdict: Verdict) -> bool:
        """Do a plan by the rules; False: a budget of the configuration or of a job refuses it."""
        try:
            await self._apply(store, plan, by="watch", only_agree=verdict.agreed == "changes")
        except RefusedError as error:
            if self._loop is not None:
                raise
            return await self._agree_to_rest(store, plan, verdict, error)
        if verdict.agreed == "changes":
            self._again.set()
        return True

    async def _agree_to_rest(
        self, store: StateStore, plan: Plan, verdict: Verdict, error: RefusedError
    ) -> bool:
        """Do a plan without the jobs that are too dear for their own budgets."""
        dear = too_dear(self.project, plan)
        held = [Held(code="MAX_COST", message=why) for why in dear.values() or [str(error)]]
        waits = replace(verdict, held=(*verdict.held, *held))
        self._hold(waits.held, None)
        if not dear:
            return False
        prune, excludes = verdict.agreed == "all", tuple(dear)
        others = partial(self._judge_again, store, waits, prune=prune, excludes=excludes)
        if (rest := await anyio.to_thread.run_sync(others)) is None:
            return False
        await self._apply(store, rest, by="watch", only_agree=True)
        self._again.set()
        return True

    async def _grant(self, store: StateStore, saved: SavedPlan) -> None:
        """Record what a person agreed to; what of it does not fit any more is told and left."""
        try:
            replan = partial(self.project.replan, saved, refresh=False, later=True)
            plan = await anyio.to_thread.run_sync(replan)
            for warning in plan.warnings:
                self.hook.warning(warning)
            await self._apply(store, plan, by="person", only_agree=True)
        except (StalePlanError, RefusedError, SpecError) as error:
            self.hook.warning(f"Plan {saved.plan.id} was approved and cannot be done. {error}")
        await anyio.to_thread.run_sync(self._pending.remove, saved)

    async def _apply(
        self, store: StateStore, plan: Plan, *, by: str | None, only_agree: bool = False
    ) -> ApplyResult:
        self.beside(replace(self._round_now, plan=plan.id if by else None))
        applying = Applying(self.project, plan, self._conditions, detach=False)
        applying.consented = by is not None
        applying.reconcile, applying.keeps = self._round_now.reconcile, True
        applying.begun = partial(self._begun, only_agree=only_agree)
        if by is not None:
            applying.grant = partial(self._granted, plan, by)
        self._loop = self._grants = None
        applying.check(None)
        try:
            async with connecting(self.project, self._conditions) as connections:
                result = await applying.within(connections, store)
        finally:
            loop, self._loop = self._loop, None
        for told in (*result.problems, *result.refused):
            self.hook.warning(str(told))
        if loop is not None:
            self._conditions.standing(result.jobs)
        return result

    def _granted(self, plan: Plan, by: str, _db: object) -> PlanGranted:
        self._grants = granted(plan, by, self._now())
        return self._grants

    def _begun(self, loop: Loop, *, only_agree: bool) -> None:
        self._loop = loop
        if self._grants is not None:
            self.hook.event(self._grants)
        loop.listens, loop.until, loop.errors.said = False, self._until, self._alarm.said
        loop.resting = self._resting
        loop.world.goes_on = True
        loop.aside = self._conditions.flush
        if only_agree or self._again.is_set():
            loop.drain()

    def _judge(self, store: StateStore) -> tuple[Plan | None, Verdict]:
        """Plan everything, say how much of it is agreed to, and keep the rest for a person."""
        begin_account(store, self.project, self.consent)
        self._read_at = self._now()
        self._conditions.flush(store)
        plan = self._plan()
        if plan is not None and at_its_end(store, self.project, plan):
            plan = self._plan()
        if plan is None:
            self._pending.withdraw()
            return None, Verdict()
        self._busy = under_way(store)
        self._verdict = verdict = judged(self.project, plan, self.consent, store)
        self.planned(plan, verdict)
        self._hold(verdict.held, plan)
        return plan, verdict

    def _plan(self, *, prune: bool = True, excludes: Sequence[str] = ()) -> Plan | None:
        try:
            plan = self.project.plan(refresh=False, prune=prune, excludes=excludes)
        except (SpecError, RefusedError) as error:
            wrong = "RowsInvalid" if isinstance(error, SpecError) else "Refused"
            self._conditions.say("Planned", "False", wrong, refused(error))
            self._alarm.unplanned = error
            return None
        self._conditions.say("Planned", "True", *planned(self.project.desired.jobs))
        return plan

    def _hold(self, held: Sequence[Held], plan: Plan | None) -> None:
        saved = self._pending.propose(self.project, plan) if plan is not None and held else None
        if not held:
            self._pending.withdraw()
        self._conditions.consented(held, None if saved is None else saved.plan.id[:ENOUGH])

    def _rested(self, subject: Subject, error: BaseException) -> None:
        if isinstance(error, OverBudgetError) and error.agreed:
            # What is asked for is told by the plan that waits.
            self._ask_for_more()
            return
        self._conditions.stalled(error, job_of(subject))

    def _ask_for_more(self) -> None:
        """Plan again what exceeds what was agreed to, unless that waits for consent already."""
        if not self._verdict.beyond and self._now() >= self._asks_at:
            self._asks_at = self._now() + _LONGEST
            self.replan()

    def _now(self) -> float:
        return self.project.clock.now()

    async def _rest(self, store: StateStore, until: float | None, lost: threading.Event) -> None:
        """Wait until there is something to do again."""
        if self._late() or (until is not None and until <= self._now()):
            self._again.set()
        if not self._again.is_set():
            self.idle(until)
        async with anyio.create_task_group() as group:
            group.start_soon(self._conditions.flushing, store, self._again, lost)
            if until is not None:
                group.start_soon(self._wake_at, until)
            await self._again.wait()
            group.cancel_scope.cancel()

    async def _wake_at(self, moment: float) -> None:
        await self.project.clock.sleep_until(moment)
        self._again.set()

    def _late(self) -> bool:
        return self._until is not None and self._until <= self._now()

    def _ends(self) -> bool:
        """Tell whether the loop was told to end, so that rows can be planned again."""
        told = self._again.is_set() or self._late()
        return self._loop is not None and told and not self._draining
