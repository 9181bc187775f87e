"""Conditions, and what a watcher may spend, as rows of the state."""

import json
import sqlite3
from collections.abc import Sequence
from decimal import Decimal

from batchspec.ids import JobAddress
from batchspec.state.stored import DraftTotals
from batchspec.state.watching import (
    Account,
    Condition,
    ConditionChanged,
    PlanGranted,
    RowsAwaited,
    WatchBegan,
    WatchEvent,
)

_BEGAN = "watch_began"
_AGREED = "agreed"
_TIDIED = "watch_tidied"
_FORGOTTEN = "forgotten_cost"
_SET = """
INSERT INTO conditions (job, type, status, reason, message, since) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (job, type) DO UPDATE SET
  since = CASE WHEN status = excluded.status THEN since ELSE excluded.since END,
  status = excluded.status, reason = excluded.reason, message = excluded.message
"""


def record(db: sqlite3.Connection, event: WatchEvent) -> None:
    """Change the rows of an event, inside a transaction."""
    match event:
        case ConditionChanged():
            values = event.type, event.status, event.reason, event.message, event.at
            db.execute(_SET, (event.job or "", *values))
        case WatchBegan():
            said = json.dumps({"spent": event.spent, "at": event.at})
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_BEGAN, said))
        case RowsAwaited():
            rows = [(job, *map(bytes.fromhex, agreed)) for job, agreed in event.jobs.items()]
            db.executemany("INSERT OR REPLACE INTO awaited VALUES (?, ?, ?)", rows)
        case PlanGranted():
            pass


def read_conditions(db: sqlite3.Connection) -> Sequence[Condition]:
    """Return the conditions of the whole project, and those of jobs that are not gone."""
    rows = db.execute(
        "SELECT job, type, status, reason, message, since FROM conditions c WHERE job = '' "
        "OR EXISTS (SELECT 1 FROM jobs j WHERE j.address = c.job AND NOT j.removed) "
        "ORDER BY job, rowid"
    )
    return [
        Condition(
            job=JobAddress(job) if job else None,
            type=kind,
            status=status,
            reason=reason,
            message=message,
            since=since,
        )
        for job, kind, status, reason, message, since in rows
    ]


def spent_before(db: sqlite3.Connection) -> Decimal | None:
    """Return US dollars that were paid before watching began; None: nobody watched yet."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (_BEGAN,)).fetchone()
    return None if row is None else Decimal(json.loads(row[0])["spent"])


def tidied_at(db: sqlite3.Connection) -> float | None:
    """Return when a watcher deleted what nothing needs; None: none did yet."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (_TIDIED,)).fetchone()
    return None if row is None else float(row[0])


def note_tidied(db: sqlite3.Connection, at: float) -> None:
    """Note that a watcher deleted what nothing needs, inside a transaction."""
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_TIDIED, at))


def granted_since(
    db: sqlite3.Connection, moment: float, by: str = "%"
) -> Sequence[tuple[float, Decimal]]:
    """Return when plans were agreed to since a moment, and what each may cost.

    Args:
        db: The state.
        moment: In unix seconds; itself counts.
        by: Who agreed, `watch` or `person`; by default anybody.
    """
    rows = db.execute(
        "SELECT at, json_extract(payload, '$.at_most') FROM journal WHERE kind = 'PlanGranted' "
        "AND at >= ? AND json_extract(payload, '$.by') LIKE ? ORDER BY seq",
        (moment, by),
    )
    return [(at, Decimal(cost or 0)) for at, cost in rows]


def granted_at(db: sqlite3.Connection, plan: str) -> float | None:
    """Return when a plan was agreed to, by the beginning of its id; None: it was not."""
    row = db.execute(
        "SELECT at FROM journal WHERE kind = 'PlanGranted' "
        "AND substr(json_extract(payload, '$.plan'), 1, length(?1)) = ?1 ORDER BY seq DESC LIMIT 1",
        (plan,),
    ).fetchone()
    return None if row is None else float(row[0])


def forgotten(db: sqlite3.Connection) -> Decimal:
    """Return US dollars that were paid for answers that are deleted."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (_FORGOTTEN,)).fetchone()
    return Decimal(0) if row is None else Decimal(row[0])


def note_forgotten(db: sqlite3.Connection, cost: Decimal) -> None:
    """Note what answers cost that are deleted, in US dollars, inside a transaction."""
    total = str(forgotten(db) + cost)
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_FORGOTTEN, total))


def paid(db: sqlite3.Connection) -> Decimal:
    """Return US dollars paid so far, also for answers that are deleted; an unknown price is 0."""
    (total,) = db.execute("SELECT SUM(cost) FROM conversations").fetchone()
    return Decimal(str(total or 0)) + forgotten(db)


def unanswered(db: sqlite3.Connection) -> dict[JobAddress, DraftTotals]:
    """Return the last requests of what is not final, by job."""
    rows = db.execute(
        "SELECT j.address, COUNT(*), SUM(c.size), SUM(c.data) FROM conversations c "
        "JOIN jobs j ON j.id = c.job WHERE c.phase <> 'final' GROUP BY j.id"
    )
    return {JobAddress(address): DraftTotals(*totals) for address, *totals in rows}


def read_account(db: sqlite3.Connection) -> Account | None:
    """Return what plans may cost that are not at their end; None: none was ever recorded."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (_AGREED,)).fetchone()
    if row is None:
        return None
    said = json.loads(row[0])
    return Account(at=said["at"], paid=Decimal(said["paid"]), allowed=Decimal(said["allowed"]))


def keep_account(db: sqlite3.Connection, account: Account) -> None:
    """Record what plans may cost, inside a transaction."""
    said = {"at": account.at, "paid": str(account.paid), "allowed": str(account.allowed)}
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_AGREED, json.dumps(said)))


def standing_jobs(db: sqlite3.Connection) -> dict[JobAddress, tuple[bytes, bytes]]:
    """Return the contract's fingerprint and the policy every job was last agreed to with."""
    rows = db.execute(
        "SELECT j.address, c.fingerprint, j.policy FROM jobs j "
        "JOIN contracts c ON c.id = j.contract WHERE NOT j.removed "
        "UNION ALL SELECT address, contract, policy FROM awaited"
    )
    return {JobAddress(job): (contract, policy) for job, contract, policy in rows}
