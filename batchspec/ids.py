"""Names of things: addresses for people, ids for machines.

Ids are minted by the shell (`apply`), never derived from state; the functions here are pure, so
time and randomness are parameters.
"""

import re
from typing import NewType

JobAddress = NewType("JobAddress", str)
"""`module.variable`, for example `tickets.triage`."""
RowKey = NewType("RowKey", str)
"""The unique key of a row within its job."""
JobId = NewType("JobId", int)
"""Number of a job in one state file."""
ItemId = NewType("ItemId", int)
"""Number of an item in one state file."""
ConversationId = NewType("ConversationId", int)
"""Number of a conversation in one state file."""
LaneId = NewType("LaneId", int)
"""Number of a lane: one provider, endpoint and model, whose requests may share a batch."""
BatchId = NewType("BatchId", str)
"""Our id of a batch, a UUIDv7 in hex; also the token in the provider's metadata."""
RemoteId = NewType("RemoteId", str)
"""The provider's id of a batch."""
FileId = NewType("FileId", str)
"""The provider's id of a file."""
RecordRef = NewType("RecordRef", int)
"""Where a stored body is; opaque outside `store/`."""
Fingerprint = NewType("Fingerprint", bytes)
"""SHA-256 of the request the model would see."""

_CUSTOM_ID = re.compile(r"([0-9a-f]{16})-([0-9]{1,6})\Z")


def item_address(job: JobAddress, key: str) -> str:
    """Return the address of one item, `module.job["key"]`."""
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'{job}["{escaped}"]'


def parse_address(text: str) -> tuple[JobAddress, RowKey | None]:
    """Split `module.job` or `module.job["key"]`; a text without brackets is a job's address."""
    match = re.fullmatch(r'([^\[\]]+)\["((?:[^"\\]|\\.)*)"\]', text, re.DOTALL)
    if match is None:
        return JobAddress(text), None
    return JobAddress(match[1]), RowKey(re.sub(r"\\(.)", r"\1", match[2], flags=re.DOTALL))


def custom_id(fingerprint: Fingerprint, turn: int) -> str:
    """Return our key in the provider's file, `<fingerprint[:16]>-<turn>`.

    It fits `^[a-zA-Z0-9_-]{1,64}$`, the strictest pattern among providers.
    """
    return f"{fingerprint[:8].hex()}-{turn}"


def parse_custom_id(text: str) -> tuple[bytes, int] | None:
    """Return (first 8 bytes of the fingerprint, turn), or None when the text is not ours."""
    match = _CUSTOM_ID.match(text)
    return (bytes.fromhex(match[1]), int(match[2])) if match else None


def uuid7(unix_ms: int, random: bytes) -> str:
    """Return a UUIDv7 in hex: sortable by time, unique by `random` (10 bytes)."""
    value = (unix_ms & 0xFFFF_FFFF_FFFF) << 80 | int.from_bytes(random[:10], "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return f"{value:032x}"
