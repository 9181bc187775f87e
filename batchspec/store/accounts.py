"""Which account each provider is bound to: its open batches are there, and nowhere else."""

import sqlite3

from batchspec.state.events import AccountBound

BOUND = "(SELECT a.account FROM accounts a JOIN lanes l ON l.provider = a.provider WHERE l.id = ?2)"
"""SQL for the account of a lane whose id is the second parameter."""


def read_accounts(db: sqlite3.Connection) -> dict[str, str]:
    """Return the account each provider is bound to."""
    return dict(db.execute("SELECT provider, account FROM accounts"))


def bind(db: sqlite3.Connection, event: AccountBound) -> None:
    """Bind a provider to an account, with what is open there, inside a transaction."""
    db.execute(
        "INSERT INTO accounts VALUES (?, ?, ?) ON CONFLICT (provider) DO UPDATE SET "
        "account = excluded.account, since = excluded.since",
        (event.provider, event.account, event.at),
    )
    db.execute(
        "UPDATE batches SET account = ? WHERE phase IN ('intended', 'submitted', 'ended') AND "
        "lane IN (SELECT id FROM lanes WHERE provider = ?)",
        (event.account, event.provider),
    )
