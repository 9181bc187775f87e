"""What a test hands over: jobs, what they need and their addresses, rows, and options."""

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeGuard

from batchspec.spec import rows
from batchspec.spec.job import Job
from batchspec.spec.rows import DerivedSource
from batchspec.spec.shapes import is_mapping, is_rows
from batchspec.spec.suggest import did_you_mean

Rows = Sequence[Mapping[str, Any]]


def with_upstream(jobs: Iterable[object]) -> list[Job]:
    """Return jobs and those whose answers their rows are made of, as far as they are no texts.

    Raises:
        TypeError: One is no job.
    """
    __tracebackhide__ = True
    found: list[Job] = []
    for job in jobs:
        if not isinstance(job, Job):
            raise TypeError(
                f"`run_job` takes a `Job`, not {job!r:.100}. Import it from its spec; the fixture "
                "`batch_project` knows jobs by their addresses."
            )
        if job not in found:
            found.append(job)
            if isinstance(job.grade, Job) and job.grade not in found:
                found.append(job.grade)
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


def by_job(job: Job, given: Any) -> dict[Job, Any]:
    """Return what was given for a single job, or for several, by job."""
    if given is None:
        return {}
    return dict(given) if _is_by_job(given) else {job: given}


def rows_by_job(job: Job, given: Any) -> dict[Job, Rows]:
    """Return the rows that were given for a single job, or for several, by job.

    Raises:
        TypeError: What was given for a job is no list of mappings.
    """
    __tracebackhide__ = True
    found: dict[Job, Rows] = {}
    for each, source in by_job(job, given).items():
        listed = list(source) if is_rows(source) else None
        if listed is None or not all(map(is_mapping, listed)):
            raise TypeError(
                "`rows` is a list of mappings, one for each row, or {job: such a list}, not "
                f"{source!r:.100}."
            )
        found[each] = listed
    return found


def _is_by_job(given: Any) -> TypeGuard[Mapping[Job, Any]]:
    return is_mapping(given) and bool(given) and all(isinstance(key, Job) for key in given)


def known_options(name: str, options: Iterable[str], *takers: Callable[..., Any]) -> None:
    """Refuse options that none of the functions they are handed on to takes.

    Raises:
        TypeError: There is one; it is told which was meant.
    """
    __tracebackhide__ = True
    known = {
        parameter.name
        for taker in takers
        for parameter in inspect.signature(taker).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    for option in options:
        if option not in known:
            raise TypeError(f"`{name}` has no argument {option!r}. {did_you_mean(option, known)}")
