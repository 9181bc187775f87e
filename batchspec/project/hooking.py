"""The hooks of jobs, with what they read."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from batchspec.apply.world import LocalHooks
from batchspec.desired.graph import DesiredJob
from batchspec.ids import JobAddress, RowKey
from batchspec.project.recorded import answers_of
from batchspec.results.export import json_line
from batchspec.results.read import Item
from batchspec.spec.hooks import HookKind, targets

if TYPE_CHECKING:
    from batchspec.project.project import Project


def hooked_jobs(project: "Project", jobs: Iterable[DesiredJob]) -> dict[JobAddress, LocalHooks]:
    """Return the hooks of the jobs that have some."""
    folder = project.root.resolve()
    return {
        job.address: LocalHooks(
            targets=given,
            read=partial(_read, project, job.address),
            document=json_line,
            folder=folder,
        )
        for job in jobs
        if (given := targets(job.job))
    }


def kinds_of(jobs: Iterable[DesiredJob]) -> dict[JobAddress, Sequence[HookKind]]:
    """Return the kinds of hooks of every job, also of those without any."""
    return {job.address: tuple(targets(job.job)) for job in jobs}


def _read(project: "Project", job: JobAddress, keys: Sequence[RowKey]) -> Mapping[RowKey, Item]:
    with project.reader() as reader:
        answers = answers_of(project, job, reader)
        return {RowKey(one.key): one for one in answers.items(reader.items(job, keys=keys))}
