"""Webhook endpoints, the events they are told, and how both look on the wire."""

import secrets
from dataclasses import dataclass
from typing import Literal

from batchspec.simulator.wire import Json

EVENT_TYPES = (
    "batch.completed",
    "batch.failed",
    "batch.expired",
    "batch.cancelled",
    "response.completed",
    "response.failed",
    "response.cancelled",
    "response.incomplete",
    "eval.run.succeeded",
    "eval.run.failed",
    "eval.run.canceled",
    "fine_tuning.job.succeeded",
    "fine_tuning.job.failed",
    "fine_tuning.job.cancelled",
    "realtime.call.incoming",
    "video.completed",
    "video.failed",
    "agent.environment.ready",
    "agent.environment.failed",
    "agent.environment.suspended",
    "agent.environment.expired",
    "agent.session.created",
    "agent.session.action_required",
    "agent.session.in_progress",
    "agent.session.idle",
    "agent.session.failed",
    "safety.alert.created",
)
"""What an endpoint may ask for; the first four happen here."""
KEEPS_OLD_SECRET = 86_400.0
"""Seconds for which a secret that was replaced can still be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRecord:
    """Where events go.

    Attributes:
        secret: Signs what is sent; nothing if it is known to the process alone.
        old_secret: Signs as well, until `old_until`.
    """

    id: str
    name: str
    url: str
    event_types: tuple[str, ...]
    created_at: float
    updated_at: float
    secret: str | None = None
    old_secret: str | None = None
    old_until: float = 0.0

    def to_wire(self, secret: str) -> Json:
        return {
            "id": self.id,
            "object": "webhook_endpoint",
            "created_at": int(self.created_at),
            "updated_at": int(self.updated_at),
            "name": self.name,
            "url": self.url,
            "event_types": list(self.event_types),
            "signing_secret_hint": f"whsec_…{secret[-4:]}",
        }

    def secrets(self, configured: str | None, now: float) -> list[str]:
        """Return those to sign with, the current one first."""
        current = self.secret or configured
        old = self.old_secret if now < self.old_until else None
        return [secret for secret in (current, old) if secret]


@dataclass(frozen=True, slots=True, kw_only=True)
class Oddity:
    """What goes wrong with the delivery of one event.

    Attributes:
        lost: It is never sent.
        copies: How often it is sent.
        late: Seconds until it is sent for the first time.
        held: It is sent after the next event for the same endpoint, or when it is late enough.
        forged: It is signed with another secret.
        stale: Seconds by which the time of its signature has passed.
    """

    lost: bool = False
    copies: int = 1
    late: float = 0.0
    held: bool = False
    forged: bool = False
    stale: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event on its way to one endpoint.

    Attributes:
        id: The `webhook-id`, by which a receiver knows that it has the event already.
        type: For example `batch.completed`.
        body: As it is sent.
        happened_at: When it began to be on its way.
        due_at: When it is to be sent next, or was sent last.
        attempts: How often it was sent.
        status: Of the last answer; nothing if there was none.
        error: Why the last attempt had no answer.
    """

    id: str
    endpoint_id: str
    type: str
    body: str
    happened_at: float
    due_at: float
    oddity: Oddity = Oddity()
    state: Literal["waiting", "delivered", "abandoned", "lost"] = "waiting"
    attempts: int = 0
    status: int | None = None
    error: str | None = None

    def to_wire(self) -> Json:
        return {
            "object": "webhook_delivery",
            "id": self.id,
            "endpoint_id": self.endpoint_id,
            "type": self.type,
            "state": self.state,
            "happened_at": self.happened_at,
            "due_at": self.due_at,
            "attempts": self.attempts,
            "status": self.status,
            "error": self.error,
        }


def mint_endpoint_id() -> str:
    return "whe_" + secrets.token_hex(16)


def mint_delivery_id() -> str:
    return "wh_" + secrets.token_hex(16)


def event(kind: str, batch_id: str, at: float) -> Json:
    """Return what an endpoint is told."""
    return {
        "id": "evt_" + secrets.token_hex(16),
        "object": "event",
        "created_at": int(at),
        "type": kind,
        "data": {"id": batch_id},
    }
