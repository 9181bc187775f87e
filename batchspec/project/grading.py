"""The mean grades of jobs, read off their answers."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from batchspec.ids import JobAddress, member
from batchspec.project.values import ApplyResult
from batchspec.results.statistics import Mean
from batchspec.state.records import JobProgress, MeanGrade
from batchspec.store.sqlite import StateStore

if TYPE_CHECKING:
    from batchspec.project.project import Project


def graded(project: "Project", store: StateStore, result: ApplyResult) -> ApplyResult:
    """Return what an apply left behind with mean grades, which are kept for whoever asks later.

    There are none before every item is final.
    """
    if not result.done or result.interrupted:
        return result
    found = mean_grades(project, result.jobs)
    if found or any(job.grade for job in result.jobs):
        store.keep_grades(found)
    jobs = tuple(replace(job, grade=found.get(job.address)) for job in result.jobs)
    return replace(result, jobs=jobs)


def mean_grades(project: "Project", jobs: Iterable[JobProgress]) -> dict[JobAddress, MeanGrade]:
    """Return the mean grade of each job that grades; reads every answer of those jobs."""
    grading = {job.address for job in project.desired.jobs if job.job.grade is not None}
    found: dict[JobAddress, MeanGrade] = {}
    for job in jobs:
        if job.address not in grading:
            continue
        mean = Mean()
        for item in project.results(job.address):
            # A variant's name also means its further samples.
            grade = item.grade if item.sample == member(job.address).sample else None
            if grade is not None:
                mean.add(grade)
        of = mean.estimate()
        if of is not None:
            found[job.address] = MeanGrade(of.mean, of.rows, of.low, of.high)
    return found
