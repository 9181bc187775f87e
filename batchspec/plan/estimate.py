"""Tokens and money before anything is sent: estimates, said to be estimates."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from math import ceil

from batchspec.messages import Usage
from batchspec.plan.changes import Estimate
from batchspec.state.tokens import BYTES_PER_TOKEN, ENVELOPE

TOOL_RESULT_TOKENS = 200
"""Assumed length of a tool's result in the next turn."""

Cost = Callable[[Usage], Decimal | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a job would send in its first turn."""

    requests: int
    bytes: int
    """Of their lines, as far as they are prompt."""
    max_tokens: int | None
    """The job's own bound on the length of a reply; 0: a reply has no tokens."""
    turns: int
    """Replies an item may take at most."""
    lone: int = 0
    """Requests of each turn that may be asked at the live endpoint, at its price, at most."""


def estimate(
    load: Load, cost: Cost, assumed_output_tokens: int, live: Cost | None = None
) -> Estimate:
    """Estimate tokens and cost.

    Prices may depend on a prompt's length, so one average request is priced and multiplied.
    The bound assumes that every item takes all its turns, each with the replies before it.

    Args:
        load: What would be sent.
        cost: US dollars of the usage of one reply, None when the price is unknown.
        assumed_output_tokens: Length of a reply where the job sets no `max_tokens`.
        live: As `cost`, at the live endpoint; needed where some may be asked there.
    """
    if not load.requests:
        return Estimate(cost=Decimal(0), cost_at_most=Decimal(0))
    prompt = ceil(max(0, load.bytes - ENVELOPE * load.requests) / BYTES_PER_TOKEN / load.requests)
    reply = assumed_output_tokens if load.max_tokens is None else load.max_tokens
    lone = 0 if live is None else min(load.lone, load.requests)
    dear = live or cost
    growth = reply + TOOL_RESULT_TOKENS
    usages = [
        Usage(input_tokens=prompt + turn * growth, output_tokens=reply)
        for turn in range(load.turns)
    ]
    first = (dear if lone == load.requests else cost)(usages[0])
    parts = (_sum(map(cost, usages), load.requests - lone), _sum(map(dear, usages), lone))
    return Estimate(
        input_tokens=prompt * load.requests,
        output_tokens=reply * load.requests,
        cost=None if first is None else first * load.requests,
        cost_at_most=None if parts[0] is None or parts[1] is None else parts[0] + parts[1],
        output_assumed=load.max_tokens is None,
    )


def _sum(costs: Iterable[Decimal | None], times: int) -> Decimal | None:
    total = Decimal(0)
    for cost in costs:
        if cost is None:
            return None
        total += cost
    return total * times


def batches(lanes: Iterable[tuple[str, int, int]], limits: Callable[[str], tuple[int, int]]) -> int:
    """Return how many batches some jobs need.

    Args:
        lanes: (lane, requests, bytes) of each job; jobs of one lane share batches.
        limits: Of a lane, the lines a batch may have and the bytes its input file may have.
    """
    totals: dict[str, tuple[int, int]] = {}
    for lane, requests, size in lanes:
        n, held = totals.get(lane, (0, 0))
        totals[lane] = (n + requests, held + size + requests)
    return sum(_batches(*total, *limits(lane)) for lane, total in totals.items())


def _batches(requests: int, size: int, max_requests: int, max_bytes: int) -> int:
    fullest = max(ceil(requests / max_requests), ceil(size / max_bytes))
    return min(requests, fullest)  # a request that is too large is alone
