"""The lock on the state, for people: whose it is, and taking it away."""

from batchspec.errors import UsageError
from batchspec.state.records import LeaseRecord
from batchspec.store.reader import StateReader

SHORTEST = 8
"""Characters of a lock's id that are enough to name it."""


def find_lock(reader: StateReader, lock: str) -> LeaseRecord | None:
    """Return who holds the lock with an id, or None where nobody holds any.

    Raises:
        UsageError: The lock has another id.
    """
    held = reader.lease()
    if held is None:
        return None
    if len(lock) < SHORTEST or not held.holder.startswith(lock):
        raise UsageError(
            f"The lock on the state is {held.holder}, not {lock!r}; at least its first {SHORTEST} "
            "characters are needed, so that no other process is stopped by mistake."
        )
    return held
