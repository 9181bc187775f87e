"""What an apply may spend: by its plan, by the configuration, and by budgets of jobs."""

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from batchspec.desired.graph import Desired
from batchspec.errors import RefusedError
from batchspec.ids import JobAddress, group_of
from batchspec.messages import Usage
from batchspec.plan.changes import JobPlan, Plan
from batchspec.plan.money import money
from batchspec.project.budget import Ceiling, RunBudget, of_jobs
from batchspec.project.jobs import max_tokens
from batchspec.store.sqlite import StateStore

if TYPE_CHECKING:
    from batchspec.project.project import Project


def ceilings(project: "Project", plan: Plan, max_cost: Decimal | None) -> list[Ceiling]:
    """Return what an apply of a plan may spend.

    Raises:
        RefusedError: The plan may cost more, or nobody knows its price.
    """
    if plan.simulated:
        return []
    found: list[Ceiling] = []
    allowed = max_cost if max_cost is not None else project.settings.max_cost
    if allowed is not None:
        found.append(Ceiling(allowed=allowed))
        _priced(plan.jobs, allowed, "The plan")
        _within(plan.cost_of_all_turns, allowed, "The plan")
    if plan.ceiling is not None:
        found.append(_reviewed(project, plan, plan.ceiling))
    own = _own(project)
    for ceiling in own:
        _own_budget(plan, ceiling)
    return [*found, *own]


def too_dear(project: "Project", plan: Plan) -> dict[JobAddress, str]:
    """Return the jobs that may cost more than their own budgets allow, with why."""
    found: dict[JobAddress, str] = {}
    for ceiling in _own(project):
        try:
            _own_budget(plan, ceiling)
        except RefusedError as error:
            if ceiling.job is not None:
                found[ceiling.job] = str(error)
    return found


def budget_of(
    project: "Project", desired: Desired, store: StateStore, ceilings: Sequence[Ceiling]
) -> RunBudget:
    """Return what holds requests against ceilings, from now on; blocking."""
    assumed = project.settings.assumed_output_tokens
    own = ((job.address, max_tokens(job)) for job in desired.jobs)
    bounds = {job: assumed if bound is None else bound for job, bound in own}
    longest = max(assumed, *bounds.values()) if bounds else assumed
    return RunBudget(ceilings, store, project.prices, bounds, longest)


def rounding(project: "Project", plan: Plan) -> Decimal:
    """Return the token by which the cost of each request of a plan is rounded, in US dollars."""
    slack = Decimal(0)
    for job in plan.jobs:
        provider, _, model = job.model.partition(":")
        token = project.prices.cost(provider, model, Usage(input_tokens=1))
        slack += (token or 0) * job.requests * job.max_turns
    return slack


def _own(project: "Project") -> list[Ceiling]:
    return of_jobs((job.address, job.job.max_cost) for job in project.desired.jobs)


def _reviewed(project: "Project", plan: Plan, ceiling: Decimal) -> Ceiling:
    """Return what a saved plan says at most."""
    return Ceiling(
        allowed=ceiling + rounding(project, plan),
        name=" of the saved plan",
        remedy="make a new plan and apply it",
        earlier=False,
    )


def _priced(jobs: Sequence[JobPlan], allowed: Decimal, what: str) -> None:
    unknown = sorted({j.model for j in jobs if j.requests and j.estimate.cost is None})
    if unknown:
        raise RefusedError(
            f"{what} has a budget of ${allowed}, but the price of {', '.join(unknown)} is unknown. "
            "State it under [providers.NAME.prices] in batchspec.toml."
        )


def _own_budget(plan: Plan, ceiling: Ceiling) -> None:
    """Refuse a job that may cost more than its own budget."""
    jobs = [j for j in plan.jobs if group_of(j.address) == ceiling.job and not j.removed]
    _priced(jobs, ceiling.allowed, f"Job {ceiling.job}")
    cost = sum((job.estimate.cost_of_all_turns or Decimal(0) for job in jobs), Decimal(0))
    _within(cost, ceiling.allowed, f"Job {ceiling.job}")


def _within(cost: Decimal, allowed: Decimal, what: str) -> None:
    if cost > allowed:
        raise RefusedError(
            f"{what} may cost {money(cost, at_most=True)} with every turn, more than the "
            f"${allowed:f} allowed. Nothing was sent. Lower max_tokens, max_turns or the number of "
            "rows, or raise the budget (max_cost, --max-cost)."
        )
