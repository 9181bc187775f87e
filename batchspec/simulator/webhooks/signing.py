"""Signatures of webhooks, as Standard Webhooks has them."""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable

_PREFIX = "whsec_"


def mint_secret() -> str:
    return _PREFIX + base64.b64encode(secrets.token_bytes(24)).decode()


def check_secret(secret: str) -> None:
    """Raise a ValueError, without the secret in it, for one that cannot sign."""
    try:
        key = _key(secret)
    except binascii.Error:
        key = b""
    if not key:
        raise ValueError("a webhook secret is 'whsec_' and base64, or any other text")


def sign(keys: Iterable[str], webhook_id: str, timestamp: int, body: str) -> str:
    """Return the header `webhook-signature`: one signature for each secret."""
    content = f"{webhook_id}.{timestamp}.{body}".encode()
    digests = (hmac.digest(_key(secret), content, hashlib.sha256) for secret in keys)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def _key(secret: str) -> bytes:
    if secret.startswith(_PREFIX):
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    return secret.encode()
