"""Requests that are fewer than a provider takes in a batch, as a plan tells them."""

from collections.abc import Iterable, Mapping

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
    totals: dict[str, int] = {}
    for model, requests, _ in lanes:
        totals[model] = totals.get(model, 0) + requests
    return tuple(
        _note(model, requests, provider)
        for model, requests in totals.items()
        for provider in [providers[model.partition(":")[0]]]
        if 0 < requests < provider.min_requests
    )


def _note(model: str, requests: int, provider: Provider) -> str:
    waits = "1 request of {} waits" if requests == 1 else f"{requests} requests of {{}} wait"
    return (
        f"{waits.format(model)} for more, as {provider.name} takes batches of "
        f"{provider.min_requests} or more (min_requests); what is left when no more can come "
        f"{_ENDS[provider.lone_request]} (lone_request = {provider.lone_request!r})."
    )
