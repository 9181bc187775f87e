"""Jobs a test has at hand: what they need, their addresses, and rows of the test's own."""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from batchspec.errors import UsageError
from batchspec.spec import rows
from batchspec.spec.job import Job
from batchspec.spec.rows import DerivedSource

Rows = Sequence[Mapping[str, Any]]


def with_upstream(jobs: Iterable[object]) -> list[Job]:
    """Return jobs and those whose answers their rows are made of, as far as they are no texts.

    Raises:
        UsageError: One is no job.
    """
    found: list[Job] = []
    for job in jobs:
        if not isinstance(job, Job):
            raise UsageError(
                f"`run_job` takes a `Job`, not {job!r:.100}. Import it from its spec; the fixture "
                "`batch_project` knows jobs by their addresses."
            )
        if job not in found:
            found.append(job)
            if isinstance(job.rows, DerivedSource) and isinstance(job.rows.job, Job):
                found += [up for up in with_upstream([job.rows.job]) if up not in found]
    return found


def addressed(jobs: Iterable[Job]) -> dict[str, Job]:
    """Return jobs by address: `module.variable` where one holds it, else `file.job`."""
    found: dict[str, Job] = {}
    for job in jobs:
        address = next(_held(job), f"{_stem(job.source.file)}.job")
        again = (f"{address}_{n}" for n in range(2, 1_000_000))
        found[address if address not in found else next(a for a in again if a not in found)] = job
    return found


def _held(job: Job) -> Iterator[str]:
    for module in list(sys.modules.values()):
        if getattr(module, "__file__", None) == job.module_file:
            for name, value in vars(module).items():
                if value is job:
                    yield f"{_stem(job.module_file)}.{name}"


def _stem(file: str) -> str:
    return re.sub(r"\W", "_", Path(file).stem) or "test"


def with_rows(jobs: Mapping[str, Job], given: Mapping[Job, Rows]) -> dict[str, Job]:
    """Return the jobs with rows of a test; those made of their answers follow."""
    changed: dict[Job, Job] = {}

    def change(job: Job) -> Job:
        if job not in changed:
            changed[job] = _changed(job)
        return changed[job]

    def _changed(job: Job) -> Job:
        if job in given:
            key = getattr(job.rows, "key", None)
            return replace(job, rows=rows.inline(list(given[job]), key=key))
        source = job.rows
        if isinstance(source, DerivedSource) and isinstance(source.job, Job):
            upstream = change(source.job)
            if upstream is not source.job:
                return replace(job, rows=replace(source, job=upstream))
        return job

    return {address: change(job) for address, job in jobs.items()}
