"""`Project`: the same functions for Python and for the command line."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from decimal import Decimal
from functools import partial

import anyio

from batchspec.errors import RefusedError, UsageError
from batchspec.ids import JobAddress
from batchspec.load.determinism import check_determinism
from batchspec.plan.changes import JobPlan, Kind, Plan
from batchspec.plan.drift import shares, with_drift
from batchspec.plan.target import Selection
from batchspec.ports import (
    Hook,
)
from batchspec.project import wiring
from batchspec.project.applying import Applying, SilentHook
from batchspec.project.interventions import Interventions
from batchspec.project.jobs import unfinished_jobs
from batchspec.project.locking import find_lock
from batchspec.project.looking import Looked, Told, look
from batchspec.project.planning import (
    Bounds,
    PlanHook,
    Planner,
    with_unknown,
)
from batchspec.project.recorded import read_items, read_turns
from batchspec.project.refreshable import RefreshableProject
from batchspec.project.status import status_of
from batchspec.project.tainting import Tainted, mark
from batchspec.project.values import ApplyResult, Status
from batchspec.results.read import Item
from batchspec.results.turns import Turn
from batchspec.state.records import LeaseRecord
from batchspec.store.reader import StateReader


class Project(Interventions, RefreshableProject):
    """A folder with specs, and the state of one environment.

    Args:
        root: The folder that holds `specs/`.
        environment: Which state to use; None: what the configuration says.
        simulate: Use environment `simulation`, with every provider served in this process.
        settings: The configuration; None: read it from the folder and the environment.
        clock: Tells the time.
        jobs: By address; they are used instead of what `specs/` declares, which is not loaded.
    """

    # --- plan ----------------------------------------------------------------------------------

    def plan(  # noqa: PLR0913 - one keyword per wish
        self,
        *,
        targets: Sequence[str] = (),
        excludes: Sequence[str] = (),
        replace: Sequence[str] = (),
        failed: bool = False,
        allow_empty: bool = False,
        whole: bool = True,
        refresh: bool = True,
        hook: PlanHook | None = None,
        told: Told | None = None,
    ) -> Plan:
        """Say what `apply` would do, why, and what it costs at most; sends nothing.

        Args:
            targets: Addresses or globs; only these jobs are planned.
            excludes: Addresses or globs of jobs that are left out.
            replace: Jobs whose items are to be answered anew.
            failed: Items that ended without an answer are to be sent again.
            allow_empty: Whether the items of a job without rows may be forgotten.
            whole: False makes a plan to look at, which cannot be applied and costs less.
            refresh: Whether to look at the provider's open batches, which takes some seconds at
                most; without any, or with False, there is no network.
            hook: Called with a job and the rows read so far.
            told: Called with the number of batches looked at, and of all, from another thread.

        Raises:
            SpecError: Something is wrong with specs or rows; every problem is told.
            RefusedError: A guard refuses the change.
        """
        desired = self.load()
        self.discard()
        selection = Selection(targets=targets, excludes=excludes, replace=replace, failed=failed)
        if unknown := selection.unknown(desired.addresses):
            known = ", ".join(desired.addresses) or "none"
            raise UsageError(f"No job matches {', '.join(map(repr, unknown))}. Jobs are: {known}.")
        with desired.imports(), self.store().reader() as reader, ExitStack() as undo:
            planner = self.planner(reader, selection, whole=whole, allow_empty=allow_empty)
            undo.callback(planner.draft.discard)
            planner.hook = hook or planner.hook
            looked = look(self, reader, refresh=refresh, told=told)
            plan = self._plan(planner, reader, looked)
            undo.pop_all()
        self._draft = (plan, planner)
        return plan

    def planner(
        self,
        reader: StateReader,
        selection: Selection | None = None,
        *,
        whole: bool = True,
        allow_empty: bool = False,
    ) -> Planner:
        """Make a planner with a new draft."""
        plan_id = self.mint()
        return Planner(
            draft=self.store().draft(plan_id, whole=whole),
            reader=reader,
            desired=self.desired,
            providers=self.providers,
            prices=self.prices,
            root=self.root,
            bounds=Bounds(
                assumed_output_tokens=self.settings.assumed_output_tokens, allow_empty=allow_empty
            ),
            plan_id=plan_id,
            now=self.clock.now(),
            selection=selection or Selection(),
        )

    def _plan(self, planner: Planner, reader: StateReader, looked: Looked) -> Plan:
        desired = planner.desired
        planner.drift = shares(looked.findings, looked.sizes)
        selected = planner.selection.jobs({job.address: job.depends_on for job in desired.jobs})
        unfinished = unfinished_jobs(reader)
        jobs: dict[JobAddress, JobPlan] = {}
        for job in desired.jobs:
            if job.address not in selected:
                continue
            upstream = [jobs[up] for up in job.depends_on if up in jobs]
            if any(up.moves for up in upstream) or any(u in unfinished for u in job.depends_on):
                jobs[job.address] = planner.plan_waiting(job, upstream)
            else:
                jobs[job.address] = planner.plan_job(job)
        planner.problems += check_determinism(desired, self.root)
        planner.raise_problems()
        # Jobs that are gone are forgotten by plans for everything only.
        chosen = planner.selection.targets or planner.selection.excludes
        removed = [] if chosen else self._removed(planner, reader)
        open_batches = reader.batches(open_only=True)
        plans = [
            with_drift(with_unknown(plan, open_batches), planner.drift.rows)
            for plan in jobs.values()
        ]
        plans = plans if self.simulated else wiring.placed(plans, self.settings)
        self.check_protected([*plans, *removed], planner.protected)
        return Plan(
            id=planner.plan_id,
            environment=self.environment,
            lineage=reader.lineage,
            serial=reader.serial(),
            jobs=(*plans, *removed),
            batches=planner.batches(plans),
            simulated=self.simulated,
            spent=reader.spent(),
            warnings=(*map(str, desired.warnings), *looked.warnings),
            findings=tuple(looked.findings),
        )

    def _removed(self, planner: Planner, reader: StateReader) -> list[JobPlan]:
        found = [
            planner.plan_removed(progress.address, progress.model)
            for progress in reader.progress()
            if progress.address not in {*planner.desired.addresses, *planner.desired.disabled}
            and not progress.removed
        ]
        return [plan for plan in found if plan is not None]

    def check_protected(
        self, plans: Sequence[JobPlan], recorded: Mapping[JobAddress, bool]
    ) -> None:
        """Refuse to resubmit or forget items of a protected job.

        The spec says which jobs are; of a job that is gone, what was agreed to last (`recorded`).

        Raises:
            RefusedError: A plan would.
        """
        for plan in plans:
            costly = plan.counts.get(Kind.RESUBMIT, 0) + plan.counts.get(Kind.FORGET, 0)
            if plan.removed:
                if costly and recorded.get(plan.address):
                    raise RefusedError(_gone_though_protected(plan.address, costly))
            elif costly and self._job(plan.address).job.protect:
                raise RefusedError(
                    f"Job {plan.address} is protected, and {costly} of its items would be "
                    "resubmitted or forgotten. Undo the change, or set protect=False first."
                )

    # --- apply ---------------------------------------------------------------------------------

    def apply(
        self,
        plan: Plan | None = None,
        *,
        hook: Hook | None = None,
        detach: bool = False,
        max_cost: Decimal | None = None,
    ) -> ApplyResult:
        """Do what a plan says, and wait until every job is final.

        Args:
            plan: What was agreed to; None: make one now and agree to it.
            hook: Is told what happens.
            detach: Return once everything that can be sent is sent.
            max_cost: US dollars; a plan that may cost more is refused before anything is sent.

        Raises:
            RefusedError: The budget does not suffice.
            StalePlanError: The state changed since the plan was made, or it was applied before.
            LockedError: Another process is applying.
            ProviderError: A person must mend something; what was recorded stays.
        """
        wiring.outside_a_loop()
        return anyio.run(
            partial(self.apply_async, plan, hook=hook, detach=detach, max_cost=max_cost)
        )

    async def apply_async(
        self,
        plan: Plan | None = None,
        *,
        hook: Hook | None = None,
        detach: bool = False,
        max_cost: Decimal | None = None,
    ) -> ApplyResult:
        """Do what `apply` does, inside a running event loop."""
        if plan is None:
            plan = await anyio.to_thread.run_sync(self.plan)
        applying = Applying(self, plan, hook or SilentHook(), detach=detach)
        try:
            applying.check(max_cost)
            return await applying.run()
        finally:
            if (own := self.take_draft(plan)) is not None:
                own.draft.discard()

    # --- what people say of answers ------------------------------------------------------------

    def taint(
        self, *addresses: str, keys: Sequence[str] | None = None, undo: bool = False
    ) -> tuple[Tainted, ...]:
        """Mark answers as bad: the next plan proposes to send their requests again.

        The old answers stay readable until new ones are in. What is under way is passed over.

        Args:
            addresses: Of jobs, which may be globs, or of items.
            keys: Of one job, whose address is the only one.
            undo: Take the marks away instead.

        Raises:
            UsageError: An address or a key is not on record; nothing was changed.
            LockedError: Another process writes to the state.
            StateError: There is no state yet.
        """
        return mark(self, addresses, keys=keys, on=not undo)

    # --- what came of it -----------------------------------------------------------------------

    def status(self) -> Status:
        """Say how far everything is, from the state alone.

        Raises:
            StateError: There is no state yet.
        """
        with self.reader() as reader:
            return status_of(reader, self.environment, self.clock.now())

    def lock(self, lock: str) -> LeaseRecord | None:
        """Return who holds the lock with an id (or its beginning), None where nobody holds any.

        Raises:
            UsageError: The lock has another id.
            StateError: There is no state yet.
        """
        with self.reader() as reader:
            return find_lock(reader, lock)

    def unlock(self, held: LeaseRecord) -> None:
        """Take the lock away from its holder, whose next write fails with `LockedError`.

        Raises:
            LockedError: Somebody else holds it by now.
        """
        self.store().take_lease_away(held)

    def results(self, address: str, *, failed: bool = False) -> Iterator[Item]:
        """Yield the items of a job, or the one item of an address, in first-seen order.

        Outputs are validated types where the specs load, JSON values otherwise.

        Args:
            address: `module.job` or `module.job["key"]`.
            failed: Only items that ended in another way than succeeded.

        Raises:
            UsageError: Neither the state nor the specs have such a job.
            StateError: There is no state yet.
        """
        return read_items(self, address, failed=failed)

    def turns(self, address: str) -> tuple[Turn, ...]:
        """Return every request of one item with what came back, in order.

        Args:
            address: `module.job["key"]`.

        Raises:
            UsageError: The state has no such item.
            StateError: There is no state yet.
        """
        return read_turns(self, address)


def _gone_though_protected(job: JobAddress, items: int) -> str:
    return (
        f"Job {job} is protected and gone from the specs: its {items} items would be forgotten. "
        "Nothing was changed. Put it back; to let it go, set protect=False, run `batchspec apply`, "
        "and remove it then."
    )
