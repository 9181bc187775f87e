"""The plan as a value. It has several readers: the person's view, JSON, the saved file, the loop.

The plan itself grows with jobs, not with rows: what happens to each row is in the plan's body on
disk (`ports.Draft`), of which this value holds the counts, the reasons and a few examples.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from batchspec.ids import BatchId, JobAddress, RemoteId
from batchspec.state.kinds import Kind, ReasonCode
from batchspec.state.missing import Missing


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where a request differs; the values are shortened for display."""

    path: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One reason, how many rows it moves, and an example of the difference.

    Attributes:
        cost: US dollars of these rows alone, an estimate, where they come without anybody changing
            something: `ANSWER_EXPIRED`. None: not told, or a price is unknown.
    """

    kind: Kind
    code: ReasonCode
    rows: int
    example_key: str | None = None
    difference: Difference | None = None
    note: str | None = None
    cost: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """An open batch that is not as recorded: drift, or a creation without an answer.

    Attributes:
        kind: `DRIFT`, `UNKNOWN`, or `CANCEL` where a plan leaves no row that wants its answers.
        code: What was found.
        batch: Our id of the batch.
        remote_id: The provider's.
        jobs: Whose requests it has, and how many.
        requests: How many it has.
        answered: How many the provider says it answered, rightly or not; None: it was not asked.
        rows: Requests that will not be answered by this batch, as the provider counts.
        again: How many of them go again by themselves, at batch price.
        since: Since when an outcome is unknown, unix seconds.
        note: More, in the provider's words where it has some.
    """

    kind: Kind
    code: ReasonCode
    batch: BatchId
    remote_id: RemoteId | None
    jobs: Mapping[JobAddress, int]
    requests: int
    answered: int | None = None
    rows: int = 0
    again: int = 0
    since: float | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Tokens and money of the requests a job would send.

    In US dollars at batch price, None when the model's price is unknown (never 0 for that): `cost`
    is for the first turn, `cost_of_all_turns` with every further turn the job allows, and
    `cost_at_most` with the longest replies and prompts, too. An apply of a saved plan stops before
    it sends what would cost more than that.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal | None = None
    cost_of_all_turns: Decimal | None = None
    cost_at_most: Decimal | None = None
    output_assumed: bool = False
    """True when the job sets no `max_tokens`, so that the length of the replies is assumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """What would happen to one job."""

    address: JobAddress
    model: str
    """`provider:model`."""
    rows: int
    """Rows the job has now; for a job that waits for another, at most this many."""
    counts: Mapping[Kind, int] = field(default_factory=dict[Kind, int])
    reasons: tuple[Reason, ...] = ()
    requests: int = 0
    """Different requests of the first turn to send; equal ones are paid once."""
    max_turns: int = 1
    estimate: Estimate = Estimate()
    waits_for: tuple[JobAddress, ...] = ()
    """Jobs to be final before this one's rows are known; `requests` is then an upper bound."""
    forgets_at_most: int = 0
    """Items on record of a job that waits which may have no row once its rows are known."""
    removed: bool = False
    superseded: int = 0
    """Rows that change while they are in a batch: its answer is paid for, kept, and not shown."""
    moved_from: JobAddress | None = None
    """Where most of its items were, at a job that is gone: it was renamed, and that is free."""
    protects: bool | None = None
    """Whether it is to be protected from now on; None where that does not change."""
    runs_at: str | None = None
    """The live endpoint the batches run against in this process; None if they run elsewhere."""

    @property
    def changes(self) -> bool:
        """Tell whether applying would do anything for this job."""
        return self.moves or self.protects is not None

    @property
    def moves(self) -> bool:
        """Tell whether anything would happen to its rows, so that what is made of them waits."""
        return any(kind is not Kind.KEEP and n for kind, n in self.counts.items()) or bool(
            self.waits_for and (self.requests or self.forgets_at_most)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What `apply` would do, why, and what it costs at most."""

    id: str
    environment: str
    lineage: str
    serial: int
    jobs: tuple[JobPlan, ...]
    batches: int
    """Batches of the first turn."""
    simulated: bool = False
    spent: Decimal | None = None
    """US dollars paid so far in this state."""
    ceiling: Decimal | None = None
    """US dollars that applying it may cost, by the saved plan it comes from."""
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What is done in a special way, a sentence each."""
    findings: tuple[Finding, ...] = ()
    """Open batches that are not as recorded, and creations without an answer."""
    missing: tuple[Missing, ...] = ()
    """What jobs made of answers lack now, because there are no answers."""
    chores: int = 0
    """Batches and files at the provider to be brought to an end, whatever the rows are: free."""

    @property
    def can_apply(self) -> bool:
        """Tell whether there is anything to do; prompts and exit codes derive from this alone."""
        return any(job.changes for job in self.jobs) or bool(self.findings)

    @property
    def agreed_before(self) -> bool:
        """Tell whether it only goes on with what was agreed to, so that nobody need be asked."""
        going_on = {Kind.CONTINUE, Kind.KEEP, Kind.DRIFT}
        facts = any(job.protects is not None for job in self.jobs)
        return not self.requests and not facts and set(self.counts) <= going_on

    @property
    def counts(self) -> Mapping[Kind, int]:
        """Return the number of rows per kind over all jobs."""
        total: dict[Kind, int] = {}
        for job in self.jobs:
            for kind, n in job.counts.items():
                total[kind] = total.get(kind, 0) + n
        return total

    @property
    def requests(self) -> int:
        """Return how many requests of a first turn would be sent, at most."""
        return sum(job.requests for job in self.jobs)

    @property
    def priced(self) -> bool:
        """Tell whether every job that would send something has a known price."""
        return all(job.estimate.cost is not None for job in self.jobs if job.requests)

    @property
    def cost(self) -> Decimal:
        """Return the known cost of the first turns in US dollars."""
        return sum((j.estimate.cost or Decimal(0) for j in self.jobs), Decimal(0))

    @property
    def cost_of_all_turns(self) -> Decimal:
        """Return the known cost with every further turn in US dollars."""
        return sum((j.estimate.cost_of_all_turns or Decimal(0) for j in self.jobs), Decimal(0))

    @property
    def cost_at_most(self) -> Decimal:
        """Return the known cost in US dollars with every turn at its longest."""
        return sum((j.estimate.cost_at_most or Decimal(0) for j in self.jobs), Decimal(0))


__all__ = ["Difference", "Estimate", "Finding", "JobPlan", "Kind", "Plan", "Reason", "ReasonCode"]
