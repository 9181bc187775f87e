"""One writer at a time: a lease row with a heartbeat and a fencing number.

The holder renews its heartbeat; a lease whose holder is dead, or silent for `TTL` seconds, may be
taken over. Each takeover raises the fencing number, which every write transaction checks, so that a
holder that wakes up late fails its write instead of overwriting.
"""

import os
import socket
import sqlite3
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from batchspec.errors import LockedError
from batchspec.state.records import LeaseRecord
from batchspec.store.reader import read_lease

TTL = 60.0
"""Seconds without a heartbeat after which a holder counts as gone."""


def acquire(db: sqlite3.Connection, holder: str, operation: str, now: float) -> int:
    """Take the lease and return its fencing number.

    Args:
        db: The writer's connection, outside a transaction.
        holder: An id minted by the caller; acquiring again with it succeeds.
        operation: What for, as people read it (`apply`).
        now: Unix seconds.

    Raises:
        LockedError: Somebody else holds it; the message says who, where and since when.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        held = read_lease(db)
        if held is not None and held.holder != holder and not _gone(held, now):
            raise LockedError(describe(held, now))  # noqa: TRY301 - inside the transaction
        db.execute(
            "UPDATE lease SET holder = ?, host = ?, pid = ?, operation = ?, since = ?, "
            "heartbeat = ?, fence = fence + 1",
            (holder, host(), os.getpid(), operation, now, now),
        )
        fence: int = db.execute("SELECT fence FROM lease").fetchone()[0]
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # a full disk has ended the transaction already
            db.execute("ROLLBACK")
        raise
    return fence


def renew(db: sqlite3.Connection, fence: int, now: float) -> None:
    """Record a heartbeat; inside or outside a transaction.

    Raises:
        LockedError: The lease was taken over meanwhile.
    """
    if db.execute("UPDATE lease SET heartbeat = ? WHERE fence = ?", (now, fence)).rowcount != 1:
        raise LockedError(lost(db, now))


def check(db: sqlite3.Connection, fence: int, now: float) -> None:
    """Check the fencing number inside a transaction.

    Raises:
        LockedError: The lease was taken over meanwhile; the transaction must not commit.
    """
    if db.execute("SELECT fence FROM lease").fetchone()[0] != fence:
        raise LockedError(lost(db, now))


def release(db: sqlite3.Connection, fence: int) -> None:
    """Give the lease back, if it is still ours."""
    db.execute("UPDATE lease SET holder = NULL WHERE fence = ?", (fence,))


def host() -> str:
    """Return a name of this machine and its process namespace, in which a pid means something."""
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]")
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}/{namespace}"


def describe(held: LeaseRecord, now: float) -> str:
    """Say who holds the lease, for people."""
    since = datetime.fromtimestamp(held.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return (
        f"The state is locked by `{held.operation}` of process {held.pid} on {held.host}, "
        f"since {since}, last heard of {max(0, now - held.heartbeat):.0f} s ago. "
        f"Wait for it, stop it, or wait {TTL:.0f} s after it died."
    )


def lost(db: sqlite3.Connection, now: float) -> str:
    """Say that the lease is gone, and who has it."""
    held = read_lease(db)
    who = "" if held is None else " " + describe(held, now)
    return f"This process lost its lease on the state and stopped before writing.{who}"


def _gone(held: LeaseRecord, now: float) -> bool:
    if now - held.heartbeat > TTL:
        return True
    return held.host == host() and not alive(held.pid)


def alive(pid: int) -> bool:
    """Tell whether a process of this machine lives."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
