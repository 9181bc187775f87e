"""Saving a plan for review, and making it again, later, within what was reviewed."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from batchspec.errors import StalePlanError
from batchspec.ids import JobAddress
from batchspec.installed import installed_version
from batchspec.messages import Usage
from batchspec.plan.changes import JobPlan, Plan
from batchspec.plan.estimate import Load
from batchspec.plan.planfile import AgreedJob, Entry, Header, Price, showable
from batchspec.ports import Prices
from batchspec.project.constraint import Constraint, contract_digest, refuse_dearer
from batchspec.project.jobs import max_tokens, most_turns
from batchspec.project.planfiles import SavedPlan, read_plan, write_plan
from batchspec.project.planning import Planner
from batchspec.store.reader import StateReader

if TYPE_CHECKING:
    from batchspec.project.opened import OpenedProject

_SAMPLE = 1000
"""Tokens of the request whose price is noted; longer ones may be dearer each."""


def save_plan(planner: Planner, plan: Plan, path: Path, prices: Prices) -> SavedPlan:
    """Write a plan to a file; see `Project.save_plan`."""
    header = Header(
        batchspec_plan=1,
        batchspec=installed_version(),
        created=planner.now,
        plan=showable(plan),
        targets=tuple(planner.selection.targets),
        excludes=tuple(planner.selection.excludes),
        allow_empty=planner.bounds.allow_empty,
        jobs=(
            *(_agreed(job, planner) for job in plan.jobs),
            *(AgreedJob(address=job, removed=True) for job in _renamed(plan)),
        ),
        prices=_prices((job.model for job in plan.jobs if job.requests), prices),
        assumed=planner.bounds.lengths.assumed,
        longest=planner.bounds.lengths.longest,
        ceiling=plan.cost_at_most if plan.priced else None,
    )
    write_plan(path, header, _entries(plan, planner))
    return read_plan(path)


def _agreed(job: JobPlan, planner: Planner) -> AgreedJob:
    if job.removed:
        return AgreedJob(address=job.address, removed=True)
    desired = planner.desired[job.address]
    load, *further = planner.loads[job.address]
    return AgreedJob(
        address=job.address,
        waits=bool(job.waits_for),
        contract=contract_digest(desired),
        policy=desired.policy.hex(),
        protect=desired.job.protect,
        requests=load.requests,
        bytes=load.bytes,
        most=load.most,
        further=tuple((f.turns, f.requests, f.bytes, f.most or f.bytes) for f in further),
        at_most=job.estimate.cost_at_most,
    )


def _entries(plan: Plan, planner: Planner) -> Iterator[Entry]:
    for job in plan.jobs:
        if not job.waits_for:
            yield from planner.draft.entries(job.address)
    for old in _renamed(plan):
        yield from planner.draft.entries(old)


def _renamed(plan: Plan) -> list[JobAddress]:
    """Return jobs that are gone and are told as what they are called now."""
    told = {job.address for job in plan.jobs}
    moved = dict.fromkeys(job.moved_from for job in plan.jobs if job.moved_from is not None)
    return [old for old in moved if old not in told]


def _prices(models: Iterator[str], prices: Prices) -> dict[str, Price | None]:
    found: dict[str, Price | None] = {}
    for model in models:
        provider, _, name = model.partition(":")
        read = prices.cost(provider, name, Usage(input_tokens=_SAMPLE))
        written = prices.cost(provider, name, Usage(output_tokens=_SAMPLE))
        found[model] = (
            None
            if read is None or written is None
            else Price(input=read * _SAMPLE, output=written * _SAMPLE)
        )
    return found


def refuse_elsewhere(project: "OpenedProject", saved: SavedPlan) -> None:
    """Refuse a saved plan for another environment, or where there is no state; makes nothing.

    Raises:
        StalePlanError: It is.
    """
    plan = saved.plan
    if (plan.environment, plan.simulated) != (project.environment, project.simulated):
        flags = "with `--simulate`" if plan.simulated else f"with `--env {plan.environment}`"
        if project.simulated:
            flags += " and without `--simulate`"
        raise StalePlanError(
            f"This plan was made for environment {plan.environment!r}, and this is "
            f"{project.environment!r}: apply it {flags}."
        )
    if not project.directory.exists():
        raise StalePlanError(
            f"This plan was made for another state: there is none in {project.directory}. Nothing "
            "was sent."
        )


def refuse_unfit(
    project: "OpenedProject", saved: SavedPlan, reader: StateReader, *, later: bool = False
) -> None:
    """Refuse a saved plan that is for another state, or, unless `later`, for another moment of it.

    Raises:
        StalePlanError: It is.
    """
    header, plan = saved.header, saved.plan
    if plan.lineage != reader.lineage:
        raise StalePlanError(
            f"This plan was made for another state than that in {project.directory}: its lineage "
            f"is {plan.lineage!r}, here it is {reader.lineage!r}. Nothing was sent."
        )
    if reader.agreed_to(plan.id):
        raise StalePlanError(
            "This plan was applied before, and a plan can be applied once. What it agreed to and "
            "is not done yet goes on with a plain `batchspec apply`."
        )
    if header.batchspec != installed_version():
        raise StalePlanError(
            f"This plan was made by batchspec {header.batchspec}, and this is "
            f"{installed_version()}: what it would send may have another form. Make a new plan."
        )
    if reader.serial() != plan.serial and not later:
        raise StalePlanError(
            "The state changed since this plan was made: an apply, or another command that writes, "
            "ran meanwhile. Nothing was sent; make a new plan."
        )


def constraint(project: "OpenedProject", planner: Planner, saved: SavedPlan) -> Constraint:
    """Hold a saved plan against the specs and prices as they are now.

    Raises:
        RefusedError: Its rows are dearer now than it says.
    """
    desired, header = planner.desired, saved.header
    selected = planner.selection.jobs({job.address: job.depends_on for job in desired.jobs})
    found = Constraint(header, desired, selected)
    costs: dict[JobAddress, Decimal | None] = {}
    for agreed in header.jobs:
        if agreed.address in found.jobs:
            job = desired[agreed.address]
            load = Load(
                requests=agreed.requests,
                bytes=agreed.bytes,
                most=agreed.most,
                max_tokens=max_tokens(job),
                turns=most_turns(job),
            )
            further = [
                replace(load, turns=turns, requests=requests, bytes=size, most=most)
                for turns, requests, size, most in agreed.further
            ]
            costs[agreed.address] = planner.estimates(job, [load, *further]).cost_at_most
    refuse_dearer(header, costs, _prices(iter(header.prices), project.prices))
    return found
