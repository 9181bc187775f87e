"""Applying a plan: take the lease, record what was agreed, run the loop, give the lease back."""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from batchspec.apply.here import Here
from batchspec.apply.loop import Loop
from batchspec.apply.world import LocalJob, World
from batchspec.desired.graph import Desired, DesiredJob
from batchspec.errors import (
    ConfigurationError,
    DepsError,
    Diagnostic,
    StalePlanError,
)
from batchspec.ids import BatchId
from batchspec.load.worker import command
from batchspec.plan.changes import Plan
from batchspec.plan.target import Selection
from batchspec.ports import (
    Hook,
    Provider,
    Timing,
    Tracing,
)
from batchspec.project.accounts import bindings
from batchspec.project.agreed import agreed_to, noting
from batchspec.project.atwork import at_work, disconnect
from batchspec.project.budget import Ceiling, RunBudget
from batchspec.project.ceilings import budget_of, ceilings
from batchspec.project.constraint import contract_digest
from batchspec.project.expanding import AS_RECORDED, Expanding
from batchspec.project.grading import graded
from batchspec.project.hooking import hooked_jobs, kinds_of
from batchspec.project.pacing import paced
from batchspec.project.tracing import traced
from batchspec.project.values import ApplyResult
from batchspec.project.wiring import Connections
from batchspec.reconcile.settle import Judge
from batchspec.redaction import raised
from batchspec.spec.job import validated
from batchspec.state.events import AccountBound, Event
from batchspec.state.records import BatchRecord, JobProgress
from batchspec.state.watching import PlanGranted, RowsAwaited
from batchspec.store.sqlite import StateStore

_UNTIDY = 100
if TYPE_CHECKING:
    from batchspec.project.project import Project


class SilentHook:
    """Implements `ports.Hook` by ignoring everything."""

    def event(self, event: Event) -> None:
        """Ignore."""

    def progress(self, jobs: Sequence[JobProgress], batches: Sequence[BatchRecord]) -> None:
        """Ignore."""

    def warning(self, message: str) -> None:
        """Ignore."""


class Applying:
    """One apply of one plan."""

    def __init__(self, project: "Project", plan: Plan, hook: Hook, *, detach: bool) -> None:
        self._project = project
        self._plan = plan
        self._hook = hook
        self._detach = detach
        self._ceilings: list[Ceiling] = []
        self._connected = frozenset[str]()
        self._expanding = Expanding(project, project.desired, Selection(), allow_empty=False)
        self.begun: Callable[[Loop], None] = lambda _loop: None
        """Is given the loop before it runs."""
        self.consented = True
        """Whether the plan is recorded; if not, only what was agreed to before goes on."""
        self.grant: Callable[[object], PlanGranted] | None = None
        """Says who agreed, to be recorded with the plan."""
        self.keeps = False
        """Whether the run spends no more than what was agreed to may cost."""
        self.reconcile = plan.id
        """Id of the round it is part of."""
        self.bindings: Sequence[AccountBound] = ()
        self._desired: Desired = project.desired

    def check(self, max_cost: Decimal | None) -> None:
        """Refuse a plan that may cost more than allowed.

        Raises:
            RefusedError: It may, or nobody knows its price.
        """
        self._ceilings = ceilings(self._project, self._plan, max_cost)

    async def run(self) -> ApplyResult:
        """Record the plan and run until every job is final."""
        project, plan = self._project, self._plan
        if not plan.can_apply and not plan.chores:
            self._drop()
            jobs = await anyio.to_thread.run_sync(self._progress)
            missing = await anyio.to_thread.run_sync(self._project.missing)
            return ApplyResult(jobs=jobs, nothing=True, missing=missing)
        try:
            async with at_work(project, self._hook, "apply") as (store, connections):
                return await self.within(connections, store)
        finally:
            self._drop()

    async def within(self, connections: Connections, store: StateStore) -> ApplyResult:
        """Do it with a lease that is held already."""
        with traced(self._project, self._hook, self._plan.id, self.reconcile) as hook:
            self._hook = hook
            return await self._within(connections, store)

    async def _within(self, connections: Connections, store: StateStore) -> ApplyResult:
        providers = self.connect(connections)
        await anyio.to_thread.run_sync(self._agree)
        world = self.world(connections, providers)
        # Lone requests are asked at live endpoints beside, and rarely there when a run is detached.
        if self._detach and (here := world.local.keys() & providers.keys()):
            self._hook.warning(_not_detached(here))
        with self._desired.imports():
            loop = Loop(world, detach=self._detach)
            self.begun(loop)
            try:
                await loop.run()
            finally:
                await disconnect(self._project, providers)
        ended = loop.jobs
        if loop.signals:  # it may have ended before they were counted
            ended = await anyio.to_thread.run_sync(store.progress)
        result = ApplyResult(
            jobs=tuple(job for job in ended if not job.removed),
            waiting=tuple(loop.world.waiting),
            signal=loop.signals[0] if loop.signals else None,
            stopping=tuple(connections.local),
            note=connections.note(),
            refused=tuple(self._expanding.refused),
            problems=tuple(self._expanding.problems),
            left=tuple(self._expanding.left),
            missing=await anyio.to_thread.run_sync(self._project.missing),
        )
        return await anyio.to_thread.run_sync(graded, self._project, store, result)

    def _progress(self) -> tuple[JobProgress, ...]:
        with self._project.reader() as reader:
            return tuple(job for job in reader.progress() if not job.removed)

    def _drop(self) -> None:
        taken = self._project.take_draft(self._plan)
        if taken is not None:
            taken.draft.discard()

    def connect(self, connections: Connections) -> dict[str, Provider]:
        """Connect the providers that have something to do, before anything is recorded."""
        project = self._project
        with project.reader() as reader:
            found = [(reader.lane(b.lane).provider, b.via) for b in reader.batches(open_only=True)]
            used = {lane.lane.provider for lane in reader.lanes() if lane.pending or lane.tools}
            left = [(reader.lane(b.lane).provider, b.via) for b in reader.untidy(_UNTIDY)]
        used |= {name for name, _ in found}
        live = {name for name, via in [*found, *left] if via == "live"}
        used |= {job.model.partition(":")[0] for job in self._plan.jobs if job.requests}
        untidy = {name for name, _ in left} - used
        used |= {name for name in untidy if self._reachable(name, connections)}
        self._connected = frozenset(used)
        self.bindings = bindings(
            project.store(), project.providers, used, connections, project.clock
        )
        return {
            name: connections.connect(provider, live=name in live) if name in used else provider
            for name, provider in project.providers.items()
        }

    def _reachable(self, name: str, connections: Connections) -> bool:
        """Tell whether a provider can be asked to delete files that are left there."""
        provider = self._project.providers.get(name)
        try:
            return provider is not None and bool(connections.account(provider) or True)
        except ConfigurationError:
            return False

    def _agree(self) -> None:
        """Record the rows of the plan.

        Raises:
            StalePlanError: It was applied before, or the state changed since.
        """
        planner = self._project.take_draft(self._plan)
        if not self.consented:
            self._begin_hooks()
            self._expanding.prune = self._expanding.expires = False
            if planner is not None:
                planner.draft.discard()
            return
        if planner is None:
            raise StalePlanError("This plan was applied or replaced already. Make a new one.")
        draft = planner.draft
        bounds = planner.bounds
        self._expanding = Expanding(
            self._project, self._desired, planner.selection, bounds.allow_empty, bounds.prune
        )
        store = self._project.store()
        with self._project.reader() as reader:
            if reader.serial() != self._plan.serial:
                draft.discard()
                raise StalePlanError(
                    "The state changed since the plan was made: another apply ran meanwhile. "
                    "Nothing was sent; plan and apply again."
                )
        self._begin_hooks()
        changes = {k for k, n in self._plan.counts.items() if n} - AS_RECORDED
        # What is put together already may hold rows the plan changes.
        if changes:
            store.unpack()
        recorded = planner.facts_changed or planner.constraint is not None or self.grant is not None
        if changes or recorded:
            store.agree(draft, self._plan.id, planner.events, self._noting(store))
        else:
            draft.discard()
        self._await_rows(store)
        if self.bindings:
            store.commit(*self.bindings)

    def _noting(self, store: StateStore) -> Callable[[sqlite3.Connection], PlanGranted | None]:
        """Return what records, with the rows of the plan, what it may cost and who agreed."""
        note = noting(self._project, self._plan, self._desired, store)

        def then(db: sqlite3.Connection) -> PlanGranted | None:
            note(db)
            return None if self.grant is None else self.grant(db)

        return then

    def _begin_hooks(self) -> None:
        """Let new hooks be told of what becomes final from now on, before rows are recorded."""
        jobs = (*self._desired.jobs, *self._desired.paused)
        self._project.store().begin_hooks(kinds_of(jobs))

    def _await_rows(self, store: StateStore) -> None:
        """Record which jobs were agreed to whose rows are not known yet."""
        waits = [self._desired[job.address] for job in self._plan.jobs if job.waits_for]
        agreed = {job.address: (contract_digest(job), job.policy.hex()) for job in waits}
        with self._project.reader() as reader:
            known = {job: (c.hex(), policy.hex()) for job, (c, policy) in reader.standing().items()}
        if new := {job: said for job, said in agreed.items() if known.get(job) != said}:
            store.commit(RowsAwaited(jobs=new, at=self._project.clock.now()))

    def world(self, connections: Connections, providers: Mapping[str, Provider]) -> World:
        """Return everything the loop touches."""
        project = self._project
        store = project.store()
        folder = self._desired.folder
        here = Here(
            concurrency=project.settings.tool_concurrency,
            process=command(project.root.resolve(), folder),
            warn=self._hook.warning,
        )
        return World(
            store=store,
            providers={
                name: paced(project, one, self._hook.warning) for name, one in providers.items()
            },
            # What was sent for a job before it was switched off comes in with its neighbours.
            jobs={
                job.address: self._local(job, here)
                for job in (*self._desired.jobs, *self._desired.paused)
            },
            prices=project.prices,
            clock=project.clock,
            hook=self._hook,
            lineage=self._plan.lineage,
            mint=lambda: BatchId(project.mint()),
            pace=connections.pace(),
            local=connections.local,
            recorders=connections.recorders(),
            connected=self._connected,
            waiting={job.address: job.waits_for for job in self._plan.jobs if job.waits_for},
            eager=self._expanding.eager(self._plan.jobs),
            expand=self._expanding,
            budget=self._budget(store),
            here=here,
            hooked=hooked_jobs(project, (*self._desired.jobs, *self._desired.paused)),
            ran=self._hook.ran if isinstance(self._hook, Timing) else lambda _call: None,
            tracing=self._hook if isinstance(self._hook, Tracing) else None,
        )

    def _budget(self, store: StateStore) -> RunBudget | None:
        """Return what the run may spend, by the plan and by what was agreed to."""
        keeps = self.keeps and not self._plan.simulated
        found = [*self._ceilings, *([agreed_to(store)] if keeps else [])]
        return budget_of(self._project, self._desired, store, found) if found else None

    def _local(self, desired: DesiredJob, here: Here) -> LocalJob:
        job = desired.job

        def check(value: Any, context: Any) -> Any:
            return validated(job, value, context)

        def failed(error: BaseException) -> Exception:
            return DepsError([_no_deps(desired, error)])

        judge = Judge(
            output=desired.output,
            check=check if job.output_validators else None,
            asks=desired.checks_ask,
            output_retries=job.output_retries,
            max_turns=job.max_turns,
            tools=bool(desired.tools),
            retries=1 + self._project.settings.retries,
            words=raised,
        )
        return LocalJob(
            desired=desired,
            judge=judge,
            deps=partial(here.deps_in_thread, job.deps, failed),
            deps_here=partial(here.deps, job.deps, failed),
        )


def _no_deps(desired: DesiredJob, error: BaseException) -> Diagnostic:
    name = getattr(desired.job.deps, "__name__", "the factory")
    return Diagnostic(
        summary=f"deps of {desired.address} cannot be made",
        detail=(
            f"{name} raised {raised(error)}. Nothing is lost: mend it, then run "
            "`batchspec apply` again."
        ),
        source=desired.source,
    )


def _not_detached(local: Iterable[str]) -> str:
    names = ", ".join(sorted(local))
    return (
        f"{names} answers in this process, and nothing would run after it: batches there are "
        "waited for, `--detach` leaves only those at other providers."
    )
