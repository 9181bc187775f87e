"""What an apply may spend, held against what it spent and what is under way."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from batchspec.apply.world import OverBudgetError, Sending
from batchspec.ids import BatchId, JobAddress, group_of
from batchspec.messages import Usage
from batchspec.plan.estimate import Load, estimate
from batchspec.plan.money import money
from batchspec.ports import Prices
from batchspec.state.records import BatchRecord, Lane
from batchspec.store.sqlite import StateStore

_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """US dollars one apply may spend, on one job or on all."""

    allowed: Decimal
    job: JobAddress | None = None
    """Whose, with all of its variants and samples; None: of all jobs together."""
    name: str = ""
    """Where it comes from, after "the budget of $5"."""
    remedy: str = "apply again with a larger --max-cost"
    """What to do to go on."""
    earlier: bool = True
    """Whether the batches count that earlier runs have under way, and what these really cost."""
    agreed: bool = False
    """Whether it is what was agreed to, so that more is a matter of asking."""


@dataclass(frozen=True, slots=True)
class _Cost:
    """What something may cost, by job."""

    by_job: Mapping[JobAddress, Decimal]

    def of(self, ceiling: Ceiling) -> Decimal:
        """Return the part that a ceiling is about."""
        if ceiling.job is None:
            return sum(self.by_job.values(), _NOTHING)
        mine = (cost for job, cost in self.by_job.items() if group_of(job) == ceiling.job)
        return sum(mine, _NOTHING)


class RunBudget:
    """Implements `apply.world.Budget` for one run, with several ceilings at once.

    Further turns carry tool results and earlier replies, whose length no plan knows: so before
    every batch the real size of what would be sent is held against what is left.

    Counted are: what replies that came since the run began have cost, those of earlier runs'
    batches among them; what open batches may cost, with the longest reply each job allows; and
    what would be sent.

    Args:
        ceilings: None may be passed.
        store: Knows what was spent and what is under way.
        prices: Of the models.
        reply_tokens: The length to count for a reply, by job.
        longest: The length for jobs that are not in `reply_tokens`.
    """

    def __init__(
        self,
        ceilings: Sequence[Ceiling],
        store: StateStore,
        prices: Prices,
        reply_tokens: Mapping[JobAddress, int],
        longest: int,
    ) -> None:
        self._ceilings = ceilings
        self._store = store
        self._prices = prices
        self._reply_tokens = reply_tokens
        self._longest = longest
        self._before = store.costs()
        self._earlier = frozenset(batch.id for batch in store.open_batches())
        self._ended: dict[BatchId, Mapping[JobAddress, Decimal]] = {}

    def check(self, sending: Sending | None = None) -> None:
        """Refuse requests that may cost more than what is left; without any, what is under way.

        Raises:
            OverBudgetError: They may.
        """
        under_way = self._store.open_batches()
        spent, open_ = self._spent(), self._of_batches(under_way)
        beside = self._beside(under_way)
        cost = _Cost({} if sending is None else self._costs(sending))
        for ceiling in self._ceilings:
            parts = spent.of(ceiling), open_.of(ceiling), cost.of(ceiling)
            own = _NOTHING if ceiling.earlier else beside.of(ceiling)
            if sum(parts) > ceiling.allowed + own:
                told = _refusal(ceiling, parts, sending)
                raise OverBudgetError(told, job=ceiling.job, agreed=ceiling.agreed)

    def created(self) -> Decimal:
        """Return what batches that exist may cost, in US dollars."""
        exist = (b for b in self._store.open_batches() if b.phase != "intended" or b.create_at)
        return sum(self._of_batches(exist).by_job.values(), _NOTHING)

    def cost_of(self, sending: Sending) -> Decimal:
        """Return what requests may cost, in US dollars."""
        return sum(self._costs(sending).values(), _NOTHING)

    def _spent(self) -> _Cost:
        now = self._store.costs()
        return _Cost({job: cost - self._before.get(job, _NOTHING) for job, cost in now.items()})

    def _of_batches(self, batches: Iterable[BatchRecord]) -> _Cost:
        """Return what open batches may cost."""
        return _total(self._costs(_of_batch(b, self._store.lane(b.lane))) for b in batches)

    def _beside(self, under_way: Sequence[BatchRecord]) -> _Cost:
        """Return what is part of the sums and not of this run's own: batches of earlier runs.

        One that ended counts with what it did cost. What it might have cost is nobody's to spend.
        """
        if all(ceiling.earlier for ceiling in self._ceilings):
            return _Cost({})
        still = [batch for batch in under_way if batch.id in self._earlier]
        for ended in self._earlier - {batch.id for batch in still} - self._ended.keys():
            self._ended[ended] = self._store.costs_of(ended)
        return _total([self._of_batches(still).by_job, *self._ended.values()])

    def _costs(self, sending: Sending) -> dict[JobAddress, Decimal]:
        return {
            job: self._estimate(sending, job, requests, size)
            for job, (requests, size) in sending.jobs.items()
        }

    def _estimate(self, sending: Sending, job: JobAddress, requests: int, size: int) -> Decimal:
        lane = sending.lane
        reply = self._reply_tokens.get(job, self._longest)
        load = Load(requests=requests, bytes=size, max_tokens=reply, turns=1)

        def cost(usage: Usage) -> Decimal | None:
            return self._prices.cost(lane.provider, lane.model, usage, via=sending.via)

        return estimate(load, cost).cost or _NOTHING


def _total(parts: Iterable[Mapping[JobAddress, Decimal]]) -> _Cost:
    total: dict[JobAddress, Decimal] = {}
    for part in parts:
        for job, cost in part.items():
            total[job] = total.get(job, _NOTHING) + cost
    return _Cost(total)


def _of_batch(batch: BatchRecord, lane: Lane) -> Sending:
    """Return what a batch holds, its bytes divided between its jobs by their requests."""
    jobs = {
        job: (n, (batch.bytes - batch.data) * n // max(1, batch.members))
        for job, n in batch.jobs.items()
    }
    return Sending(lane=lane, jobs=jobs, via=batch.via)


def _refusal(
    ceiling: Ceiling, parts: tuple[Decimal, Decimal, Decimal], sending: Sending | None
) -> str:
    spent, open_, cost = parts
    text = (
        f"The budget of ${ceiling.allowed}{ceiling.name} does not suffice: "
        f"{money(spent)} is spent, {money(open_, at_most=True)} is under way or about to be"
    )
    if sending is not None:
        lane = sending.lane
        requests = sum(n for n, _ in sending.jobs.values())
        text += (
            f", and the next {requests} requests of {lane.provider}:{lane.model} may cost "
            f"{money(cost, at_most=True)}"
        )
    return (
        f"{text}. What would exceed it was not sent and every answer so far is kept. Batches at "
        f"the provider continue, and the next apply collects them; {ceiling.remedy} to go on."
    )


def of_jobs(limits: Iterable[tuple[JobAddress, float | None]]) -> list[Ceiling]:
    """Return the ceilings of jobs that have a `max_cost` of their own, which variants share."""
    return [
        Ceiling(
            allowed=Decimal(str(own)),
            job=job,
            name=f" for job {job}",
            remedy="raise its max_cost and apply again",
        )
        for job, own in {group_of(job): own for job, own in limits}.items()
        if own is not None
    ]
