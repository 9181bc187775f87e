"""Comparing the variants of a job: what was asked, what it cost and what came of it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from batchspec.errors import UsageError
from batchspec.ids import JobAddress, member
from batchspec.project.recorded import answers_of, known_jobs
from batchspec.results.comparing import Compared, Comparison
from batchspec.results.read import Answers, Item
from batchspec.store.reader import StateReader

if TYPE_CHECKING:
    from batchspec.project.project import Project

By = Literal["variant", "sample"]
"""What is compared: variants with all of their samples, or each sample by itself."""


@dataclass(frozen=True, slots=True)
class Variants:
    """Everything that was compared, the baseline first."""

    address: str
    by: By
    compared: tuple[Compared, ...]


def compare(project: "Project", address: str, by: By) -> Variants:
    """Compare the variants of a job; see `Project.compare`."""
    jobs, key = known_jobs(project, address)
    if key is not None:
        raise UsageError(f"{address!r} is one item; a job is compared, such as {jobs[0]!r}.")
    names = {job: _name(job, by) for job in jobs}
    comparison = Comparison(names.values())
    with project.reader() as reader:
        models = reader.models()
        read = [answers_of(project, job, reader) for job in jobs]
        comparison.read((names[a.address], _items(reader, a)) for a in read)
        project.warnings += [answers.problem for answers in read if answers.problem]
        latencies = {job: reader.latencies(job) for job in jobs}
        spent = {job: reader.spent_on(job) for job in jobs}
    found: list[Compared] = []
    for name in dict.fromkeys(names.values()):
        own = [job for job in jobs if names[job] == name]
        counts: Counter[float] = Counter()
        for job in own:
            counts.update(latencies[job])
        took = [spent[job] for job in own]
        found.append(comparison.result(name, (models[job] for job in own), counts, took))
    return Variants(address, by, tuple(found))


def _name(job: JobAddress, by: By) -> str:
    of = member(job)
    name = of.group if of.variant is None else of.variant
    return name if by == "variant" else f"{name}#{of.sample}"


def _items(reader: StateReader, answers: Answers) -> Iterator[Item]:
    for stored in reader.items(answers.address, by_key=True):
        yield Item(stored, answers)
