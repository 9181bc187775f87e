"""One writer at a time: a lease row with a heartbeat and a fencing number.

The holder renews its heartbeat. On the holder's own machine its lease may be taken over when its
process is dead, and only then; elsewhere, where nobody can tell, after `TTL` silent seconds. Each
takeover raises the fencing number, which every write transaction checks, so that a holder that
wakes up late fails its write instead of overwriting.
"""

import os
import socket
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from batchspec.errors import LockedError
from batchspec.state.records import LeaseRecord
from batchspec.store.reader import read_lease

_PROC = Path("/proc")
TTL = 60.0
"""Seconds without a heartbeat after which a holder on another machine counts as gone."""
_BUSY_MS, _WRITING_MS = 2_000, 30_000
"""How long to wait for the file itself: to take the lease, and later to write."""


@dataclass(frozen=True, slots=True)
class Watcher:
    """The process that runs the holder of a lease as its engine.

    Attributes:
        pid: Its number, which people signal.
        since: When it began to watch, unix seconds.
    """

    pid: int
    since: float


def acquire(
    db: sqlite3.Connection,
    holder: str,
    operation: str,
    now: float,
    watcher: Watcher | None = None,
) -> int:
    """Take the lease and return its fencing number.

    Args:
        db: The writer's connection, outside a transaction.
        holder: An id minted by the caller; acquiring again with it succeeds.
        operation: What for, as people read it (`apply`).
        now: Unix seconds.
        watcher: Whose engine takes it, if it is one.

    Raises:
        LockedError: Somebody else holds it; the message says who, where and since when.
    """
    _begin(db, now)
    try:
        held = read_lease(db)
        if held is not None and held.holder != holder and not gone(held, now):
            raise LockedError(describe(held, now), who(held, now))  # noqa: TRY301 - inside the transaction
        db.execute(
            "UPDATE lease SET holder = ?, host = ?, pid = ?, operation = ?, since = ?, "
            "heartbeat = ?, watcher = ?, watching_since = ?, fence = fence + 1",
            (
                *(holder, identity(os.getpid()), os.getpid(), operation, now, now),
                *((watcher.pid, watcher.since) if watcher else (None, None)),
            ),
        )
        fence: int = db.execute("SELECT fence FROM lease").fetchone()[0]
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # a full disk has ended the transaction already
            db.execute("ROLLBACK")
        raise
    return fence


def _begin(db: sqlite3.Connection, now: float) -> None:
    """Begin to write; who holds the file for long is told like who holds the lease."""
    db.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    try:
        db.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        # The lower byte is the kind, the rest its circumstances.
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        held = read_lease(db)
        if held is None:
            raise LockedError("Another process is writing to the state.") from error
        raise LockedError(describe(held, now), who(held, now)) from error
    finally:
        db.execute(f"PRAGMA busy_timeout = {_WRITING_MS}")


def take_away(db: sqlite3.Connection, holder: str) -> None:
    """Take the lease from its holder inside a transaction: its next write fails.

    Raises:
        LockedError: Somebody else holds it by now.
    """
    changed = db.execute(
        "UPDATE lease SET holder = NULL, fence = fence + 1 WHERE holder = ?", (holder,)
    ).rowcount
    if changed != 1:
        raise LockedError("The lease has changed hands meanwhile; nothing was taken away.")


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


def identity(pid: int) -> str:
    """Return `host` with what tells a process from a later one of the same pid, where known."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
        # After the name in brackets, which may hold anything: the state, 19 fields on the start.
        fields = (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return host()
    if fields[0] == b"Z":  # dead, but its parent did not look yet
        return host()
    started = fields[19].decode()
    return f"{host()}/{boot}-{started}"


def describe(held: LeaseRecord, now: float) -> str:
    """Say who holds the lease, and what can be done, for people."""
    if held.operation == "watch":
        return (
            f"The state is locked by {who(held, now)}. It watches until it is told to stop: "
            f"`kill {held.leader}` there lets it end what runs, and it goes on when it is started "
            f"again. If it hangs: `batchspec unlock {held.holder}`."
        )
    return (
        f"The state is locked by {who(held, now)}. Wait for it (`--lock-timeout 5m`) or stop it; "
        f"if it died on another machine, the lock is free after {TTL:.0f} s. If it hangs: "
        f"`batchspec unlock {held.holder}`."
    )


def who(held: LeaseRecord, now: float) -> str:
    """Name the process that holds the lease."""
    since = datetime.fromtimestamp(held.begun, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return (
        f"`{held.operation}` of process {held.leader} on {held.machine}, since {since}, last heard "
        f"of {max(0, now - held.heartbeat):.0f} s ago (lock {held.holder})"
    )


def lost(db: sqlite3.Connection, now: float) -> str:
    """Say that the lease is gone, and who has it."""
    held = read_lease(db)
    told = "" if held is None else " " + describe(held, now)
    return f"This process lost its lease on the state and stopped before writing.{told}"


def gone(held: LeaseRecord, now: float) -> bool:
    """Tell whether the lock is free: the holder is dead, or silent on another machine."""
    if held.host == host():
        return not alive(held.pid)
    if held.host.startswith(f"{host()}/") and not _hidden(held.pid):
        return identity(held.pid) != held.host
    return now - held.heartbeat > TTL


def _hidden(pid: int) -> bool:
    """Tell whether a process lives of which nothing can be known, as other users' may be hidden."""
    return alive(pid) and not (_PROC / str(pid)).exists()


def watched(held: LeaseRecord | None, now: float) -> bool:
    """Tell whether somebody watches: also between an engine that died and the next one."""
    if held is None or held.operation != "watch":
        return False
    if not gone(held, now):
        return True
    return held.machine == host() and held.watcher is not None and alive(held.watcher)


def alive(pid: int) -> bool:
    """Tell whether a process of this machine lives."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
