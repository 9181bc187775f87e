"""What hooks are to be told, and how far that is."""

from dataclasses import dataclass
from typing import NamedTuple

from batchspec.ids import ItemId, JobAddress, RowKey
from batchspec.spec.hooks import HookKind

MOST_WAITING = 100
"""Deliveries of one job that may wait for another try; then nothing new is told until some of them
have come to an end, so that they stay few while whoever is told is away."""


class Position(NamedTuple):
    """A place in the order in which items become final.

    Attributes:
        settled: The serial of the state since which an answer is what it is.
        conversation: The answer.
        item: One of the items that have it.
    """

    settled: int
    conversation: int
    item: int


END = 2**62
"""After every conversation and item of a serial."""


class Delivery(NamedTuple):
    """One thing a hook is to be told.

    Attributes:
        kind: Which hook.
        at: Where that is in the order; for errors the serial alone counts.
        item: Whose answer it is of; None: it is of no item.
        key: Of that item.
        payload: JSON of what is no item, as it was when it was first told.
        attempts: Tries so far.
        id: Of the record that it is to be tried again; None: it was not tried yet.
        stale: Whether there is nothing to tell any more: its item is gone, or is answered anew.
    """

    kind: HookKind
    at: Position
    item: ItemId | None = None
    key: RowKey | None = None
    payload: str | None = None
    attempts: int = 0
    id: int | None = None
    stale: bool = False


class Told(NamedTuple):
    """What became of a delivery.

    Attributes:
        error: Why it failed; None: it did not.
        again: When it is tried again, unix seconds; None: it is not.
        payload: As in `Delivery`.
    """

    delivery: Delivery
    error: str | None = None
    again: float | None = None
    payload: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HookRecord:
    """How far a hook is.

    Attributes:
        waiting: Deliveries that failed and are tried again.
        given_up: Deliveries that were passed over after the last try, in all.
        error: Why the last delivery failed that did.
        error_at: When, unix seconds.
    """

    job: JobAddress
    kind: HookKind
    waiting: int
    given_up: int
    error: str | None
    error_at: float | None
