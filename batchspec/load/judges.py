"""Jobs that grade other jobs: whose answers become their rows, and what can be wrong with that."""

import copy
from collections.abc import Iterator, Mapping

from batchspec.errors import Diagnostic
from batchspec.ids import JobAddress
from batchspec.spec.job import Job
from batchspec.spec.rows import JUDGED, OutputsOf
from batchspec.spec.scores import score_problem

Judges = Mapping[JobAddress, JobAddress]
"""From a graded job to its judge."""


def judges_of(jobs: Mapping[JobAddress, Job]) -> Judges:
    """Return which of the jobs are graded by another one, and by which."""
    known = {job: address for address, job in jobs.items()}
    graded = {a: job.grade for a, job in jobs.items() if isinstance(job.grade, Job)}
    return {address: known[judge] for address, judge in graded.items() if judge in known}


def with_rows(jobs: Mapping[JobAddress, Job]) -> dict[JobAddress, Job]:
    """Return the jobs with rows for judges: a row per answer of the job they grade."""
    found = dict(jobs)
    for graded, judge in judges_of(jobs).items():
        if jobs[judge].valid and jobs[judge].rows is JUDGED:
            found[judge] = copy.copy(jobs[judge])
            found[judge].change({"rows": OutputsOf(job=graded, source=jobs[judge].source)})
    return found


def problems(jobs: Mapping[JobAddress, Job]) -> Iterator[Diagnostic]:
    """Yield what is wrong with judges, and with jobs without rows that are none."""
    judges = judges_of(jobs)
    for address, job in jobs.items():
        if not job.valid:
            continue
        if isinstance(job.grade, Job) and job.grade.valid and address not in judges:
            detail = "The job in `grade` is not held by a module-level variable of a spec."
            yield _problem(address, job, "judge is not a resource", detail)
        graded = [a for a, judge in judges.items() if judge == address]
        if job.rows is JUDGED and not graded:
            detail = "Job needs `rows`; only a job that another one names as its `grade` has none."
            yield _problem(address, job, "job has no rows", detail)
        for detail in _unfit(job, graded) if graded else ():
            yield _problem(address, job, "job cannot be a judge", detail)


def _unfit(job: Job, graded: list[JobAddress]) -> Iterator[str]:
    named = " and ".join(graded)
    if job.rows is not JUDGED:
        yield f"Its rows are the answers of {named}, which names it as `grade`: leave out `rows`."
    if len(graded) > 1:
        yield f"It is the `grade` of {named}; a judge is for one job. Make a Job for each of them."
    if job.variants:
        yield "A judge gives one score to an answer: compare judges as jobs of their own."
    problem = score_problem(job.output)
    if problem is not None:
        yield problem


def _problem(address: JobAddress, job: Job, summary: str, detail: str) -> Diagnostic:
    return Diagnostic(summary=summary, detail=detail, source=job.source, address=address)
