"""When one look at the list of an account's batches pays, instead of one look at each."""

from collections.abc import Sequence
from dataclasses import replace

from batchspec.reconcile.observe import Pace
from batchspec.reconcile.retry import poll_wait
from batchspec.state.records import BatchRecord

PAGE = 100
"""Batches in one answer."""
_FEW = 4
"""Looks that are due at once below which the list is not asked."""
_SHARE = 4
"""One page may be read for so many looks that are due: at worst a quarter is added to the calls."""


def together(batches: Sequence[BatchRecord], now: float, pace: Pace) -> list[BatchRecord]:
    """Return batches with those as due whose time is near, where many are: one list shows them all.

    Only where one is due anyway, and only by a fifth of a wait, which is what names spread them by.

    Args:
        batches: Open ones of a provider.
        now: Unix seconds.
        pace: The schedule.
    """
    polled = [b for b in batches if b.phase == "submitted" and not b.to_cancel]
    if all(batch.next_at > now for batch in polled):
        return list(batches)
    near = {b.id for b in polled if b.next_at <= now + _near(b, now, pace)}
    if not pages(len(near)):
        return list(batches)
    return [replace(b, next_at=min(b.next_at, now)) if b.id in near else b for b in batches]


def _near(batch: BatchRecord, now: float, pace: Pace) -> float:
    if batch.failures:
        return 0.0  # it waits because of an error
    age = now - (batch.submitted_at or now)
    return poll_wait(age, first=pace.poll, cap=pace.max_poll) / 5


def pages(due: int) -> int:
    """Return how many pages of the list, newest first, are worth reading; 0: none.

    Nobody knows how many batches of others stand between ours, so that the price is bounded by what
    it may save.

    Args:
        due: Looks that are due now.
    """
    return due // _SHARE if due >= _FEW else 0
