"""Webhooks of OpenAI, verified as its SDK does (Standard Webhooks)."""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from batchspec.ids import RemoteId

if TYPE_CHECKING:
    from openai import OpenAI

_ABOUT = "batch."
"""What the types of events about batches begin with."""


class WebhookInvalidError(Exception):
    """A call was not made by the provider, or makes no sense."""


def batch_of(secret: str, body: bytes, headers: Mapping[str, str]) -> RemoteId | None:
    """Return the batch an event is about; None for an event about something else.

    Args:
        secret: Of the endpoint, as the provider's settings show it.
        body: As it came.
        headers: `webhook-id`, `webhook-timestamp` and `webhook-signature`.

    Raises:
        WebhookInvalidError: The signature is not right, or the event cannot be read.
    """
    from openai import InvalidWebhookSignatureError  # noqa: PLC0415 - slow SDK

    try:
        event = _client().webhooks.unwrap(body, dict(headers), secret=secret)
    except (InvalidWebhookSignatureError, ValueError, KeyError) as error:
        raise WebhookInvalidError(str(error)) from None
    if not str(getattr(event, "type", "")).startswith(_ABOUT):
        return None
    batch = getattr(getattr(event, "data", None), "id", None)
    return RemoteId(batch) if isinstance(batch, str) else None


@cache
def _client() -> "OpenAI":
    """Return one client for all calls: each has certificates of its own in memory."""
    from openai import OpenAI  # noqa: PLC0415 - slow SDK

    return OpenAI(api_key="none")
