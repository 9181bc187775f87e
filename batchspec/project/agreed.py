"""What was agreed to may cost, until all of it is at its end: an account in the state.

Each plan that is recorded adds what it may cost at most; what replies cost is taken from it. Once
nothing is under way it is closed, and the next plan begins anew. So a ceiling that somebody agreed
to holds as long as the plan does, whichever processes work on it.
"""

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from batchspec.apply.world import Sending
from batchspec.desired.graph import Desired, DesiredJob
from batchspec.ids import JobAddress
from batchspec.messages import Usage
from batchspec.plan.changes import Plan
from batchspec.plan.estimate import Load, estimate
from batchspec.project.budget import Ceiling
from batchspec.project.ceilings import budget_of, rounding
from batchspec.project.jobs import max_tokens, most_turns
from batchspec.state.records import Lane
from batchspec.state.stored import DraftTotals
from batchspec.state.watching import Account
from batchspec.store.sqlite import StateStore
from batchspec.store.watching import keep_account, paid, read_account, unanswered

if TYPE_CHECKING:
    from batchspec.project.project import Project

_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Balance:
    """What was agreed to, in US dollars at most.

    Attributes:
        left: What may still be paid for it.
        waiting: What requests of it may cost, with every turn, that are not sent yet; plans count
            these as well.
        beyond: Whether more waits to be sent than what is left allows.
    """

    left: Decimal = _NOTHING
    waiting: Decimal = _NOTHING
    beyond: bool = False


def under_way(store: StateStore) -> bool:
    """Tell whether more may be paid for what was agreed to; blocking."""
    return bool(store.open_batches()) or any(True for _ in store.unfinished())


def left(db: sqlite3.Connection) -> Decimal:
    """Return what may still be paid for what was agreed to, in US dollars."""
    account = read_account(db)
    if account is None:
        return _NOTHING
    return max(_NOTHING, account.allowed - (paid(db) - account.paid))


def balance(project: "Project", store: StateStore) -> Balance:
    """Return how what was agreed to stands; blocking."""
    remains = left(store.db)
    with project.reader() as reader:
        totals = reader.outstanding()
        lanes = {_place(found.lane): found.lane for found in reader.lanes()}
    waiting = _at_most(project, totals)
    budget = budget_of(project, project.desired, store, [])
    next_ones = [budget.cost_of(sending) for sending in _sendings(project, totals, lanes)]
    beyond = bool(totals) and budget.created() + sum(next_ones, _NOTHING) > remains
    return Balance(remains, waiting, beyond)


def agreed_to(store: StateStore) -> Ceiling:
    """Return the ceiling that was agreed to, for a run that begins now; blocking."""
    return Ceiling(
        allowed=left(store.db),
        name=" that was agreed to",
        remedy="agree to more, which `batchspec status` lists,",
        agreed=True,
    )


def noting(
    project: "Project", plan: Plan, desired: Desired, store: StateStore
) -> Callable[[sqlite3.Connection], None]:
    """Return what adds to the account, when a plan is recorded, what that may cost; blocking."""
    if plan.simulated:
        return lambda _db: None
    busy = under_way(store)
    before = _before(project, store, busy=busy)
    with project.reader() as reader:
        waits = reader.outstanding()
    counted = {job.address for job in plan.jobs if not job.waits_for}
    again = _at_most(project, {job: waits[job] for job in waits if job in counted})
    own = max(_NOTHING, plan.cost_at_most + rounding(project, plan) - again)
    created = budget_of(project, desired, store, []).created()
    # The plan counts what waits as well: who agrees to it agrees to that once more.
    allowed = max(before, again + created) + own
    now = project.clock.now()
    return lambda db: keep_account(db, Account(at=now, paid=paid(db), allowed=allowed))


def open_account(project: "Project", store: StateStore) -> None:
    """Count what is under way and was agreed to before there were accounts; blocking."""
    if read_account(store.db) is None and under_way(store):
        _keep(project, store, _all_at_most(project, store))


def close_account(project: "Project", store: StateStore) -> bool:
    """Let what was agreed to have cost what it cost if nothing is under way; blocking.

    Returns:
        Whether anything was written.
    """
    account = read_account(store.db)
    if account is None or not account.allowed or under_way(store):
        return False
    _keep(project, store, _NOTHING)
    return True


def _keep(project: "Project", store: StateStore, allowed: Decimal) -> None:
    now = project.clock.now()
    with store.transaction() as db:
        keep_account(db, Account(at=now, paid=paid(db), allowed=allowed))


def _before(project: "Project", store: StateStore, *, busy: bool) -> Decimal:
    if not busy:
        return _NOTHING
    known = read_account(store.db) is not None
    return left(store.db) if known else _all_at_most(project, store)


def _all_at_most(project: "Project", store: StateStore) -> Decimal:
    """Return what everything that is not final may cost, as if it were at its first turn."""
    return _at_most(project, unanswered(store.db))


def _at_most(project: "Project", totals: "dict[JobAddress, DraftTotals]") -> Decimal:
    """Return what requests may cost with every turn at its longest; an unknown price counts 0."""
    jobs = ((project.desired.find(job), found) for job, found in totals.items())
    return sum((_cost(project, job, found) for job, found in jobs if job is not None), _NOTHING)


def _cost(project: "Project", job: DesiredJob, totals: DraftTotals) -> Decimal:
    contract = job.contract

    def cost(usage: Usage) -> Decimal | None:
        return project.prices.cost(contract.provider, contract.model, usage)

    load = Load(
        requests=totals.requests,
        bytes=totals.prompt,
        max_tokens=max_tokens(job),
        turns=most_turns(job),
    )
    return estimate(load, cost, project.lengths).cost_at_most or _NOTHING


def _sendings(
    project: "Project",
    totals: "dict[JobAddress, DraftTotals]",
    lanes: "dict[tuple[str, str, str], Lane]",
) -> Iterable[Sending]:
    for address, found in totals.items():
        job = project.desired.find(address)
        if job is None:
            continue
        contract = job.contract
        lane = lanes.get((contract.provider, contract.endpoint, contract.model))
        if lane is not None:
            yield Sending(lane=lane, jobs={address: (found.requests, found.prompt)})


def _place(lane: Lane) -> tuple[str, str, str]:
    return lane.provider, lane.endpoint, lane.model
