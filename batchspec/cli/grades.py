"""The mean grade of a job, read off its answers."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchspec.ids import JobAddress, member
from batchspec.results.statistics import Estimate, Mean
from batchspec.state.records import JobProgress

if TYPE_CHECKING:
    from batchspec.project import Project


@dataclass(frozen=True, slots=True)
class MeanGrade:
    """The mean of some items' grades; an item without a grade does not count."""

    mean: float
    items: int
    estimate: Estimate | None = None
    """With its confidence interval."""

    def __str__(self) -> str:
        found = self.estimate
        if found is None or found.low is None or found.high is None:
            return f"{self.mean:.3g}"
        return f"{self.mean:.3g} [{found.low:.3g}, {found.high:.3g}]"


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
        estimate = mean.estimate()
        if estimate is not None:
            found[job.address] = MeanGrade(estimate.mean, estimate.rows, estimate)
    return found
