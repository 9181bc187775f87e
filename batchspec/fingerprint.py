"""Identity of requests: canonical JSON and its SHA-256.

A fingerprint covers what the model would see, never the code that rendered it. The canonical form
is `{"contract": …, "messages": …, "sample": n}` with sorted keys and no white space, so the part
all rows of a job share is hashed once.
"""

import hashlib
import json
from typing import Any

from batchspec.ids import Fingerprint

VERSION = 1
"""Of the algorithm. The state keeps it with all that is hashed: when there is a better algorithm,
what is recorded is fingerprinted again instead of submitted again."""

_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode


def canonical_json(value: Any) -> bytes:
    """Encode a JSON value so that equal values give equal bytes.

    Keys are sorted, integers and floats stay apart, Unicode is not normalised. Lone surrogates
    (which no UTF-8 can carry) become `?`, here as on the wire.

    Raises:
        ValueError: NaN or an infinity, which JSON does not have.
        TypeError: A value JSON does not have.
    """
    return _encode(value).encode("utf-8", "replace")


class Fingerprinter:
    """Hashes the requests of one job; the contract is hashed once."""

    __slots__ = ("_prefix",)

    def __init__(self, contract_json: bytes) -> None:
        self._prefix = hashlib.sha256(b'{"contract":' + contract_json + b',"messages":')

    def __call__(
        self, messages_json: bytes, sample: int = 0, scope: str | None = None
    ) -> Fingerprint:
        """Return the fingerprint of one request.

        Args:
            messages_json: Canonical JSON.
            sample: Number of the answer that is wanted.
            scope: Keeps equal requests apart, where what runs on this machine depends on the row.
        """
        digest = self._prefix.copy()
        digest.update(messages_json)
        if scope is None:
            digest.update(b',"sample":%d}' % sample)
        else:
            digest.update(b',"sample":%d,"scope":%b}' % (sample, canonical_json(scope)))
        return Fingerprint(digest.digest())


def fingerprint(
    contract_json: bytes, messages_json: bytes, scope: str | None, sample: int = 0
) -> Fingerprint:
    """Return the fingerprint of one recorded request, see `Fingerprinter`."""
    return Fingerprinter(contract_json)(messages_json, sample, scope)


def row_digest(row_json: bytes) -> int:
    """Return a number that changes with a row: what is not in its request is compared by this."""
    return int.from_bytes(hashlib.blake2b(row_json, digest_size=7).digest(), "big")


def digest(data: bytes) -> bytes:
    """Return the SHA-256 of some bytes."""
    return hashlib.sha256(data).digest()
