"""Jobs with several variants or samples, which share what is read and what can be wrong with it."""

from collections.abc import Iterable, Mapping

from batchspec.errors import Diagnostic
from batchspec.ids import JobAddress, group_of, member
from batchspec.spec.job import Job
from batchspec.spec.variants import members


def told_once(problems: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Return problems without those that another variant or sample of the job has as well."""
    found: dict[object, Diagnostic] = {}
    for problem in problems:
        group = None if problem.address is None else group_of(JobAddress(problem.address))
        found.setdefault((group, problem.source, problem.summary, problem.detail), problem)
    return list(found.values())


def job_at(jobs: Mapping[JobAddress, Job], address: JobAddress) -> Job:
    """Return a job as it is for one variant."""
    of = member(address)
    return next(job for one, job in members(of.group, jobs[of.group]) if one.variant == of.variant)
