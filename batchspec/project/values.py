"""What the commands and the Python API get back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from batchspec.errors import Diagnostic, ExitCode, Source
from batchspec.ids import JobAddress
from batchspec.plan.changes import Plan
from batchspec.state.hooks import HookRecord
from batchspec.state.missing import Missing
from batchspec.state.records import BatchRecord, JobProgress, LaneRecord, LeaseRecord
from batchspec.state.watching import Condition


@dataclass(frozen=True, slots=True)
class JobCheck:
    """One job that loads."""

    address: JobAddress
    model: str
    rows: int
    source: Source


@dataclass(frozen=True, slots=True)
class Validation:
    """What `validate` found."""

    jobs: tuple[JobCheck, ...]
    diagnostics: tuple[Diagnostic, ...]

    @property
    def ok(self) -> bool:
        """Tell whether there is no error; warnings may be there."""
        return not any(d.severity == "error" for d in self.diagnostics)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How far everything is."""

    environment: str
    lineage: str
    serial: int
    jobs: tuple[JobProgress, ...]
    batches: tuple[BatchRecord, ...]
    """Open batches."""
    lanes: tuple[LaneRecord, ...]
    lease: LeaseRecord | None
    lease_free: bool = False
    """Who holds it is dead, or silent on another machine: it is free to take."""
    watched: bool = False
    """Somebody watches, also where the process that held the lease for it is dead."""
    spent: Decimal | None
    waiting: tuple[str, ...] = ()
    """What is waited for, a sentence each."""
    missing: tuple[Missing, ...] = ()
    """What jobs made of answers lack, because there are no answers."""
    conditions: tuple[Condition, ...] = ()
    """What a watcher says of the project and of its jobs."""
    pending: tuple[Plan, ...] = ()
    """Plans that a watcher holds back until somebody approves them."""
    approved: tuple[Plan, ...] = ()
    """Plans somebody approved that are not begun yet."""
    hooks: tuple[HookRecord, ...] = ()
    """How far every hook is."""

    @property
    def done(self) -> bool:
        """Tell whether every item of every job is final."""
        return all(job.final == job.items for job in self.jobs)


@dataclass(frozen=True, slots=True)
class Rendered:
    """The exact request of one item."""

    address: str
    request: dict[str, Any]
    """A line of the batch's input file: custom_id, method, url, body."""
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Graph:
    """Jobs and what their rows are made of: (upstream, downstream, how)."""

    jobs: tuple[JobAddress, ...]
    edges: tuple[tuple[JobAddress, JobAddress, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyResult:
    """What an apply left behind."""

    jobs: Sequence[JobProgress]
    waiting: tuple[JobAddress, ...] = ()
    """Jobs whose rows are not known yet, because others are not final."""
    nothing: bool = False
    """There was nothing to do."""
    signal: int | None = None
    """The interrupt that ended it."""
    stopping: tuple[str, ...] = ()
    """Providers whose batches run in this process, and stop with it."""
    note: str | None = None
    warnings: tuple[str, ...] = field(default=())
    refused: tuple[str, ...] = ()
    """What a guard refused once it was known, a sentence each; everything else was done."""
    missing: tuple[Missing, ...] = ()
    """What jobs made of answers lack, because there are no answers."""
    problems: tuple[Diagnostic, ...] = ()
    """What is wrong with rows that answers made; all else was done."""
    left: tuple[JobAddress, ...] = ()
    """The jobs that were left alone because of it, and those made of them."""

    @property
    def interrupted(self) -> bool:
        """Tell whether an interrupt ended it."""
        return self.signal is not None

    @property
    def done(self) -> bool:
        """Tell whether every item of every job is final."""
        return not self.waiting and all(job.final == job.items for job in self.jobs)

    @property
    def failed(self) -> int:
        """Return how many items ended in another way than succeeded."""
        return sum(job.failed for job in self.jobs)

    @property
    def exit_code(self) -> ExitCode:
        """Return what the command ends with."""
        if self.signal is not None:
            return ExitCode(128 + self.signal)
        if self.problems:
            return ExitCode.ERROR
        if self.refused:
            return ExitCode.REFUSED
        if not self.done:
            return ExitCode.IN_PROGRESS
        return ExitCode.FAILED_ITEMS if self.failed else ExitCode.DONE
