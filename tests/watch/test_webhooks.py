"""Webhooks as the SDK verifies them."""

import base64
import gc
import hashlib
import hmac
import json
import time

import pytest
from openai import OpenAI

from batchspec.providers.openai.webhooks import WebhookInvalidError, batch_of

KEY = b"k" * 24
SECRET = "whsec_" + base64.b64encode(KEY).decode()


def sent(kind: str, key: bytes = KEY) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a webhook about batch_1."""
    moment = int(time.time())
    event = {"object": "event", "id": "evt_1", "type": kind, "created_at": moment}
    body = json.dumps({**event, "data": {"id": "batch_1"}}).encode()
    signed = b"evt_1.%d." % moment + body
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return body, {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(moment),
        "webhook-signature": f"v1,{signature}",
    }


def test_the_batch_is_told_of_what_is_signed_and_about_one() -> None:
    assert batch_of(SECRET, *sent("batch.completed")) == "batch_1"
    assert batch_of(SECRET, *sent("response.completed")) is None
    with pytest.raises(WebhookInvalidError):
        batch_of(SECRET, *sent("batch.completed", b"x" * 24))


def test_webhooks_leave_nothing_in_memory() -> None:
    """Forged ones come from anybody, as many as they like."""
    batch_of(SECRET, *sent("batch.completed"))
    gc.collect()
    gc.disable()
    try:
        before = sum(type(one) is OpenAI for one in gc.get_objects())
        for _ in range(5):
            batch_of(SECRET, *sent("batch.completed"))
        assert sum(type(one) is OpenAI for one in gc.get_objects()) == before
    finally:
        gc.enable()
