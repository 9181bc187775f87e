"""Items and their turns, as the state and the specs have them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from batchspec.desired.graph import DesiredJob
from batchspec.errors import SpecError, UsageError
from batchspec.ids import JobAddress, RowKey, parse_address
from batchspec.results.read import Answers, Item
from batchspec.results.turns import Turn, turns

if TYPE_CHECKING:
    from batchspec.project.project import Project


def read_items(project: "Project", address: str, *, failed: bool) -> Iterator[Item]:
    """Return the items of a job, or the one item of an address; see `Project.results`."""
    job, key = _known(project, address)
    answers = Answers(job, project.wires, _job_if_loadable(project, job))
    return _items(project, answers, key, failed=failed)


def read_turns(project: "Project", address: str) -> tuple[Turn, ...]:
    """Return the turns of one item; see `Project.turns`."""
    job, key = _known(project, address)
    if key is None:
        raise UsageError(f'{address!r} is a job. The address of one item is {address}["key"].')
    with project.reader() as reader:
        found = turns(reader, project.wires, job, key)
    if not found:
        raise _missing(job, key)
    return found


def _known(project: "Project", address: str) -> tuple[JobAddress, RowKey | None]:
    job, key = parse_address(address)
    with project.reader() as reader:
        known = reader.jobs()
    if job not in known:
        raise UsageError(
            f"There are no items of a job {job!r} on record. "
            f"Jobs are: {', '.join(known) or 'none yet'}."
        )
    return job, key


def _items(
    project: "Project", answers: Answers, key: RowKey | None, *, failed: bool
) -> Iterator[Item]:
    with project.reader() as reader:
        found = False
        for stored in reader.items(answers.address, failed=failed, key=key):
            found = True
            yield Item(stored, answers)
    if answers.problem:
        project.warnings.append(answers.problem)
    if key is not None and not (found or failed):
        raise _missing(answers.address, key)


def _missing(job: JobAddress, key: RowKey) -> UsageError:
    return UsageError(f"Job {job} has no item with the key {key!r} on record.")


def _job_if_loadable(project: "Project", address: JobAddress) -> DesiredJob | None:
    try:
        return project.desired[address]
    except (SpecError, KeyError):
        return None
