"""What a plan says of what it leaves behind: renamed jobs, and batches to be cancelled."""

from collections.abc import Sequence
from dataclasses import replace

from batchspec.ids import JobAddress
from batchspec.plan.changes import Finding, JobPlan, Kind
from batchspec.project.planning import Planner
from batchspec.state.records import BatchRecord


def renamed(plans: Sequence[JobPlan], planner: Planner) -> list[JobPlan]:
    """Tell jobs that were renamed as one change, and not as one that comes and one that goes."""
    gone = {plan.address: plan for plan in plans if plan.removed}
    found: list[JobPlan] = []
    for plan in plans:
        moved = planner.moved.get(plan.address, {})
        old = max(moved, key=lambda job: moved[job], default=None)
        if old is not None and old in gone and 2 * moved[old] > gone[old].counts[Kind.FORGET]:
            left = max(0, gone[old].counts[Kind.FORGET] - moved[old])
            gone[old] = _forgetting(gone[old], left)
            found.append(_moved(plan, old))
        else:
            found.append(_not_moved(plan) if plan.address in planner.unknown else plan)
    kept = [gone.get(plan.address, plan) if plan.removed else plan for plan in found]
    return [plan for plan in kept if not plan.removed or plan.counts]


def _moved(plan: JobPlan, old: JobAddress) -> JobPlan:
    reasons = [
        replace(reason, note=f"from {old}") if reason.code == "MOVED" else reason
        for reason in plan.reasons
    ]
    return replace(plan, moved_from=old, reasons=tuple(reasons))


def _not_moved(plan: JobPlan) -> JobPlan:
    """Tell answers of nobody, or of a job that stays, as paid for before: nothing was renamed."""
    reasons = [
        replace(reason, code="SAME_REQUEST") if reason.code == "MOVED" else reason
        for reason in plan.reasons
    ]
    return replace(plan, reasons=tuple(reasons))


def _forgetting(plan: JobPlan, rows: int) -> JobPlan:
    if not rows:
        return replace(plan, counts={}, reasons=())
    reasons = tuple(replace(reason, rows=rows) for reason in plan.reasons)
    return replace(plan, counts={Kind.FORGET: rows}, reasons=reasons)


def unwanted(
    planner: Planner, batches: Sequence[BatchRecord], findings: Sequence[Finding]
) -> list[Finding]:
    """Return the batches under way that no row would want any more, which `apply` then cancels.

    Args:
        planner: Has planned every job.
        batches: The open ones.
        findings: What became of some of them at the provider.
    """
    drifted = {found.batch for found in findings if found.kind is Kind.DRIFT}
    return [
        Finding(
            kind=Kind.CANCEL,
            code="UNWANTED",
            batch=batch.id,
            remote_id=batch.remote_id,
            jobs=batch.jobs,
            requests=batch.members,
            rows=batch.members,
        )
        for batch in batches
        if _can_be_cancelled(batch)
        and batch.id not in drifted
        and not planner.draft.wanted(batch.id)
    ]


def _can_be_cancelled(batch: BatchRecord) -> bool:
    """Tell whether the provider may still work on a batch of ours."""
    under_way = batch.phase == "submitted" or (
        batch.phase == "intended" and batch.create_at is not None
    )
    return under_way and batch.members > 0 and batch.cancel_at is None and not batch.imported
