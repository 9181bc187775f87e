"""Variants and samples of one job whose changes are alike, as one block of a plan."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from batchspec.cli.views.words import clean, counted, listed
from batchspec.ids import JobAddress, group_of, member
from batchspec.plan.changes import Estimate, JobPlan, Kind, Reason


@dataclass(frozen=True, slots=True)
class Block:
    """What stands in one block.

    Attributes:
        job: A job, or what happens to all members together.
        members: The jobs it stands for, in order; one, where nothing is folded.
        others: Jobs of the plan beside them which are variants or samples of the same job.
    """

    job: JobPlan
    members: Sequence[JobPlan]
    others: Sequence[JobPlan] = ()

    @property
    def folded(self) -> bool:
        """Tell whether it stands for several."""
        return len(self.members) > 1

    def title(self) -> str:
        """Return the job's name, with what it is about where that is not all of the job."""
        address = clean(self.job.address)
        if not self.folded:
            return address
        mine = [member(job.address) for job in self.members]
        beside = [member(job.address) for job in self.others]
        variants = {one.variant for one in mine}
        total = len(variants | {one.variant for one in beside})
        if 1 < len(variants) < total:
            return f"{address} ({len(variants)} of {total} variants)"
        if any(one.variant in variants for one in beside):
            return f"{address} ({_numbers(sorted({one.sample for one in mine}))})"
        return address

    def variants(self) -> Mapping[str, JobPlan]:
        """Return what happens to each variant, as `@name`, its samples together."""
        of: dict[JobAddress, list[JobPlan]] = {}
        for job in self.members:
            of.setdefault(member(job.address)._replace(sample=1).address, []).append(job)
        group = group_of(self.job.address)
        return {clean(one.removeprefix(group)): _together(jobs) for one, jobs in of.items()}

    def told(self) -> str:
        """Return which variants and samples it is about: `2 variants, samples 1 to 3`."""
        named = [member(job.address) for job in self.members]
        variants = {one.variant for one in named}
        samples = sorted({one.sample for one in named})
        words = [counted(len(variants), "variant")] if len(variants) > 1 else []
        if samples != [1]:
            words.append(_numbers(samples))
        return ", ".join(words)


def _numbers(samples: Sequence[int]) -> str:
    first, last = samples[0], samples[-1]
    if len(samples) == 1:
        return f"sample {first}"
    if len(samples) > 2 and last - first == len(samples) - 1:
        return f"samples {first} to {last}"
    return f"samples {listed([str(n) for n in samples])}"


def folded(
    jobs: Iterable[JobPlan], leading: Callable[[JobPlan], Kind], everyone: Sequence[JobPlan]
) -> list[Block]:
    """Return blocks, each where its first job stands.

    Args:
        jobs: Those to show.
        leading: Tells what a job is shown under.
        everyone: All jobs of the plan.
    """
    found: dict[object, list[JobPlan]] = {}
    for job in jobs:
        found.setdefault(_likeness(job, leading(job)), []).append(job)
    return [
        Block(_together(members), members, _others(members, everyone)) for members in found.values()
    ]


def _others(members: Sequence[JobPlan], everyone: Iterable[JobPlan]) -> list[JobPlan]:
    if len(members) == 1:
        return []
    group, mine = group_of(members[0].address), {job.address for job in members}
    return [job for job in everyone if group_of(job.address) == group and job.address not in mine]


def _likeness(job: JobPlan, kind: Kind) -> object:
    """Return what the changes of two jobs have in common that stand in one block."""
    waits = tuple(sorted({group_of(up) for up in job.waits_for}))
    reasons = tuple(
        (reason.kind, reason.code, reason.note, reason.difference and reason.difference.path)
        for reason in job.reasons
    )
    facts = job.removed, job.protects, job.runs_at, job.estimate.cost is None
    return group_of(job.address), kind, waits, reasons, _before(job), facts


def _before(job: JobPlan) -> JobAddress | None:
    """Return where a job was, without what is the same now: its variant and its sample."""
    if job.moved_from is None:
        return None
    old, new = member(job.moved_from), member(job.address)
    if old.sample != new.sample:
        return job.moved_from
    return old.group if old.variant == new.variant else old._replace(sample=1).address


def _together(jobs: Sequence[JobPlan]) -> JobPlan:
    """Return what happens to several jobs as one."""
    first = jobs[0]
    if len(jobs) == 1:
        return first
    named = [member(job.address) for job in jobs]
    alone = {one.variant for one in named} == {named[0].variant}
    models = dict.fromkeys(job.model for job in jobs)
    waits = dict.fromkeys(up for job in jobs for up in job.waits_for)
    return replace(
        first,
        address=named[0]._replace(sample=1).address if alone else named[0].group,
        model=first.model if len(models) == 1 else counted(len(models), "model"),
        rows=sum(job.rows for job in jobs),
        counts=_counts(jobs),
        reasons=tuple(_reason(same) for same in zip(*(job.reasons for job in jobs), strict=False)),
        requests=sum(job.requests for job in jobs),
        max_turns=max(job.max_turns for job in jobs),
        estimate=_sum([job.estimate for job in jobs]),
        waits_for=tuple(waits),
        forgets_at_most=sum(job.forgets_at_most for job in jobs),
        superseded=sum(job.superseded for job in jobs),
        moved_from=_before(first),
    )


def _counts(jobs: Iterable[JobPlan]) -> dict[Kind, int]:
    total: dict[Kind, int] = {}
    for job in jobs:
        for kind, n in job.counts.items():
            total[kind] = total.get(kind, 0) + n
    return total


def _reason(same: Sequence[Reason]) -> Reason:
    costs = [reason.cost for reason in same]
    known = [cost for cost in costs if cost is not None]
    cost = sum(known, Decimal(0)) if len(known) == len(costs) else None
    return replace(same[0], rows=sum(reason.rows for reason in same), cost=cost)


def _sum(parts: Sequence[Estimate]) -> Estimate:
    def total(costs: Iterable[Decimal | None]) -> Decimal | None:
        known = [cost for cost in costs if cost is not None]
        return sum(known, Decimal(0)) if known else None

    return Estimate(
        input_tokens=sum(part.input_tokens for part in parts),
        output_tokens=sum(part.output_tokens for part in parts),
        cost=total(part.cost for part in parts),
        cost_of_all_turns=total(part.cost_of_all_turns for part in parts),
        cost_at_most=total(part.cost_at_most for part in parts),
        output_assumed=any(part.output_assumed for part in parts),
    )
