"""Heartbeats of the lease for work outside the loop, which has its own."""

import threading
from collections.abc import Generator
from contextlib import contextmanager

from batchspec.errors import BatchspecError, LockedError
from batchspec.store.sqlite import StateStore

HEARTBEAT = 10.0
"""Seconds between two heartbeats."""


@contextmanager
def beating(store: StateStore) -> Generator[threading.Event]:
    """Show others that this process lives, from a thread of its own.

    Gives what is set when somebody took the lease away; the next write says so as well. A heartbeat
    that fails for another reason, as on a full disk, is followed by the next one.
    """
    ended, lost = threading.Event(), threading.Event()

    def beat() -> None:
        while not lost.is_set() and not ended.wait(HEARTBEAT):
            try:
                store.renew()
            except LockedError:
                lost.set()
            except BatchspecError:
                continue

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield lost
    finally:
        ended.set()
        thread.join()
