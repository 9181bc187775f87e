"""Facts about the state itself: what people did to it by hand. None of them costs anything."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseBroken:
    """A person took the lease away from its holder, whose next write fails."""

    holder: str
    host: str
    pid: int
    operation: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressMoved:
    """A job or an item has another address now; what it wants and has is the same."""

    old: str
    new: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemsForgotten:
    """Items are not in the state any more; what was answered or is on its way is kept."""

    address: str
    items: int
    in_flight: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StateReplaced:
    """Another copy of the state was put in the place of this one; the journal is that copy's."""

    lineage: str
    serial: int
    """Of the copy."""
    before: int
    """The serial of the state it replaced."""
    backup: str
    """Where the replaced state is, relative to the folder of the environment."""
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BodiesDeleted:
    """Files of bodies that no row pointed at are gone from the disk."""

    segments: int
    bytes: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemsTainted:
    """A person wants other answers than those some items have, or does no more."""

    job: str
    items: int
    tainted: bool
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemsCancelled:
    """A person stopped items that were not final: they are not sent again by themselves."""

    job: str
    waiting: int
    """They ended at once."""
    in_flight: int
    """They are in batches, and end with them."""
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersDeleted:
    """Answers no item wants were deleted by a person: who wants them again pays again."""

    job: str
    answers: int
    cost: float | None
    """US dollars they had cost; None where a price is unknown."""
    at: float


HousekeepingEvent = (
    LeaseBroken
    | AddressMoved
    | ItemsForgotten
    | ItemsTainted
    | ItemsCancelled
    | AnswersDeleted
    | StateReplaced
    | BodiesDeleted
)
