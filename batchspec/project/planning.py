"""Making a plan: streams the rows of every job past the state, a chunk at a time."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

from batchspec.desired.expand import SourceRow, sees_rows
from batchspec.desired.graph import Desired, DesiredJob
from batchspec.errors import Diagnostic, RefusedError, SpecError
from batchspec.ids import JobAddress, group_of
from batchspec.load.build import MAX_DIAGNOSTICS, limited
from batchspec.load.errors import shortened
from batchspec.load.members import told_once
from batchspec.load.rows import read_rows
from batchspec.messages import Usage
from batchspec.plan.changes import Estimate, JobPlan, Kind, Reason
from batchspec.plan.diff import Tally
from batchspec.plan.drift import Shares
from batchspec.plan.estimate import USUAL, Lengths, Load, batches, estimate, together
from batchspec.plan.target import Selection
from batchspec.ports import (
    Prices,
    Provider,
    Reader,
    Wire,
)
from batchspec.project.constraint import Constraint
from batchspec.project.jobs import (
    derived_rows,
    loads_of,
    max_tokens,
    most_turns,
    with_price_of_expired,
)
from batchspec.project.known import Known, known_rows
from batchspec.project.rowpass import RowPass
from batchspec.project.sizes import waiting_sizes
from batchspec.project.standing import Standing
from batchspec.project.widths import Widths
from batchspec.spec.rows import Collect, DerivedSource
from batchspec.state.events import PlanAgreed
from batchspec.state.stored import DraftTotals, Fresh
from batchspec.store.draft import SqliteDraft

PlanHook = Callable[[JobAddress, int], None]
"""Is told a job and how many of its rows were read so far."""


def _quiet(_job: JobAddress, _rows: int) -> None:
    return


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What the planner is told by the configuration."""

    lengths: Lengths = USUAL
    allow_empty: bool = False
    prune: bool = True
    """Whether rows and jobs that are gone are forgotten."""


@dataclass(slots=True, kw_only=True)
class Planner:
    """Plans jobs into one draft.

    Attributes:
        draft: The body of the plan.
        problems: What is wrong with rows; nothing may be sent while there is any.
        events: What agreeing to the plan will record, per job.
        lanes: (lane, requests, bytes) per job, to count batches.
        widths: How long rows are, of jobs that others are made of.
        loads: What each job would send: from its first turns, then what goes on, by turn.
        moved: How many rows of each job take over items that are forgotten, by whose they are.
        unknown: Jobs the state holds no items of.
        constraint: The saved plan beyond which nothing is done; None: there is none.
        expanding: Whether rows are planned in the middle of a run that agreed to them unseen.
        standing: Failed items that are left as they are.
        expires: Whether answers that are too old for their job are asked again.
        facts_changed: Whether agreeing has to record how replies are to be judged, that what
            ended goes on, or that a job is protected or not any more.
    """

    draft: SqliteDraft
    reader: Reader
    desired: Desired
    providers: Mapping[str, Provider]
    prices: Prices
    root: Path
    bounds: Bounds
    plan_id: str
    now: float
    selection: Selection = Selection()
    drift: Shares = field(default_factory=Shares)
    constraint: Constraint | None = None
    hook: PlanHook = _quiet
    expanding: bool = False
    expires: bool = True
    facts_changed: bool = False
    standing: Standing = field(default_factory=Standing)
    _protected: Mapping[JobAddress, bool] | None = None
    _outstanding: Mapping[JobAddress, DraftTotals] | None = None
    problems: list[Diagnostic] = field(default_factory=list[Diagnostic])
    events: list[PlanAgreed] = field(default_factory=list[PlanAgreed])
    lanes: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])
    moved: dict[JobAddress, Mapping[JobAddress, int]] = field(
        default_factory=dict[JobAddress, Mapping[JobAddress, int]]
    )
    unknown: set[JobAddress] = field(default_factory=set[JobAddress])
    widths: dict[JobAddress, Widths] = field(default_factory=dict[JobAddress, Widths])
    loads: dict[JobAddress, list[Load]] = field(default_factory=dict[JobAddress, list[Load]])

    def wire(self, job: DesiredJob) -> Wire:
        """Return the codec of a job's requests."""
        return self.providers[job.contract.provider].wire(job.contract.endpoint)

    def plan_job(self, job: DesiredJob) -> JobPlan:
        """Plan a job whose rows can be read now, from its source or from answers."""
        rows = (
            derived_rows(job, self.desired, self.reader, self.providers)
            if isinstance(job.rows, DerivedSource)
            else read_rows(job.rows, self.root)
        )
        limits = self.constraint is not None or not self.bounds.prune
        partial = limits or self.selection.only_rows(job.address) is not None
        return self._finish(job, self._pass(job, rows, partial=partial))

    def plan_fresh(self, job: DesiredJob, fresh: Fresh) -> JobPlan:
        """Plan the rows of an eager job made of answers that are news; none is forgotten.

        It costs what is new, however many rows the job has; what it costs to send was told before.
        """
        rows = derived_rows(job, self.desired, self.reader, self.providers, fresh)
        tally = self._pass(job, rows, partial=True)
        self._agreed(job.address, tally)
        return tally.plan(requests=0, max_turns=most_turns(job), estimate=Estimate())

    def _pass(
        self, job: DesiredJob, rows: Iterable[SourceRow | Diagnostic], *, partial: bool
    ) -> Tally:
        known = self.draft.begin(
            job.address,
            job.contract,
            job.policy,
            partial=partial,
            protect=job.job.protect,
            scoped=sees_rows(job),
        )
        if isinstance(source := job.rows, DerivedSource):
            self.draft.made_of(
                job.address,
                job.depends_on,
                collects=isinstance(source, Collect),
                picks=source.where is not None,
                whole=not partial,
            )
        if not known:
            self.unknown.add(job.address)
        tally = Tally(job.address, f"{job.contract.provider}:{job.contract.model}")
        pass_ = RowPass(self, job, tally, known=known)
        problems = [*limited(pass_.run(rows), job, MAX_DIAGNOSTICS)]
        self.problems += [shortened(problem, self.root) for problem in problems]
        return tally

    def _agreed(self, job: JobAddress, tally: Tally, removed: int = 0) -> None:
        """Note what agreeing to the plan of a job records."""
        counts = tally.counts
        self.events.append(
            PlanAgreed(
                plan=self.plan_id,
                job=job,
                added=counts.get(Kind.SUBMIT, 0) + counts.get(Kind.REUSE, 0),
                changed=counts.get(Kind.RESUBMIT, 0) + tally.resumed,
                removed=removed,
                at=self.now,
            )
        )

    def _finish(self, job: DesiredJob, tally: Tally) -> JobPlan:
        removed = 0 if self.problems else self._gone(job, tally)
        renamed = min(removed, self._renamed(job.address, tally)) if removed else 0
        if removed > renamed:
            tally.add(Kind.FORGET, "ROW_REMOVED", rows=removed - renamed)
        if rejudged := self._rejudged(job, tally):
            tally.add(Kind.UPDATE, "POLICY_CHANGED", rows=rejudged)
        totals = self._with_drift(self._totals(job.address), job.address, tally)
        totals = replace(totals, bytes=totals.bytes + tally.longer)
        again = self.draft.resumed(job.address) if tally.resumed else None
        self.facts_changed |= tally.resumed > 0
        loads = loads_of(job, totals, again or {}, self.bounds.lengths)
        requests = sum(load.requests for load in loads)
        size = sum(load.bytes for load in loads)
        self.lanes.append((tally.model, requests, totals.bytes - totals.prompt + size))
        self._agreed(job.address, tally, removed)
        self.loads[job.address] = loads
        plan = tally.plan(
            requests=requests, max_turns=most_turns(job), estimate=self.estimates(job, loads)
        )
        return self._protecting(job, with_price_of_expired(self, job, tally, plan))

    def _protecting(self, job: DesiredJob, plan: JobPlan) -> JobPlan:
        """Add that a job is protected from now on, or not any more."""
        if self.protected.get(job.address, job.job.protect) == job.job.protect:
            return plan
        self.facts_changed = True
        note = "protected from now on" if job.job.protect else "not protected any more"
        reason = Reason(kind=Kind.UPDATE, code="PROTECT_CHANGED", rows=0, note=note)
        return replace(plan, protects=job.job.protect, reasons=(*plan.reasons, reason))

    @property
    def protected(self) -> Mapping[JobAddress, bool]:
        """Tell which jobs on record are protected, by what was agreed to last."""
        if self._protected is None:
            self._protected = self.reader.protected()
        return self._protected

    def _gone(self, job: DesiredJob, tally: Tally) -> int:
        """Return how many items are to be forgotten, because their rows are gone."""
        if self.constraint is not None:
            recorded = self.draft.recorded_items(job.address)
            if recorded and not self.constraint.waited(job.address):
                self._guard_empty(job, tally, recorded)
            self.constraint.vanished(job.address, self.draft.vanished(job.address))
            return self.draft.forget_allowed(job.address)
        if self.selection.only_rows(job.address) is not None or not self.bounds.prune:
            return 0
        recorded = self.draft.recorded_items(job.address)
        removed = max(0, recorded - tally.seen)
        if removed:
            self._guard_empty(job, tally, recorded)
        return removed

    def _renamed(self, job: JobAddress, tally: Tally) -> int:
        """Tell rows that only have another key now as moved; returns how many."""
        if not tally.counts.get(Kind.REUSE):
            return 0
        rows = min(self.draft.moved(job).get(job, 0), tally.counts[Kind.REUSE])
        tally.recount(Kind.REUSE, "SAME_REQUEST", "MOVED", rows)
        return rows

    def find_moved(self, plans: Iterable[JobPlan]) -> None:
        """Find out whose items new jobs take over, once it is known which jobs are gone."""
        for plan in plans:
            if plan.counts.get(Kind.REUSE) and not plan.waits_for:
                self.moved[plan.address] = self.draft.moved(plan.address)

    def _totals(self, job: JobAddress) -> DraftTotals:
        """Return what would be sent: what this plan adds, and what was agreed to before."""
        if self._outstanding is None:
            self._outstanding = self.reader.outstanding()
        added = self.draft.totals(job)
        waiting = self._outstanding.get(job)
        if waiting is None:
            return added
        return DraftTotals(
            added.requests + waiting.requests,
            added.bytes + waiting.bytes,
            added.data + waiting.data,
        )

    def _with_drift(self, totals: DraftTotals, job: JobAddress, tally: Tally) -> DraftTotals:
        """Add what goes again because of what became of batches; a row that changes goes once."""
        drifted = self.drift.again.get(job)
        under_way = tally.counts.get(Kind.CONTINUE, 0)
        if drifted is None or not under_way:
            return totals
        again = min(drifted.requests, under_way)
        size = drifted.bytes * again // drifted.requests
        data = drifted.data * again // drifted.requests
        return DraftTotals(totals.requests + again, totals.bytes + size, totals.data + data)

    def _rejudged(self, job: DesiredJob, tally: Tally) -> int:
        """Return how many kept rows have replies that were judged by another policy."""
        judged = self.reader.judged_by(job.address)
        self.facts_changed |= judged not in {None, job.policy}
        kept = tally.counts.get(Kind.KEEP, 0)
        if judged is None or judged == job.policy or not kept:
            return 0
        tally.counts[Kind.KEEP] = 0
        return kept

    def _guard_empty(self, job: DesiredJob, tally: Tally, recorded: int) -> None:
        """Refuse to forget every item because a source is empty."""
        if tally.rows or self.bounds.allow_empty:
            return
        check, nothing = "Check its rows", "nothing was changed"
        if isinstance(source := job.rows, DerivedSource):
            taken = " that `where` takes" if source.where is not None else ""
            above = group_of(job.depends_on[0])
            check = f"Its rows are answers of {above}{taken}, and there are none: mend that"
            nothing = "nothing of it was changed"
        raise RefusedError(
            f"Job {job.address} has no rows now and {recorded} items on record. An empty source "
            f"is more often a mistake than a wish, so {nothing}. {check}; to "
            "forget its items, say so with `--allow-empty`, or remove the job from the spec."
        )

    def estimates(self, job: DesiredJob, loads: Sequence[Load]) -> Estimate:
        """Estimate what the parts of a job would cost."""
        estimates = [self.estimate(job, load) for load in loads]
        return estimates[0] if len(estimates) == 1 else together(estimates)

    def estimate(self, job: DesiredJob, load: Load) -> Estimate:
        """Estimate what a job would cost that sends so much."""
        contract = job.contract
        provider = self.providers[contract.provider]

        def cost(usage: Usage) -> Decimal | None:
            return self.prices.cost(contract.provider, contract.model, usage)

        def live(usage: Usage) -> Decimal | None:
            return self.prices.cost(contract.provider, contract.model, usage, via="live")

        lone = provider.min_requests - 1 if provider.lone_request == "live" else 0
        return estimate(replace(load, lone=lone), cost, self.bounds.lengths, live)

    def plan_waiting(self, job: DesiredJob, upstream: Sequence[JobPlan]) -> JobPlan:
        """Plan a job whose rows are not known yet: an upper bound."""
        rows = self._most_answers(job, upstream)
        known = known_rows(self, job, upstream)
        requests = 1 if isinstance(job.rows, Collect) else max(0, rows - known.free)
        about, most = waiting_sizes(self, job, known, requests=requests, rows=rows)
        load = Load(
            requests=requests if rows else 0,
            bytes=about,
            most=most,
            max_tokens=max_tokens(job),
            turns=most_turns(job),
        )
        self.loads[job.address] = [load]
        tally = Tally(job.address, f"{job.contract.provider}:{job.contract.model}")
        dropped = known.answers - known.rows
        tally.rows = 1 if isinstance(job.rows, Collect) else rows - dropped
        known.tell(tally)
        plan = tally.plan(
            requests=load.requests,
            max_turns=load.turns,
            estimate=self.estimate(job, load),
            waits_for=job.depends_on,
        )
        return replace(plan, forgets_at_most=self._may_forget(job, upstream, known))

    def _most_answers(self, job: DesiredJob, upstream: Sequence[JobPlan]) -> int:
        """Return how many answers there may be above; where not all rows are planned, those too."""
        whole = {up.address for up in upstream if self.selection.only_rows(up.address) is None}
        recorded = (self.draft.items_of(up) for up in job.depends_on if up not in whole)
        return sum(plan.rows for plan in upstream) + sum(recorded)

    def _may_forget(self, job: DesiredJob, upstream: Sequence[JobPlan], known: Known) -> int:
        """Return how many items may have no row once what they are made of is final, at most.

        Those stay that were made of an answer which is left as it is, and not judged anew.
        """
        recorded = self.draft.items_of(job.address)
        if not isinstance(job.rows, Collect):
            return max(0, recorded - known.items - known.moved)
        source, *others = job.depends_on
        changed = any(up.waits_for or up.counts.get(Kind.UPDATE) for up in upstream)
        if not recorded or changed or others or job.rows.where:
            return recorded
        return 0 if any(self.draft.staying(source, source)) else recorded

    def plan_removed(self, address: JobAddress, model: str) -> JobPlan | None:
        """Plan to forget a job that is in the state but not in the specs any more."""
        items = self.draft.forget_job(address)
        if not items:
            return None
        tally = Tally(address, model)
        tally.add(Kind.FORGET, "JOB_REMOVED", rows=items)
        self.events.append(
            PlanAgreed(
                plan=self.plan_id, job=address, added=0, changed=0, removed=items, at=self.now
            )
        )
        return tally.plan(requests=0, max_turns=1, estimate=Estimate(), removed=True)

    def batches(self, plans: Sequence[JobPlan]) -> int:
        """Return how many batches the first turns need; a job that waits needs one of its own."""
        lanes = self.reader.lanes()
        learned = {f"{one.lane.provider}:{one.lane.model}": one.max_bytes for one in lanes}

        def limits(model: str) -> tuple[int, int]:
            provider = self.providers[model.partition(":")[0]]
            largest = provider.max_bytes
            return provider.max_requests, min(largest, learned.get(model) or largest)

        planned = batches(self.lanes, limits)
        return planned + sum(1 for plan in plans if plan.waits_for and plan.requests)

    def raise_problems(self) -> None:
        """Raise what is wrong with rows.

        Raises:
            SpecError: There is something.
        """
        if self.problems:
            raise SpecError(told_once(self.problems))
