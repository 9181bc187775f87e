"""Heartbeats of the lease for work outside the loop, which has its own."""

import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress

from batchspec.errors import BatchspecError
from batchspec.store.sqlite import StateStore

HEARTBEAT = 10.0
"""Seconds between two heartbeats."""


@contextmanager
def beating(store: StateStore) -> Generator[None]:
    """Show others that this process lives, from a thread of its own.

    A heartbeat that fails ends the thread and nothing else: if the lease is lost, or the disk is
    full, the next write says so.
    """
    ended = threading.Event()

    def beat() -> None:
        with suppress(BatchspecError):
            while not ended.wait(HEARTBEAT):
                store.renew()

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
