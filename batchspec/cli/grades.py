"""The mean grade of a job, read off its answers."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchspec.ids import JobAddress
from batchspec.state.records import JobProgress

if TYPE_CHECKING:
    from batchspec.project import Project


@dataclass(frozen=True, slots=True)
class MeanGrade:
    """The mean of some items' grades; an item without a grade does not count."""

    mean: float
    items: int


def mean_grades(project: "Project", jobs: Iterable[JobProgress]) -> dict[JobAddress, MeanGrade]:
    """Return the mean grade of each job that grades; reads every answer of those jobs."""
    grading = {job.address for job in project.desired.jobs if job.job.grade is not None}
    found: dict[JobAddress, MeanGrade] = {}
    for job in jobs:
        if job.address not in grading:
            continue
        total, items = 0.0, 0
        for item in project.results(job.address):
            if item.grade is not None:
                total, items = total + item.grade, items + 1
        if items:
            found[job.address] = MeanGrade(total / items, items)
    return found
