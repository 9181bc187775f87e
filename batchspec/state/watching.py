"""What a watcher says of itself and of the jobs it looks after."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from batchspec.ids import JobAddress

ConditionType = Literal[
    "Running",
    "SpecLoaded",
    "Planned",
    "Consented",
    "Progressing",
    "Converged",
    "Degraded",
    "Stalled",
]
"""What can be said: of the whole project the first four, of each job the others."""
ConditionStatus = Literal["True", "False", "Unknown"]

GOOD: Mapping[ConditionType, ConditionStatus] = {
    "Running": "True",
    "SpecLoaded": "True",
    "Planned": "True",
    "Consented": "True",
    "Converged": "True",
    "Degraded": "False",
    "Stalled": "False",
}
"""The status of each condition that nobody need do anything about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One thing that is so or not, since when, and why.

    Attributes:
        job: Of which; None: the whole project.
        reason: A word for programs, in camel case.
        message: A sentence for people.
        since: When `status` became what it is, unix seconds.
    """

    type: ConditionType
    status: ConditionStatus
    reason: str
    message: str
    since: float
    job: JobAddress | None = None

    @property
    def good(self) -> bool:
        """Tell whether nobody need do anything about it."""
        return GOOD.get(self.type, self.status) == self.status


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionChanged:
    """A condition has another status, reason or message now."""

    type: ConditionType
    status: ConditionStatus
    reason: str
    message: str
    at: float
    job: JobAddress | None = None
    before: ConditionStatus | None = None
    """Its status until then; None: nothing was said of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchBegan:
    """From here on counts what a watcher may spend by itself."""

    spent: str
    """US dollars paid in this state until then."""
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What plans may cost that are not at their end.

    Attributes:
        at: When that was said last, unix seconds.
        paid: US dollars paid in this state until then; unknown prices count as 0.
        allowed: US dollars that may be paid from then on.
    """

    at: float
    paid: Decimal
    allowed: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanGranted:
    """A plan was agreed to while somebody watches: by its rules, or by a person."""

    plan: str
    by: Literal["watch", "person"]
    at_most: str | None
    """US dollars it may cost; None: the price is unknown."""
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsAwaited:
    """Somebody agreed to jobs whose rows are made of answers that were not there yet."""

    jobs: Mapping[JobAddress, tuple[str, str]]
    """Contract and policy of each, as hexadecimal SHA-256."""
    at: float


WatchEvent = ConditionChanged | WatchBegan | PlanGranted | RowsAwaited
