"""Faults of telling that a batch has ended: behaviour 50."""

from abc import abstractmethod
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import ClassVar, Literal

from pydantic import Field, PositiveFloat

from batchspec.simulator.faults.rule import Fault, Occasion, Patterns
from batchspec.simulator.webhooks.records import Oddity


class WebhookFault(Fault):
    """A fault of one event on its way to one endpoint."""

    behaviours: ClassVar = (50,)
    event: Patterns = ("*",)
    """The types of events, as `batch.completed` or `batch.*`; one or a list."""

    def fits(self, occasion: Occasion) -> bool:
        return any(fnmatchcase(occasion.event or "", pattern) for pattern in self.event)

    @abstractmethod
    def twist(self, oddity: Oddity) -> Oddity:
        """Add to what goes wrong already."""


class WebhookLost(WebhookFault):
    """The event is never sent."""

    fault: Literal["webhook_lost"] = "webhook_lost"

    def twist(self, oddity: Oddity) -> Oddity:
        return replace(oddity, lost=True)


class WebhookDoubled(WebhookFault):
    """The event is sent more than once, with one `webhook-id`."""

    fault: Literal["webhook_doubled"] = "webhook_doubled"
    copies: int = Field(default=2, ge=2, le=100)
    """How often it is sent."""

    def twist(self, oddity: Oddity) -> Oddity:
        return replace(oddity, copies=self.copies)


class WebhookLate(WebhookFault):
    """The event is sent some time after it happened."""

    fault: Literal["webhook_late"] = "webhook_late"
    seconds: PositiveFloat = 3_600.0

    def twist(self, oddity: Oddity) -> Oddity:
        return replace(oddity, late=max(oddity.late, self.seconds))


class WebhookReordered(WebhookFault):
    """The event is sent after the next one for the same endpoint."""

    fault: Literal["webhook_reordered"] = "webhook_reordered"
    within: PositiveFloat = 3_600.0
    """Seconds after which it is sent all the same, if there is no next one."""

    def twist(self, oddity: Oddity) -> Oddity:
        return replace(oddity, held=True, late=max(oddity.late, self.within))


class WebhookForged(WebhookFault):
    """The event is signed with another secret."""

    fault: Literal["webhook_forged"] = "webhook_forged"

    def twist(self, oddity: Oddity) -> Oddity:
        return replace(oddity, forged=True)


class WebhookStale(WebhookFault):
    """The signature of the event is older than a receiver should accept."""

    fault: Literal["webhook_stale"] = "webhook_stale"
    seconds: PositiveFloat = 3_600.0

    def twist(self, oddity: Oddity) -> Oddity:
        return replace(oddity, stale=self.seconds)


WEBHOOKS = (
    WebhookLost,
    WebhookDoubled,
    WebhookLate,
    WebhookReordered,
    WebhookForged,
    WebhookStale,
)
