"""Ids of response items, which say what they belong to: the response, its reasoning, the store.

Items that come back in a follow-up are judged by their ids alone, also by a server that has
forgotten the response, and in a batch.
"""

from hashlib import blake2b
from typing import NamedTuple

_ROOT = 18
"""Hex digits that all items of a response share, as the service's do."""
_STORED, _REASONED = 1, 2


class Origin(NamedTuple):
    """The response that an item is of."""

    root: str
    stored: bool
    """Whether its items were to be kept."""
    reasoned: bool
    """Whether it has a reasoning item."""

    def item_id(self, kind: str, index: int) -> str:
        """The id of an item, given its prefix (`rs`, `msg`, `fc`) and place."""
        flags = self.stored * _STORED + self.reasoned * _REASONED
        head = f"{self.root}{flags:x}{index:02x}"
        return f"{kind}_{head}{_digest(kind, head)}"

    @property
    def reasoning_id(self) -> str:
        return self.item_id("rs", 0)


def origin_of(item_id: object) -> Origin | None:
    """Where an item comes from; nothing for ids that were not made here."""
    if not isinstance(item_id, str):
        return None
    kind, _, rest = item_id.partition("_")
    head, check = rest[: _ROOT + 3], rest[_ROOT + 3 :]
    if len(head) < _ROOT + 3 or check != _digest(kind, head):
        return None
    flags = int(head[_ROOT], 16)
    return Origin(head[:_ROOT], bool(flags & _STORED), bool(flags & _REASONED))


def encrypted_content(reasoning_id: str) -> str:
    """What stands for a model's sealed thoughts; follows from the item's id."""
    return "gAAAAAB" + blake2b(reasoning_id.encode(), digest_size=60).hexdigest()


def _digest(kind: str, text: str) -> str:
    return blake2b(f"{kind}:{text}".encode(), digest_size=15).hexdigest()[:29]
