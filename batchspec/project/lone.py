"""Requests that go in another way than most, as a plan tells them: too few, or ahead of others."""

from collections.abc import Collection, Iterable, Mapping

from batchspec.ports import Provider
from batchspec.state.records import LoneRequest

_ENDS: Mapping[LoneRequest, str] = {
    "batch": "is sent as a batch all the same",
    "live": "is asked one by one at its live endpoint, at the price of live requests",
    "error": "ends as failed, unsent",
}


def lone_notes(
    lanes: Iterable[tuple[str, int, int]], providers: Mapping[str, Provider]
) -> tuple[str, ...]:
    """Say, by model, what becomes of first turns that are too few for a batch.

    Args:
        lanes: (`provider:model`, requests, bytes) of each job.
        providers: By name.
    """
    return tuple(
        _note(model, requests, provider)
        for model, requests in _totals(lanes).items()
        for provider in [providers[model.partition(":")[0]]]
        if 0 < requests < provider.min_requests
    )


def canary_notes(
    lanes: Iterable[tuple[str, int, int]],
    providers: Mapping[str, Provider],
    proven: Collection[str],
) -> tuple[str, ...]:
    """Say, by model, that a few requests go first.

    Args:
        lanes: (`provider:model`, requests, bytes) of each job.
        providers: By name.
        proven: The models that have answered before, for which nothing has to be found out.
    """
    firsts = (
        (model, requests, max(provider.canary, provider.min_requests) if provider.canary else 0)
        for model, requests in _totals(lanes).items()
        for provider in [providers[model.partition(":")[0]]]
        if model not in proven
    )
    return tuple(
        f"{first} of {requests} requests of {model} go first, in a batch of their own; the others "
        f"wait until one of them is answered (canary)."
        for model, requests, first in firsts
        if 0 < first < requests
    )


def _totals(lanes: Iterable[tuple[str, int, int]]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for model, requests, _ in lanes:
        totals[model] = totals.get(model, 0) + requests
    return totals


def _note(model: str, requests: int, provider: Provider) -> str:
    waits = "1 request of {} waits" if requests == 1 else f"{requests} requests of {{}} wait"
    return (
        f"{waits.format(model)} for more, as {provider.name} takes batches of "
        f"{provider.min_requests} or more (min_requests); what is left when no more can come "
        f"{_ENDS[provider.lone_request]} (lone_request = {provider.lone_request!r})."
    )
