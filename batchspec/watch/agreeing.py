"""How much of a plan a watcher does by itself, with what it spent and may spend."""

import sqlite3
from dataclasses import replace
from decimal import Decimal

from batchspec.fingerprint import digest
from batchspec.ids import JobAddress
from batchspec.plan.changes import JobPlan, Plan
from batchspec.plan.consent import Consent, Room, Verdict, judge
from batchspec.project import Project
from batchspec.spec.rows import DerivedSource
from batchspec.state.watching import PlanGranted, WatchBegan
from batchspec.store.reader import StateReader
from batchspec.store.sqlite import StateStore
from batchspec.store.watching import granted_since, note_quiet, quiet, spent_before

HOUR = 3600.0


def begin_account(store: StateStore, project: Project, consent: Consent) -> None:
    """Note what was spent before anything is submitted without asking; blocking."""
    if consent.approve == "turns" or spent_before(store.db) is not None:
        return
    with project.reader() as reader:
        spent = reader.spent() or Decimal(0)
    store.commit(WatchBegan(spent=str(spent), at=project.clock.now()))


def note_rest(store: StateStore, project: Project) -> None:
    """Note that all plans so far have cost what they cost, once nothing is under way; blocking."""
    at, _ = quiet(store.db)
    if under_way(store) or not granted_since(store.db, at):
        return
    with project.reader() as reader:
        spent = reader.spent() or Decimal(0)
    now = project.clock.now()
    if now > at:
        with store.transaction() as db:
            note_quiet(db, now, spent)


def granted(plan: Plan, by: str, at: float) -> PlanGranted:
    """Return what is recorded of a plan that a person or the rules of a watcher agreed to."""
    cost = str(plan.cost_at_most) if plan.priced else None
    return PlanGranted(
        plan=plan.id, by="person" if by == "person" else "watch", at_most=cost, at=at
    )


def under_way(store: StateStore) -> bool:
    """Tell whether more may be paid for what was agreed to; blocking."""
    return bool(store.open_batches()) or any(True for _ in store.unfinished())


def outstanding(db: sqlite3.Connection, spent: Decimal) -> Decimal:
    """Return what plans that are not at their end may still cost, in US dollars."""
    at, before = quiet(db)
    granted = sum((cost for _, cost in granted_since(db, at)), Decimal(0))
    return max(Decimal(0), granted - (spent - before))


def judged(project: Project, plan: Plan, consent: Consent, store: StateStore) -> Verdict:
    """Say how much of the plan made last is agreed to; blocking."""
    with project.reader() as reader:
        room = _room(consent, store, reader, project.clock.now())
        standing = _standing(project, reader)
    return judge(plan, consent, standing=standing, room=None if plan.simulated else room)


def _room(consent: Consent, store: StateStore, reader: StateReader, now: float) -> Room:
    left = hour = None
    if consent.max_cost is not None:
        before = spent_before(store.db) or Decimal(0)
        spent = reader.spent() or Decimal(0)
        left = consent.max_cost - (spent - before) - outstanding(store.db, spent)
    if consent.max_cost_per_hour is not None:
        granted = granted_since(store.db, now - HOUR, by="watch")
        hour = consent.max_cost_per_hour - sum((cost for _, cost in granted), Decimal(0))
    return Room(left=left, left_this_hour=hour)


def _standing(project: Project, reader: StateReader) -> set[JobAddress]:
    """Return the jobs made of answers that are on record as they are in the specs."""
    recorded = reader.standing()
    return {
        job.address
        for job in project.desired.jobs
        if isinstance(job.rows, DerivedSource)
        and recorded.get(job.address) == (digest(job.contract.canonical()), job.policy)
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


def next_room(store: StateStore, now: float, verdict: Verdict) -> float | None:
    """Return when there is room for a plan that was too dear; None: nothing waits for that."""
    if any(held.code == "MAX_COST" for held in verdict.held):
        # What is at its end has cost less than it might have.
        with store.reader() as reader:
            spent = reader.spent() or Decimal(0)
        return now if outstanding(store.db, spent) and not under_way(store) else None
    if not any(held.code == "MAX_COST_PER_HOUR" for held in verdict.held):
        return None
    granted = granted_since(store.db, now - HOUR, by="watch")
    return (granted[0][0] if granted else now) + HOUR
