"""When a watcher plans again by itself: rows to be read again, and answers that grow too old."""

from collections.abc import Iterable

from batchspec.desired.graph import DesiredJob
from batchspec.ids import JobAddress, group_of
from batchspec.plan.changes import Plan
from batchspec.project import ApplyResult, Project
from batchspec.reconcile.retry import spread
from batchspec.spec.durations import seconds_of
from batchspec.store.ages import next_expiry

_EARLIER = 0.9
"""Of a duration; with a fifth of that added at most, it is kept to a tenth more or less."""
_TOLD = 5
"""Sentences at most."""
_SURELY = 1.0
"""Seconds after an answer has grown too old; others that came in with it have by then as well."""


def lifetimes(jobs: Iterable[DesiredJob]) -> dict[JobAddress, float]:
    """Return how many seconds old answers of a job may be, for jobs that say so."""
    ages = ((job.address, job.job.expires_after) for job in jobs)
    return {address: seconds_of(age) for address, age in ages if age is not None}


def read_again(jobs: Iterable[DesiredJob], read_at: float, name: str = "") -> float | None:
    """Return when rows that were read at a moment are to be read again; None: not by the clock.

    Args:
        jobs: All that are planned, which is done together.
        read_at: When they were read last, in unix seconds.
        name: Spreads the moments of different projects, up to a tenth of the time.
    """
    every = [job.job.refresh_every for job in jobs]
    shortest = min((seconds_of(one) for one in every if one is not None), default=None)
    return None if shortest is None else read_at + spread(_EARLIER * shortest, name)


def told(jobs: Iterable[DesiredJob]) -> str:
    """Return what is done by the clock, for people; empty: nothing."""
    found: dict[str, None] = {}
    for job in jobs:
        name = group_of(job.address)
        if job.job.refresh_every is not None:
            found[f"rows of {name} are read again every {job.job.refresh_every}"] = None
        if job.job.expires_after is not None:
            found[f"answers of {name} grow too old after {job.job.expires_after}"] = None
    more = f"; and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
    return "; ".join([*found][:_TOLD]) + more


def planned(jobs: Iterable[DesiredJob]) -> tuple[str, str]:
    """Return reason and message of the condition that a plan could be made."""
    clocked, well = told(jobs), "Specs and rows are as they should be."
    return ("Scheduled", f"{well} By the clock: {clocked}.") if clocked else ("Planned", well)


def hides_expired(project: Project, plan: Plan | None, result: ApplyResult) -> bool:
    """Tell whether another plan shows answers too old that the last one could not.

    Of a job whose rows were not known nobody agreed to ask again what is too old: that is seen once
    what was under way above it is in.

    Args:
        project: With specs that are pinned.
        plan: What was planned; None: nothing could be.
        result: What came of what goes on of it.
    """
    unknown = [job.address for job in plan.jobs if job.waits_for] if plan is not None else []
    known = (project.desired.find(one) for one in unknown if one not in result.waiting)
    return any(job is not None and job.job.expires_after is not None for job in known)


def plan_again(project: Project, read_at: float, *, coming: bool = False) -> float | None:
    """Return when to plan again though nothing happened; blocking.

    Args:
        project: With specs that are pinned.
        read_at: When its rows were read last, in unix seconds.
        coming: Whether answers come in from now on, of which it is not known when.
    """
    jobs, now = project.desired.jobs, project.clock.now()
    ages = lifetimes(jobs)
    moments = [read_again(jobs, read_at, f"{project.directory} {read_at}")]
    if ages:
        with project.reader() as reader:
            expiry = next_expiry(reader.db, ages, now)
        moments.append(None if expiry is None else expiry + _SURELY)
        moments += [now + min(ages.values()) + _SURELY] if coming else []
    return min((moment for moment in moments if moment is not None), default=None)
