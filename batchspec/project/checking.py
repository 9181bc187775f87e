"""What can be known without the state and without the network."""

from collections.abc import Iterator
from pathlib import Path

from batchspec.desired.expand import DesiredRow, Expander, in_chunks
from batchspec.desired.graph import Desired, DesiredJob
from batchspec.errors import Diagnostic, SpecError, UsageError
from batchspec.ids import RowKey, custom_id, item_address, member
from batchspec.load.build import limited
from batchspec.load.determinism import check_determinism
from batchspec.load.errors import shortened
from batchspec.load.members import told_once
from batchspec.load.rows import read_rows
from batchspec.ports import (
    Provider,
)
from batchspec.project.jobs import derived_rows
from batchspec.project.rowpass import doubled
from batchspec.project.values import JobCheck, Rendered, Validation
from batchspec.spec.rows import DerivedSource
from batchspec.store.keys import SeenKeys
from batchspec.store.reader import StateReader


def validate(desired: Desired, root: Path) -> Validation:
    """Check every row of every job; jobs made of answers are checked as far as they are known."""
    problems: list[Diagnostic] = list(desired.warnings)
    checks: list[JobCheck] = []
    for job in desired.jobs:
        if member(job.address).sample > 1:
            continue  # it has the rows of the first sample
        counter = _Counter()
        found = limited(counter.check(job, root), job)
        problems += [shortened(problem, root) for problem in found]
        checks.append(
            JobCheck(
                job.address,
                f"{job.contract.provider}:{job.contract.model}",
                counter.rows,
                job.source,
            )
        )
    problems += check_determinism(desired, root)
    return Validation(tuple(checks), tuple(told_once(problems)))


class _Counter:
    """Counts the rows of one job while they are checked."""

    def __init__(self) -> None:
        self.rows = 0

    def check(self, job: DesiredJob, root: Path) -> Iterator[Diagnostic]:
        if isinstance(job.rows, DerivedSource):
            return
        with SeenKeys() as keys:
            expanded = Expander(job).expand(read_rows(job.rows, root))
            for chunk in in_chunks(expanded):
                yield from (row for row in chunk if isinstance(row, Diagnostic))
                rows = [row for row in chunk if isinstance(row, DesiredRow)]
                self.rows += len(rows)
                yield from (doubled(job, found) for found in keys.add(rows))


def render_item(  # noqa: PLR0913, PLR0917 - what a request is made of
    job: DesiredJob,
    key: RowKey | None,
    root: Path,
    provider: Provider,
    desired: Desired,
    reader: StateReader | None,
) -> Rendered:
    """Return the exact first request of one item, or of a job's first row."""
    if not isinstance(job.rows, DerivedSource):
        rows = read_rows(job.rows, root)
    elif reader is None:
        raise UsageError(
            f"The rows of {job.address} are answers of {job.depends_on[0]}; there is no state yet."
        )
    else:
        rows = derived_rows(job, desired, reader, {provider.name: provider})
    expander = Expander(job)
    for row in rows:
        if isinstance(row, Diagnostic):
            raise SpecError([row])
        if key is not None and row.key != key:
            continue
        request = next(iter(expander.expand([row])))
        if isinstance(request, Diagnostic):
            raise SpecError([shortened(request, root)])
        return Rendered(
            item_address(job.address, row.key),
            {
                "custom_id": custom_id(request.fingerprint, 1),
                "method": "POST",
                "url": job.contract.endpoint,
                "body": provider.wire(job.contract.endpoint).body(
                    job.contract, expander.render_messages(row.data)
                ),
            },
            request.fingerprint.hex(),
        )
    what = "no rows" if key is None else f"no row with the key {key!r}"
    raise UsageError(f"Job {job.address} has {what}.")
