"""Comparing the variants of a job: what was asked, what it cost and what came of it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
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

_ITEMS = 1000
"""Items that are held at a time, unless that would be fewer than `_FEW` rows."""
_FEW = 20


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
        comparison.read(_rows(reader, read, names))
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


def _rows(
    reader: StateReader, read: Sequence[Answers], names: Mapping[JobAddress, str]
) -> Iterator[Sequence[tuple[str, Item]]]:
    """Yield rows with their items, about in the order in which they stand on disk."""
    keys = reader.keys([answers.address for answers in read])
    while chunk := list(islice(keys, max(_FEW, _ITEMS // len(read)))):
        rows: dict[str, list[tuple[str, Item]]] = {key: [] for key in chunk}
        for answers in read:
            for item in answers.items(reader.items(answers.address, keys=chunk)):
                rows[item.key].append((names[answers.address], item))
        yield from rows.values()
