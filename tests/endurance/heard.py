"""What hooks of a life heard; specs import it, and it outlives them."""

from collections import Counter
from typing import Any

items: Counter[str] = Counter()


def item(said: Any) -> None:
    """Hear of an item, and fail at the first word of every seventh."""
    items[said.key] += 1
    if items[said.key] == 1 and int(said.key[1:]) % 7 == 0:
        raise OSError("nobody listens")
