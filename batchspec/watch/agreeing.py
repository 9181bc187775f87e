"""How much of a plan a watcher does by itself, with what it spent and may spend."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from batchspec.errors import ConfigurationError
from batchspec.fingerprint import digest
from batchspec.ids import JobAddress
from batchspec.plan.changes import JobPlan, Plan
from batchspec.plan.consent import Consent, Held, Room, Verdict, judge
from batchspec.project import Project
from batchspec.project.agreed import Balance, balance, close_account, open_account, under_way
from batchspec.spec.rows import DerivedSource
from batchspec.state.watching import PlanGranted, WatchBegan
from batchspec.store.reader import StateReader
from batchspec.store.sqlite import StateStore
from batchspec.store.watching import granted_since, paid, spent_before

HOUR = 3600.0


def begin_account(store: StateStore, project: Project, consent: Consent) -> None:
    """Note what was spent, and what is under way, before anything is agreed to here; blocking."""
    open_account(project, store)
    if consent.approve == "turns" or spent_before(store.db) is not None:
        return
    spent = paid(store.db)
    store.commit(WatchBegan(spent=str(spent), at=project.clock.now()))


def at_its_end(store: StateStore, project: Project, plan: Plan) -> bool:
    """Close the account of what was agreed to if nothing of it is left to do; blocking.

    Returns:
        Whether anything was written, so that the plan is to be made anew.
    """
    with project.reader() as reader:
        standing = _standing(project, reader)
    if any(job.moves for job in plan.jobs if job.address in standing):
        return False
    return close_account(project, store)


def granted(plan: Plan, by: str, at: float) -> PlanGranted:
    """Return what is recorded of a plan that a person or the rules of a watcher agreed to."""
    cost = str(plan.cost_at_most) if plan.priced else None
    return PlanGranted(
        plan=plan.id, by="person" if by == "person" else "watch", at_most=cost, at=at
    )


def judged(project: Project, plan: Plan, consent: Consent, store: StateStore) -> Verdict:
    """Say how much of the plan made last is agreed to; blocking.

    Args:
        project: With specs that are pinned.
        plan: For everything there is, or what is left of one for which there was money.
        consent: What is agreed to before anything is known.
        store: Where it stands what may still be spent.
    """
    with project.reader() as reader:
        standing, coded = _standing(project, reader), _coded(project, reader)
    if plan.simulated:
        return judge(plan, consent, standing=standing, coded=coded)
    stands = balance(project, store)
    room, beyond = _room(consent, store, stands, project.clock.now()), stands.beyond
    verdict = judge(plan, consent, standing=standing, coded=coded, room=room, beyond=beyond)
    return replace(verdict, held=_with_keys(project, plan, verdict.held), beyond=beyond)


def _with_keys(project: Project, plan: Plan, held: Sequence[Held]) -> tuple[Held, ...]:
    """Add to what waits that a key is missing, which nobody wants to hear only after consent."""
    if not held:
        return ()
    missing: list[str] = []
    for name in sorted({job.model.partition(":")[0] for job in plan.jobs if job.requests}):
        try:
            project.settings.api_key(name)
        except ConfigurationError as error:
            missing.append(str(error))
    last = held[-1]
    return (*held[:-1], replace(last, message=" ".join([last.message, *missing])))


def _room(consent: Consent, store: StateStore, stands: Balance, now: float) -> Room:
    of_all = hour = None
    # The plan counts what waits, which is set aside as far as there is money for it.
    aside = stands.left - min(stands.left, stands.waiting)
    if consent.max_cost is not None:
        spent = paid(store.db) - (spent_before(store.db) or Decimal(0))
        of_all = consent.max_cost - spent - aside
    if consent.max_cost_per_hour is not None:
        granted = granted_since(store.db, now - HOUR, by="watch")
        hour = consent.max_cost_per_hour - sum((cost for _, cost in granted), Decimal(0))
    return Room(left=of_all, left_this_hour=hour, aside=aside)


def _standing(project: Project, reader: StateReader) -> set[JobAddress]:
    """Return the jobs made of answers that are on record as they are in the specs."""
    recorded = reader.standing()
    return {
        job.address
        for job in project.desired.jobs
        if isinstance(job.rows, DerivedSource)
        and recorded.get(job.address) == (digest(job.contract.canonical()), job.policy)
    }


def _coded(project: Project, reader: StateReader) -> set[JobAddress]:
    """Return the jobs whose code was agreed to, whether or not it has judged every reply yet."""
    recorded = reader.standing()
    return {
        job.address
        for job in project.desired.jobs
        if job.address in recorded and recorded[job.address][1] == job.policy
    }


def going_on(project: Project, plan: Plan | None) -> Plan:
    """Return what goes on without anybody's consent: what answers make, as was agreed; blocking."""
    with project.reader() as reader:
        standing = _standing(project, reader)
        nothing = Plan(
            id=project.mint() if plan is None else plan.id,
            environment=project.environment,
            lineage=reader.lineage,
            serial=reader.serial(),
            jobs=(),
            batches=0,
            simulated=project.simulated,
        )
    if plan is None:
        return nothing
    waiting = [_waiting(project, job) for job in plan.jobs if job.address in standing and job.moves]
    return replace(nothing, jobs=tuple(waiting))


def _waiting(project: Project, job: JobPlan) -> JobPlan:
    """Return the plan of a job whose rows are found out in the loop."""
    return replace(job, waits_for=job.waits_for or project.desired[job.address].depends_on)


def may_go(plan: Plan | None, store: StateStore) -> bool:
    """Tell whether answers under way may show rows to be gone, which needs another plan; blocking.

    What goes on without anybody's consent takes nothing away.
    """
    waits = plan is not None and any(job.waits_for and job.forgets_at_most for job in plan.jobs)
    return waits and under_way(store)
