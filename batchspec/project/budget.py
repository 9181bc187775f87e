"""What an apply may spend, held against what it spent and what is under way."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from batchspec.errors import RefusedError
from batchspec.ids import JobAddress
from batchspec.messages import Usage
from batchspec.plan.estimate import Load, estimate
from batchspec.ports import Prices
from batchspec.state.records import BatchRecord, JobProgress, Lane
from batchspec.store.sqlite import StateStore


class RunBudget:
    """Implements `apply.world.Budget` for one run.

    Further turns carry tool results and earlier replies, whose length no plan knows: so before
    every batch the real size of what would be sent is held against what is left.

    Args:
        allowed: US dollars this run may spend.
        store: Knows what was spent and what is under way.
        prices: Of the models.
        reply_tokens: The length to count for a reply.
    """

    def __init__(
        self, allowed: Decimal, store: StateStore, prices: Prices, reply_tokens: int
    ) -> None:
        self._allowed = allowed
        self._store = store
        self._prices = prices
        self._reply_tokens = reply_tokens
        self._before = _spent(store.progress())

    def check(self, lane: Lane, requests: int, size: int) -> None:
        """Refuse requests that may cost more than what is left.

        Raises:
            RefusedError: They may.
        """
        spent = _spent(self._store.progress()) - self._before
        under_way = sum((self._open(b) for b in self._store.open_batches()), Decimal(0))
        cost = self._estimate(lane, requests, size)
        if spent + under_way + cost > self._allowed:
            raise RefusedError(
                f"The budget of ${self._allowed} does not suffice: ${spent:.4f} is spent, "
                f"${under_way:.4f} is under way, and the next {requests} requests of "
                f"{lane.provider}:{lane.model} may cost ${cost:.4f}. They were not sent and every "
                "answer so far is kept; apply again with a larger --max-cost to go on."
            )

    def _open(self, batch: BatchRecord) -> Decimal:
        return self._estimate(self._store.lane(batch.lane), batch.members, batch.bytes)

    def _estimate(self, lane: Lane, requests: int, size: int) -> Decimal:
        load = Load(requests=requests, bytes=size, max_tokens=None, turns=1)
        cost = _cost(self._prices, lane)
        return estimate(load, cost, self._reply_tokens).cost or Decimal(0)


def _cost(prices: Prices, lane: Lane) -> Callable[[Usage], Decimal | None]:
    return lambda usage: prices.cost(lane.provider, lane.model, usage)


def _spent(jobs: Sequence[JobProgress]) -> Decimal:
    return sum((job.cost or Decimal(0) for job in jobs), Decimal(0))


def reply_tokens(bounds: Mapping[JobAddress, int | None], assumed: int) -> int:
    """Return the longest reply any job allows; `assumed` for jobs without a bound."""
    return max((bound or assumed for bound in bounds.values()), default=assumed)
