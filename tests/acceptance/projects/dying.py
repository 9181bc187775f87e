"""Lets a process kill itself at a place of its own code: `DIE_AT=validator:700`."""

import os
import signal
from collections import Counter

_PLACE, _, _NTH = os.environ.get("DIE_AT", "").partition(":")
_reached: Counter[str] = Counter()


def reach(place: str) -> None:
    """Die here if this is the place and the time."""
    if place != _PLACE:
        return
    _reached[place] += 1
    if _reached[place] == int(_NTH):
        os.kill(os.getpid(), signal.SIGKILL)
