"""The desired state: jobs with what the model would be told, in the order they can run."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from batchspec.desired.attached import Attached
from batchspec.errors import Diagnostic, Source
from batchspec.ids import JobAddress
from batchspec.messages import Contract
from batchspec.spec.context import takes_context
from batchspec.spec.job import Job
from batchspec.spec.output import OutputMode
from batchspec.spec.rows import RowSource
from batchspec.spec.tool import Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredJob:
    """One job as it should be.

    Attributes:
        address: `module.variable`.
        job: What the user wrote.
        contract: All of a request but its messages.
        output: How an answer is read.
        tools: By the name the model sees.
        pure: Fingerprints of the code of its pure tools whose answers are kept, by the name the
            model sees.
        depends_on: Jobs whose answers this job's rows are made of; variants that are not enabled
            are among them, since what they answered stays.
        judges: Jobs that grade the answers of this one: a job, or its samples.
        policy: SHA-256 of what runs on this machine: tool bodies, validators, output type and
            their bounds. A change is an update in place.
        policy_payload: Canonical JSON `{"payload": …, "version": n}` that `policy` is the hash of,
            part by part, so that a plan can say what changed.
        source: Where it is written; the file is relative to the project's folder.
        root: The project's folder with a trailing separator, to shorten paths in diagnostics.
        attached: Where the images and documents are that its prompts were found to point at.
    """

    address: JobAddress
    job: Job
    contract: Contract
    output: OutputMode
    tools: Mapping[str, Tool[..., Any]] = field(default_factory=dict[str, Tool[..., Any]])
    pure: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    depends_on: tuple[JobAddress, ...] = ()
    judges: tuple[JobAddress, ...] = ()
    policy: bytes = b""
    policy_payload: bytes = b""
    source: Source = field(default=Source("<unknown>"))
    root: str = ""
    attached: Attached = field(default_factory=Attached, compare=False)

    @property
    def rows(self) -> RowSource:
        """Where the rows come from."""
        return self.job.rows

    @property
    def checks_ask(self) -> bool:
        """Whether a validator or an output function wants a `RunContext`."""
        checks = self.job.output_validators
        return self.output.takes_context or any(takes_context(check) for check in checks)


@dataclass(frozen=True, slots=True)
class Desired:
    """All enabled jobs, dependencies first.

    Attributes:
        jobs: In topological order; ties by address.
        warnings: What a person should know, though nothing is wrong.
        disabled: Jobs with `enabled=False`: left alone, neither planned nor forgotten.
        imports: Enter it while users' functions run: it makes the project's modules importable,
            for functions that import them late.
        folder: Of the project's modules, relative to the project; None where jobs were given by
            themselves, so that no other process can load them.
        written: The addresses of `jobs` in the order of the specs: of variants, the first is the
            baseline.
        paused: Those of `disabled` that can be put together; what they have under way is taken.
    """

    jobs: tuple[DesiredJob, ...]
    warnings: tuple[Diagnostic, ...] = ()
    disabled: tuple[JobAddress, ...] = ()
    imports: Callable[[], AbstractContextManager[None]] = nullcontext
    folder: str | None = None
    paused: tuple[DesiredJob, ...] = ()
    written: tuple[JobAddress, ...] = ()

    def __getitem__(self, address: str) -> DesiredJob:
        for job in self.jobs:
            if job.address == address:
                return job
        raise KeyError(address)

    def find(self, address: str) -> DesiredJob | None:
        """Return a job, enabled or not; None: there is none, or none that can be put together."""
        return next((job for job in (*self.jobs, *self.paused) if job.address == address), None)

    def __iter__(self) -> Iterator[DesiredJob]:
        return iter(self.jobs)

    def __len__(self) -> int:
        return len(self.jobs)

    @property
    def addresses(self) -> tuple[JobAddress, ...]:
        """The jobs' addresses, in order."""
        return tuple(job.address for job in self.jobs)


def in_order(jobs: Iterable[DesiredJob]) -> tuple[DesiredJob, ...]:
    """Sort jobs so that each follows what it depends on; ties by address.

    Jobs must form no cycle; see `cycles`.
    """
    by_address = {job.address: job for job in jobs}
    sorter = TopologicalSorter(
        {a: [d for d in job.depends_on if d in by_address] for a, job in by_address.items()}
    )
    sorter.prepare()
    ordered: list[DesiredJob] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        ordered += [by_address[address] for address in ready]
        sorter.done(*ready)
    return tuple(ordered)


def cycles(
    edges: Mapping[JobAddress, Sequence[JobAddress]], sources: Mapping[JobAddress, Source]
) -> list[Diagnostic]:
    """Return a diagnostic per cycle, each job named in one of them at most.

    Args:
        edges: From a job to the jobs it depends on.
        sources: Where the jobs are written.
    """
    left = {address: list(needs) for address, needs in edges.items()}
    found: list[Diagnostic] = []
    while True:
        try:
            TopologicalSorter(left).prepare()
        except CycleError as error:
            loop: list[JobAddress] = error.args[1][::-1]
            found.append(_cycle(loop, sources))
            left = {a: [n for n in left[a] if n not in loop] for a in left if a not in loop}
        else:
            return found


def _cycle(loop: list[JobAddress], sources: Mapping[JobAddress, Source]) -> Diagnostic:
    # Start at the smallest address, so that the message does not depend on the search.
    at = loop.index(min(loop))
    path = [*loop[at:-1], *loop[: at + 1]] if at else loop
    places = "; ".join(f"{address} at {sources[address]}" for address in path[:-1])
    return Diagnostic(
        summary="jobs depend on each other in a circle",
        detail=f"{' needs '.join(path)} ({places}). One of them must take its rows elsewhere.",
        source=sources.get(path[0]),
        address=path[0],
    )
