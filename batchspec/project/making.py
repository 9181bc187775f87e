"""The plan for a whole project: every chosen job, what is gone, and the guards."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from batchspec.desired.graph import Desired
from batchspec.errors import RefusedError
from batchspec.ids import JobAddress, group_of
from batchspec.load.determinism import check_determinism
from batchspec.plan.changes import JobPlan, Kind, Plan, Reason
from batchspec.plan.drift import shares, with_drift
from batchspec.project import wiring
from batchspec.project.leaving import renamed, unwanted
from batchspec.project.lone import canary_notes, lone_notes
from batchspec.project.looking import Looked
from batchspec.project.planning import Planner
from batchspec.state.records import BatchRecord
from batchspec.store.reader import StateReader

_COSTLY = {Kind.RESUBMIT, Kind.FORGET}
"""What a protected job is protected from."""

if TYPE_CHECKING:
    from batchspec.project.opened import OpenedProject


def make_plan(
    project: "OpenedProject", planner: Planner, reader: StateReader, looked: Looked
) -> Plan:
    """Plan every job that is chosen, and what is gone.

    Raises:
        SpecError: Something is wrong with rows; every problem is told.
        RefusedError: A guard refuses the change.
    """
    desired = planner.desired
    planner.drift = shares(looked.findings, looked.sizes)
    limits = planner.constraint
    jobs = _jobs(planner, reader)
    planner.problems += check_determinism(desired, project.root)
    planner.raise_problems()
    # Jobs that are gone are forgotten by plans for everything only.
    chosen = planner.selection.targets or planner.selection.excludes
    left = (chosen and limits is None) or not planner.bounds.prune
    removed = [] if left else _removed(planner, reader)
    open_batches = reader.batches(open_only=True)
    plans = [
        with_drift(_with_unknown(plan, open_batches), planner.drift.rows) for plan in jobs.values()
    ]
    plans = plans if project.simulated else wiring.placed(plans, project.settings)
    if removed:
        planner.find_moved(plans)
    plans = renamed([*plans, *removed], planner)
    check_protected(desired, plans, planner.protected)
    findings = [*looked.findings, *unwanted(planner, open_batches, looked.findings)]
    return Plan(
        id=planner.plan_id,
        environment=project.environment,
        lineage=reader.lineage,
        serial=reader.serial(),
        jobs=tuple(plans),
        batches=planner.batches(plans),
        simulated=project.simulated,
        spent=reader.spent(),
        warnings=(
            *map(str, desired.warnings),
            *looked.warnings,
            *(limits.told() if limits else ()),
        ),
        notes=_notes(project, planner, reader),
        findings=tuple(findings),
        missing=tuple(one for one in reader.missing() if one.job in desired.addresses),
        chores=reader.chores(),
    )


def _with_unknown(plan: JobPlan, open_batches: Sequence[BatchRecord]) -> JobPlan:
    """Add what is not known: batches whose creation got no answer."""
    unknown = [
        b for b in open_batches if b.create_at and not b.remote_id and plan.address in b.jobs
    ]
    if not unknown:
        return plan
    rows = sum(batch.jobs[plan.address] for batch in unknown)
    reason = Reason(kind=Kind.UNKNOWN, code="OUTCOME_UNKNOWN", rows=rows, note=unknown[0].note)
    return replace(plan, reasons=(*plan.reasons, reason))


def _notes(project: "OpenedProject", planner: Planner, reader: StateReader) -> tuple[str, ...]:
    proven = {f"{one.lane.provider}:{one.lane.model}" for one in reader.lanes() if one.proven}
    return (
        *lone_notes(planner.lanes, project.providers),
        *canary_notes(planner.lanes, project.providers, proven),
        *planner.standing.sentences(),
    )


def _jobs(planner: Planner, reader: StateReader) -> dict[JobAddress, JobPlan]:
    """Plan the jobs that are chosen; those whose rows are not known yet wait."""
    desired = planner.desired
    selected = planner.selection.jobs({job.address: job.depends_on for job in desired.jobs})
    limits = planner.constraint
    if limits is not None:
        selected &= limits.jobs
    unfinished = reader.unfinished()
    jobs: dict[JobAddress, JobPlan] = {}
    for job in desired.jobs:
        if job.address not in selected:
            continue
        upstream = [jobs[up] for up in job.depends_on if up in jobs]
        if any(up.moves for up in upstream) or any(u in unfinished for u in job.depends_on):
            jobs[job.address] = planner.plan_waiting(job, upstream)
        else:
            jobs[job.address] = planner.plan_job(job)
    return jobs


def _removed(planner: Planner, reader: StateReader) -> list[JobPlan]:
    there = {*planner.desired.addresses, *planner.desired.disabled, *reader.removed_jobs()}
    found = [
        planner.plan_removed(address, model)
        for address, model in reader.models().items()
        if address not in there
        and group_of(address) not in planner.desired.disabled
        and (planner.constraint is None or address in planner.constraint.removed)
    ]
    return [plan for plan in found if plan is not None]


def check_protected(
    desired: Desired, plans: Sequence[JobPlan], recorded: Mapping[JobAddress, bool]
) -> None:
    """Refuse to resubmit or forget items of a protected job.

    The spec says which jobs are; of a job that is gone, what was agreed to last (`recorded`).

    Raises:
        RefusedError: A plan would.
    """
    for plan in plans:
        old = plan.moved_from
        if old is not None and recorded.get(old) and not desired[plan.address].job.protect:
            raise RefusedError(_gone_though_protected(old, plan.counts[Kind.REUSE]))
        costly = plan.counts.get(Kind.RESUBMIT, 0) + plan.counts.get(Kind.FORGET, 0)
        if plan.removed:
            if costly and recorded.get(plan.address):
                raise RefusedError(_gone_though_protected(plan.address, costly))
        elif costly and desired[plan.address].job.protect:
            raise RefusedError(_protected(plan, costly))


def _protected(plan: JobPlan, items: int) -> str:
    """Say what would happen to a protected job, and show the first row of each reason."""
    shown = [_shown(reason) for reason in plan.reasons if reason.kind in _COSTLY]
    tainted = any(reason.code == "TAINTED" for reason in plan.reasons)
    untaint = f", take the marks away (`batchspec untaint {plan.address}`)" if tainted else ""
    return (
        f"Job {plan.address} is protected, and {items} of its items would be resubmitted or "
        f"forgotten: {'; '.join(shown)}. Undo the change{untaint}, or set protect=False first."
    )


def _shown(reason: Reason) -> str:
    row = "" if reason.example_key is None else f", e.g. row {reason.example_key!r}"
    text = f"{reason.rows} {reason.kind.meaning} ({reason.code}{row})"
    if reason.difference is None:
        return text
    difference = reason.difference
    return f"{text}, {difference.path} {difference.before} -> {difference.after}"


def _gone_though_protected(job: JobAddress, items: int) -> str:
    return (
        f"Job {job} is protected and gone from the specs: its {items} items would be forgotten. "
        "Nothing was changed. Put it back; to let it go, set protect=False, run `batchspec apply`, "
        "and remove it then."
    )
