"""The JSON documents of `plan` and `status`, format version 1.

Names of kinds are lower-case words, money is in US dollars (null: the price is not known), times
are unix seconds. Fields may be added; none changes its meaning.
"""

from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from batchspec.cli.views.drift import finding_document
from batchspec.cli.views.missing import missing_document
from batchspec.cli.views.words import number
from batchspec.messages import Usage
from batchspec.plan.changes import Estimate, JobPlan, Kind, Plan, Reason
from batchspec.state.records import BatchRecord, JobProgress, LeaseRecord


def plan_document(plan: Plan) -> dict[str, Any]:
    """Return a plan: what would happen to each job, and the totals."""
    return {
        "plan_id": plan.id,
        "environment": plan.environment,
        "simulated": plan.simulated,
        "lineage": plan.lineage,
        "serial": plan.serial,
        "changes": plan.can_apply,
        "jobs": [job_plan(job) for job in plan.jobs],
        "counts": _counts(plan.counts),
        "requests": plan.requests,
        "batches": plan.batches,
        "priced": plan.priced,
        "cost_usd": _known(plan, plan.cost),
        "cost_at_most_usd": _known(plan, plan.cost_at_most),
        "spent_usd": number(plan.spent),
        "drift": _findings(plan, Kind.DRIFT),
        "cancel": _findings(plan, Kind.CANCEL),
        "unknown": _findings(plan, Kind.UNKNOWN),
        "missing": [missing_document(one) for one in plan.missing],
        "warnings": list(plan.warnings),
        "notes": list(plan.notes),
    }


def _findings(plan: Plan, kind: Kind) -> list[dict[str, Any]]:
    return [finding_document(found) for found in plan.findings if found.kind is kind]


def _known(plan: Plan, cost: Decimal) -> float | None:
    return float(cost) if plan.priced else None


def job_plan(job: JobPlan) -> dict[str, Any]:
    """Return what would happen to one job."""
    return {
        "address": job.address,
        "model": job.model,
        "changes": job.changes,
        "rows": job.rows,
        "removed": job.removed,
        "superseded": job.superseded,
        "moved_from": job.moved_from,
        "protects": job.protects,
        "runs_at": job.runs_at,
        "waits_for": list(job.waits_for),
        "forgets_at_most": job.forgets_at_most,
        "counts": _counts(job.counts),
        "reasons": [_reason(reason) for reason in job.reasons],
        "requests": job.requests,
        "max_turns": job.max_turns,
        "estimate": _estimate(job.estimate),
    }


def _counts(counts: Mapping[Kind, int]) -> dict[str, int]:
    return {kind.name.lower(): counts[kind] for kind in Kind if counts.get(kind)}


def _reason(reason: Reason) -> dict[str, Any]:
    difference = reason.difference
    return {
        "kind": reason.kind.name.lower(),
        "code": reason.code,
        "rows": reason.rows,
        "example_key": reason.example_key,
        "difference": None
        if difference is None
        else {"path": difference.path, "before": difference.before, "after": difference.after},
        "note": reason.note,
        "cost_usd": number(reason.cost),
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {
        "input_tokens": estimate.input_tokens,
        "output_tokens": estimate.output_tokens,
        "output_assumed": estimate.output_assumed,
        "cost_usd": number(estimate.cost),
        "cost_at_most_usd": number(estimate.cost_at_most),
    }


def usage_document(usage: Usage) -> dict[str, int]:
    """Return tokens; input includes the cached ones, output the reasoning."""
    return {
        "input_tokens": usage.input_tokens,
        "cached_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }


def progress_document(job: JobProgress) -> dict[str, Any]:
    """Return how far one job is."""
    return {
        "address": job.address,
        "model": job.model,
        "removed": job.removed,
        "items": job.items,
        "final": job.final,
        "failed": job.failed,
        "resumable": job.resumable,
        "phases": dict(job.phases),
        "outcomes": dict(job.outcomes),
        "turns": job.turns,
        "usage": usage_document(job.usage),
        "cost_usd": number(job.cost),
        "mean_grade": asdict(job.grade) if job.grade else None,
    }


def batch_document(batch: BatchRecord) -> dict[str, Any]:
    """Return one batch, with the provider's counts."""
    return {
        "id": batch.id,
        "remote_id": batch.remote_id,
        "phase": batch.phase,
        "status": batch.status,
        "requests": batch.members,
        "completed": batch.counts.completed,
        "failed": batch.counts.failed,
        "jobs": dict(batch.jobs),
        "intended_at": batch.intended_at,
        "submitted_at": batch.submitted_at,
        "ended_at": batch.ended_at,
        "next_at": batch.next_at,
        "failures": batch.failures,
        "note": batch.note,
    }


def lease_document(lease: LeaseRecord) -> dict[str, Any]:
    """Return who may write."""
    return {
        "holder": lease.holder,
        "host": lease.host,
        "pid": lease.pid,
        "operation": lease.operation,
        "since": lease.since,
        "heartbeat": lease.heartbeat,
        "watcher": lease.watcher,
        "watching_since": lease.watching_since,
    }
