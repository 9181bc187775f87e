"""Tokens and money before anything is sent: estimates, said to be estimates."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from math import ceil

from batchspec.messages import Usage
from batchspec.plan.changes import Estimate
from batchspec.state.stored import LastTurn
from batchspec.state.tokens import BYTES_PER_TOKEN, ENVELOPE

TOOL_RESULT_TOKENS = 200
"""Assumed length of a tool's result in the next turn."""

Cost = Callable[[Usage], Decimal | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Output tokens of a reply where the job sets no `max_tokens`."""

    assumed: int = 256
    """For the estimate."""
    longest: int = 4096
    """For the bound."""


USUAL = Lengths()


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a job would send in its first turn."""

    requests: int
    bytes: int
    """Of their lines, as far as they are prompt."""
    most: int | None = None
    """The same at most, where prompts are made of answers that are not there yet; None: `bytes`."""
    max_tokens: int | None
    """The job's own bound on the length of a reply; 0: a reply has no tokens."""
    turns: int
    """Replies an item may take at most."""
    lone: int = 0
    """Requests of each turn that may be asked at the live endpoint, at its price, at most."""


def estimate(
    load: Load, cost: Cost, lengths: Lengths = USUAL, live: Cost | None = None
) -> Estimate:
    """Estimate tokens and cost.

    Prices may depend on a prompt's length, so one average request is priced and multiplied.
    Where every item takes all its turns, each has the replies before it. The bound counts the
    longest replies and prompts as well.

    Args:
        load: What would be sent.
        cost: US dollars of the usage of one reply, None when the price is unknown.
        lengths: Of a reply where the job sets no `max_tokens`.
        live: As `cost`, at the live endpoint; needed where some may be asked there.
    """
    if not load.requests:
        nothing = Decimal(0)
        return Estimate(cost=nothing, cost_of_all_turns=nothing, cost_at_most=nothing)
    assumed = load.max_tokens is None
    reply = lengths.assumed if load.max_tokens is None else load.max_tokens
    longest = max(reply, lengths.longest) if assumed else reply
    about = _usages(load, load.bytes, reply)
    most = _usages(load, load.bytes if load.most is None else load.most, longest)
    lone = 0 if live is None else min(load.lone, load.requests)
    dear = live or cost
    first = (dear if lone == load.requests else cost)(about[0])

    def total(usages: Sequence[Usage]) -> Decimal | None:
        parts = (_sum(map(cost, usages), load.requests - lone), _sum(map(dear, usages), lone))
        return None if parts[0] is None or parts[1] is None else parts[0] + parts[1]

    return Estimate(
        input_tokens=about[0].input_tokens * load.requests,
        output_tokens=reply * load.requests,
        cost=None if first is None else first * load.requests,
        cost_of_all_turns=total(about),
        cost_at_most=total(most),
        output_assumed=assumed,
    )


def _usages(load: Load, size: int, reply: int) -> list[Usage]:
    """Return the usage of every turn of one average request."""
    prompt = ceil(max(0, size - ENVELOPE * load.requests) / BYTES_PER_TOKEN / load.requests)
    growth = reply + TOOL_RESULT_TOKENS
    return [
        Usage(input_tokens=prompt + turn * growth, output_tokens=reply)
        for turn in range(load.turns)
    ]


def further(load: Load, last: LastTurn, lengths: Lengths = USUAL) -> Load:
    """Return what goes on from a turn: its requests, grown by one reply where it was answered.

    Args:
        load: The requests of that turn, and the turns an item may take in all.
        last: Which turn it was; one that was not answered is sent again itself.
        lengths: Of a reply where the job sets no `max_tokens`.
    """
    if not last.answered:
        return replace(load, turns=max(1, load.turns - last.number + 1))
    reply, longest = lengths.assumed, max(lengths.assumed, lengths.longest)
    if load.max_tokens is not None:
        reply = longest = load.max_tokens
    each = BYTES_PER_TOKEN * load.requests
    return replace(
        load,
        bytes=load.bytes + ceil((reply + TOOL_RESULT_TOKENS) * each),
        most=load.bytes + ceil((longest + TOOL_RESULT_TOKENS) * each),
        turns=max(1, load.turns - last.number),
    )


def together(estimates: Sequence[Estimate]) -> Estimate:
    """Return what several parts of one job cost; unknown where that of one is."""
    return Estimate(
        input_tokens=sum(one.input_tokens for one in estimates),
        output_tokens=sum(one.output_tokens for one in estimates),
        cost=_sum((one.cost for one in estimates), 1),
        cost_of_all_turns=_sum((one.cost_of_all_turns for one in estimates), 1),
        cost_at_most=_sum((one.cost_at_most for one in estimates), 1),
        output_assumed=any(one.output_assumed for one in estimates),
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
