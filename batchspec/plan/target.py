"""Which jobs and rows a plan is about: `--target`, `--exclude`, `--replace`, `--failed`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from batchspec.ids import JobAddress, RowKey, names, parse_address


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What people name with addresses of jobs or items; jobs may be globs.

    Attributes:
        targets: Only these are planned, with the jobs they are made of; empty: everything.
        excludes: These jobs are left out, with the jobs made of them.
        replace: These are to be answered anew though nothing changed.
        failed: Items that ended without an answer are to be sent again.
    """

    targets: Sequence[str] = ()
    excludes: Sequence[str] = ()
    replace: Sequence[str] = ()
    failed: bool = False

    def jobs(self, upstream: Mapping[JobAddress, Sequence[JobAddress]]) -> set[JobAddress]:
        """Return the jobs to plan; `upstream` has all that may be, dependencies first."""
        wanted = {job for job in upstream if not self.targets or _named(job, self.targets)}
        for job in reversed(list(upstream)):
            if job in wanted:
                wanted.update(upstream[job])
        left_out = {job for job in upstream if _named(job, self.excludes)}
        for job, needs in upstream.items():
            if left_out.intersection(needs):
                left_out.add(job)
        return wanted.intersection(upstream) - left_out

    def only_rows(self, job: JobAddress) -> frozenset[RowKey] | None:
        """Return the keys the plan is about where targets name items of a job; None: all."""
        return _keys(job, self.targets)

    def replaces(self, job: JobAddress) -> frozenset[RowKey] | bool:
        """Return the keys to answer anew; True: all, False: none."""
        keys = _keys(job, self.replace)
        return _named(job, self.replace) if keys is None else keys

    def unknown(self, jobs: Sequence[JobAddress]) -> list[str]:
        """Return what was named and matches no job."""
        named = (*self.targets, *self.excludes, *self.replace)
        return [text for text in named if not any(_named(job, [text]) for job in jobs)]


def _named(job: JobAddress, patterns: Sequence[str]) -> bool:
    return any(names(pattern, job) for pattern in patterns)


def _keys(job: JobAddress, patterns: Sequence[str]) -> frozenset[RowKey] | None:
    keys: set[RowKey] = set()
    for pattern in patterns:
        if names(pattern, job):
            _, key = parse_address(pattern)
            if key is None:
                return None
            keys.add(key)
    return frozenset(keys) or None
