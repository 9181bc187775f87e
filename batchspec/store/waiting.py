"""Waiting for a lease that somebody else holds, in real time: others live in it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from batchspec.errors import LockedError

TELL_AFTER = 0.4
"""Seconds of waiting after which a person is told about it."""
_FIRST, _LONGEST = 0.05, 1.0


def _nobody(_sentence: str) -> None:
    """Tell nobody."""


@dataclass(slots=True)
class Patience:
    """How long a writer waits for the lease, and who is told that it waits.

    Attributes:
        timeout: Seconds; 0: not at all.
        tell: Called once, after `TELL_AFTER` seconds, with a sentence that says who holds it.
        given_up: Set from another thread, it ends the waiting at once.
    """

    timeout: float = 0.0
    tell: Callable[[str], None] = _nobody
    given_up: threading.Event = field(default_factory=threading.Event)

    def wait_for(self, take: Callable[[], int]) -> int:
        """Return what `take` returns once it raises no `LockedError` any more.

        Raises:
            LockedError: The time is up; its message is that of the last try.
        """
        began = time.monotonic()
        told, pause = False, _FIRST
        while True:
            try:
                return take()
            except LockedError as error:
                waited = time.monotonic() - began
                if waited >= self.timeout or self.given_up.is_set():
                    raise _in_vain(error, self.timeout) from error
                if not told and waited >= TELL_AFTER:
                    told = True
                    self.tell(self._waits(error))
                left = self.timeout - waited
                until_told = left if told else max(TELL_AFTER - waited, 0.0)
            self.given_up.wait(min(pause, left, until_told))
            pause = min(2 * pause, _LONGEST)

    def _waits(self, error: LockedError) -> str:
        if self.timeout < inf:
            return f"Waiting for at most {self.timeout:g} s. {error}"
        holder = error.holder or "another process"
        return f"Standing by: {holder} is at work; this one takes over when it is gone."


def _in_vain(error: LockedError, timeout: float) -> LockedError:
    return LockedError(f"{error} Waited {timeout:g} s in vain.") if timeout else error
