"""`Project`: the same functions for Python and for the command line."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from batchspec.errors import UsageError
from batchspec.plan.changes import Plan
from batchspec.plan.target import Selection
from batchspec.ports import (
    Hook,
)
from batchspec.project import wiring
from batchspec.project.applying import Applying, SilentHook
from batchspec.project.interventions import Interventions
from batchspec.project.locking import find_lock
from batchspec.project.looking import Told, look
from batchspec.project.making import make_plan
from batchspec.project.pending import Pending
from batchspec.project.planfiles import SavedPlan, read_plan, read_rows
from batchspec.project.planning import (
    Bounds,
    PlanHook,
    Planner,
)
from batchspec.project.recorded import read_items, read_turns
from batchspec.project.refreshable import RefreshableProject
from batchspec.project.saving import constraint, refuse_elsewhere, refuse_unfit, save_plan
from batchspec.project.status import status_of
from batchspec.project.tainting import Tainted, mark
from batchspec.project.values import ApplyResult, Status
from batchspec.results.read import Item
from batchspec.results.turns import Turn
from batchspec.state.missing import Missing
from batchspec.state.records import LeaseRecord
from batchspec.store.reader import StateReader

if TYPE_CHECKING:
    from batchspec.project.comparing import By, Variants
    from batchspec.project.state import ProjectState


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
        prune: bool = True,
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
            prune: Whether rows and jobs that are gone are forgotten; False: they are left alone.
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
            planner = self.planner(
                reader, selection, whole=whole, allow_empty=allow_empty, prune=prune
            )
            undo.callback(planner.draft.discard)
            planner.hook = hook or planner.hook
            looked = look(self, reader, refresh=refresh, told=told)
            plan = make_plan(self, planner, reader, looked)
            undo.pop_all()
        self._draft = (plan, planner)
        return plan

    def save_plan(self, plan: Plan, path: str | Path) -> SavedPlan:
        """Write the plan made last to a file, for review and for one `apply`.

        The file is its owner's alone. It holds keys of rows and hashes of requests, no prompts and
        no secrets. A saved plan that is at the path already is replaced.

        Raises:
            StalePlanError: Another plan was made since.
            UsageError: There is something else at the path.
        """
        return save_plan(self.planner_of(plan), plan, Path(path), self.prices)

    def load_plan(self, path: str | Path) -> SavedPlan:
        """Read a saved plan; `replan` or `apply` say whether it still fits.

        Raises:
            UsageError: There is no such file.
            PlanFileError: It is no saved plan, damaged, cut off or changed.
        """
        return read_plan(Path(path))

    def replan(
        self,
        saved: SavedPlan,
        *,
        refresh: bool = True,
        hook: PlanHook | None = None,
        told: Told | None = None,
        later: bool = False,
    ) -> Plan:
        """Say what applying a saved plan does now: what it says, or less.

        A row is done if the plan has the same job, key, symbol and request. What else changed since
        is left alone and told in the warnings; rows that are gone drop out.

        Args:
            saved: The plan.
            refresh: Whether to look at the provider's open batches.
            hook: Called with a job and the rows read so far.
            told: Called with the number of batches looked at, and of all, from another thread.
            later: Whether the state may have moved on meanwhile, as it does while somebody watches.

        Raises:
            StalePlanError: It is for another state or moment, or was applied before.
            PlanFileError: The file changed since it was read.
            RefusedError: Its rows are dearer now, or a guard refuses the change.
            SpecError: Something is wrong with specs or rows; every problem is told.
        """
        refuse_elsewhere(self, saved)
        desired = self.load()
        self.discard()
        header = saved.header
        with desired.imports(), self.store().reader() as reader, ExitStack() as undo:
            refuse_unfit(self, saved, reader, later=later)
            selection = Selection(targets=header.targets, excludes=header.excludes)
            planner = self.planner(reader, selection, allow_empty=header.allow_empty)
            undo.callback(planner.draft.discard)
            planner.plan_id = saved.plan.id
            planner.hook = hook or planner.hook
            planner.constraint = constraint(self, planner, saved)
            planner.draft.allow(read_rows(saved))
            looked = look(self, reader, refresh=refresh, told=told)
            plan = make_plan(self, planner, reader, looked)
            plan = replace(plan, ceiling=header.ceiling)
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
        prune: bool = True,
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
            bounds=Bounds(lengths=self.lengths, allow_empty=allow_empty, prune=prune),
            plan_id=plan_id,
            now=self.clock.now(),
            selection=selection or Selection(),
        )

    # --- apply ---------------------------------------------------------------------------------

    def apply(
        self,
        plan: Plan | SavedPlan | None = None,
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
        plan: Plan | SavedPlan | None = None,
        *,
        hook: Hook | None = None,
        detach: bool = False,
        max_cost: Decimal | None = None,
    ) -> ApplyResult:
        """Do what `apply` does, inside a running event loop."""
        if plan is None:
            plan = await anyio.to_thread.run_sync(self.plan)
        elif isinstance(plan, SavedPlan):
            plan = await anyio.to_thread.run_sync(self.replan, plan)
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
            status = status_of(reader, self.environment, self.clock.now(), self.providers)
        pending = Pending(self.directory)
        every = [(saved.plan, pending.is_approved(saved)) for saved in pending]
        return replace(
            status,
            pending=tuple(plan for plan, approved in every if not approved),
            approved=tuple(plan for plan, approved in every if approved),
        )

    @property
    def state(self) -> "ProjectState":
        """Return what is recorded, to be looked at or mended by hand."""
        from batchspec.project.state import ProjectState  # noqa: PLC0415 - few commands need it

        return ProjectState(self)

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

    def compare(self, address: str, *, by: "By" = "variant") -> "Variants":
        """Put the variants of a job side by side: success, cost, latency, agreement, grade.

        Args:
            address: Of a job; the first of its variants is the baseline.
            by: Whether samples of a variant are taken together, or compared.

        Raises:
            UsageError: The state has no such job.
            StateError: There is no state yet.
        """
        from batchspec.project.comparing import compare  # noqa: PLC0415 - few commands need it

        return compare(self, address, by)

    def missing(self) -> tuple[Missing, ...]:
        """Say which rows jobs made of answers do not have, because there are no answers, and why.

        Raises:
            StateError: There is no state yet.
        """
        with self.reader() as reader:
            return tuple(reader.missing())

    def turns(self, address: str) -> tuple[Turn, ...]:
        """Return every request of one item with what came back, in order.

        Args:
            address: `module.job["key"]`.

        Raises:
            UsageError: The state has no such item.
            StateError: There is no state yet.
        """
        return read_turns(self, address)
