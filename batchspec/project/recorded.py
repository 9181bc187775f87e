"""Items and their turns, as the state and the specs have them."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from batchspec.desired.graph import DesiredJob
from batchspec.errors import SpecError, UsageError
from batchspec.ids import JobAddress, RowKey, names, parse_address
from batchspec.ports import Reader
from batchspec.project.judging import judgements
from batchspec.results.read import Answers, Item
from batchspec.results.turns import Turn, turns

if TYPE_CHECKING:
    from batchspec.project.project import Project


def read_items(project: "Project", address: str, *, failed: bool) -> Iterator[Item]:
    """Return the items of a job, or the one item of an address; see `Project.results`."""
    jobs, key = known_jobs(project, address)
    return _items(project, jobs, key, address, failed=failed)


def answers_of(project: "Project", job: JobAddress, reader: Reader) -> Answers:
    """Return what reads the answers of a job and their scores."""
    desired = job_if_loadable(project, job)
    answers = Answers(job, project.wires, desired)
    if desired is not None and desired.judges:
        answers.judged = judgements(desired, project.desired, reader, project.wires)
    return answers


def read_turns(project: "Project", address: str) -> tuple[Turn, ...]:
    """Return the turns of one item; see `Project.turns`."""
    jobs, key = known_jobs(project, address)
    if key is None:
        raise UsageError(f'{address!r} is a job. The address of one item is {address}["key"].')
    with project.reader() as reader:
        for job in jobs:
            found = turns(reader, project.wires, job, key)
            if found:
                return found
    raise _missing(address, key)


def known_jobs(project: "Project", address: str) -> tuple[list[JobAddress], RowKey | None]:
    """Return the jobs an address means, variants in the order of the spec, and the key."""
    with project.reader() as reader:
        known, gone = reader.jobs(), reader.removed_jobs()
    job, key = parse_address(address)
    found = [j for j in known if names(address, j)]
    # Of several, those that are gone count only if nothing else is there.
    found = [j for j in found if j not in gone] or found
    if not found or any(character in job for character in "*?["):
        raise UsageError(
            f"There are no items of a job {job!r} on record. "
            f"Jobs are: {', '.join(known) or 'none yet'}."
        )
    order = {j: n for n, j in enumerate(_declared(project))}
    return sorted(found, key=lambda j: (order.get(j, len(order)), j)), key


def _items(
    project: "Project",
    jobs: Sequence[JobAddress],
    key: RowKey | None,
    address: str,
    *,
    failed: bool,
) -> Iterator[Item]:
    found = False
    with project.reader() as reader:
        read = [answers_of(project, job, reader) for job in jobs]
        for answers in read:
            keys = None if key is None else [key]
            for item in answers.items(reader.items(answers.address, failed=failed, keys=keys)):
                found = True
                yield item
    project.warnings += [answers.problem for answers in read if answers.problem]
    if key is not None and not (found or failed):
        raise _missing(address, key)


def _missing(address: str, key: RowKey) -> UsageError:
    job, _ = parse_address(address)
    return UsageError(f"Job {job} has no item with the key {key!r} on record.")


def _declared(project: "Project") -> Sequence[JobAddress]:
    """Return what the specs have, in their order, as far as they load."""
    try:
        return project.desired.written
    except SpecError:
        return ()


def job_if_loadable(project: "Project", address: JobAddress) -> DesiredJob | None:
    """Return a job of the specs, enabled or not; None: they do not load, or lack it."""
    try:
        return project.desired.find(address)
    except SpecError:
        return None
