"""What becomes of calls that failed: another try later, or a sentence for a person."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from batchspec.apply.lost import LOOKS
from batchspec.apply.world import World
from batchspec.errors import ProviderError
from batchspec.ports import Provider
from batchspec.reconcile.retry import backoff, poll_wait
from batchspec.state.events import CallFailed
from batchspec.state.records import BatchRecord
from batchspec.state.remote import (
    CallError,
    NotFound,
    Refused,
    Uncertain,
    Unconnected,
    Unreachable,
)

_KEY_REFUSED = {401, 403}
_SOON = 0.25
"""Seconds after which a connection is tried again that did not come about."""


@asynccontextmanager
async def calls(world: World, provider: Provider, record: BatchRecord) -> AsyncGenerator[None]:
    """Make calls about a batch; a failed one becomes an event with a time to try again."""
    try:
        yield
        world.answered.add(provider.name)
    except CallError as error:
        await call_failed(world, provider, record, error)


async def call_failed(
    world: World, provider: Provider, record: BatchRecord, error: CallError
) -> None:
    """Record a failed call about a batch.

    Raises:
        ProviderError: A person must mend something: a refused key, an unknown batch, a provider
            that has not answered once in this run and several tries, or one that is away.
    """
    now = world.clock.now()
    unheard = isinstance(error, Uncertain) and provider.name not in world.answered
    if unheard:
        world.silence(record.id).note(now, connected=not isinstance(error, Unconnected))
    wait = error.retry_after or _wait(world, provider, record, error)
    await world.commit(CallFailed(id=record.id, at=now, next_at=now + wait, reason=str(error)))
    if isinstance(error, Unreachable):
        raise ProviderError(f"{provider.name!r} is away: {error}. Nothing is lost; apply again.")
    unknown = isinstance(error, NotFound) and record.failures + 1 >= LOOKS
    if isinstance(error, Refused) or unknown:
        raise ProviderError(stop_message(provider, error))
    if unheard and world.silence(record.id).is_final(now):
        message = (
            f"Provider {provider.name!r} cannot be reached: {error}. Nothing is lost: "
            "check the network and the base URL, then run `batchspec apply` again."
        )
        raise ProviderError(message)


async def refused_cancel(
    world: World, provider: Provider, record: BatchRecord, error: CallError
) -> None:
    """Record a cancellation that was not taken; the batch goes on as it is, and the run too."""
    now, pace = world.clock.now(), world.pace_of(provider)
    age = now - (record.cancel_at or now)
    wait = error.retry_after or poll_wait(
        age, first=pace.poll / 3, cap=pace.max_poll, name=record.id
    )
    reason = f"it could not be cancelled ({error})"
    await world.commit(CallFailed(id=record.id, at=now, next_at=now + wait, reason=reason))


def _wait(world: World, provider: Provider, record: BatchRecord, error: CallError) -> float:
    """Return the seconds until the next try."""
    pace = world.pace_of(provider)
    if isinstance(error, Unconnected) and provider.name not in world.answered:
        tries = world.silence(record.id).tries
        return backoff(tries, first=_SOON, cap=pace.max_poll, name=record.id)
    return backoff(record.failures + 1, first=pace.poll / 3, cap=pace.max_poll, name=record.id)


def stop_message(provider: Provider, error: CallError) -> str:
    """Return what a person is told whose run ends with a call that was refused."""
    if isinstance(error, Refused) and error.status in _KEY_REFUSED:
        return (
            f"Provider {provider.name!r} refused the key ({error}). Check its environment "
            "variable; nothing is lost, `batchspec apply` goes on from here."
        )
    if isinstance(error, NotFound):
        return (
            f"Provider {provider.name!r} does not know what it was asked for ({error}). Check that "
            "the key belongs to the account and project that submitted it, then apply again."
        )
    return (
        f"Provider {provider.name!r} refused the request ({error}). Nothing was charged for it; "
        "mend the cause, then run `batchspec apply` again."
    )
