"""Where rules and counters are kept: in the server's database."""

from collections.abc import Callable
from sqlite3 import Connection
from typing import NamedTuple

from batchspec.simulator.jobs.database import Database

_TABLES = """
CREATE TABLE IF NOT EXISTS fault_rules (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  document TEXT NOT NULL,
  running INTEGER NOT NULL,
  added_at REAL NOT NULL
)""", """
CREATE TABLE IF NOT EXISTS fault_counts (
  rule TEXT NOT NULL,
  key TEXT NOT NULL,
  seen INTEGER NOT NULL,
  hit INTEGER NOT NULL,
  PRIMARY KEY (rule, key)
) WITHOUT ROWID""", """
CREATE TABLE IF NOT EXISTS reads (
  id TEXT NOT NULL,
  status TEXT NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (id, status)
) WITHOUT ROWID"""  # fmt: skip
_READ = """
INSERT INTO reads (id, status, count) VALUES (?, ?, 1)
ON CONFLICT (id, status) DO UPDATE SET count = count + 1 RETURNING count
"""


class StoredRule(NamedTuple):
    """A rule as it is kept; `document` is JSON, `added_at` unix seconds."""

    id: str
    document: str
    running: bool
    added_at: float


class Ledger:
    """Implements keeping on top of a server's database; safe to call from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.transaction() as connection:
            for table in _TABLES:
                connection.execute(table)

    def rules(self) -> list[StoredRule]:
        """Return all rules, oldest first."""
        sql = "SELECT id, document, running, added_at FROM fault_rules ORDER BY seq"
        with self._database.transaction() as connection:
            found = connection.execute(sql).fetchall()
        return [StoredRule(id_, document, bool(run), at) for id_, document, run, at in found]

    def counts(self) -> list[tuple[str, str, int, int]]:
        """Return rule, key, seen and hit of all counters."""
        with self._database.transaction() as connection:
            return connection.execute("SELECT rule, key, seen, hit FROM fault_counts").fetchall()

    def put(self, rule: StoredRule) -> None:
        """Keep a rule, in the place of one with its id, with counters at zero."""
        with self._database.transaction() as connection:
            _delete(connection, rule.id)
            connection.execute(
                "INSERT INTO fault_rules (id, document, running, added_at) VALUES (?, ?, ?, ?)",
                rule,
            )

    def delete(self, rule: str) -> None:
        """Forget a rule and its counters."""
        with self._database.transaction() as connection:
            _delete(connection, rule)

    def write(self, change: Callable[[Connection], None]) -> None:
        """Commit a change that stands by itself."""
        with self._database.transaction() as connection:
            change(connection)

    def read(self, id_: str, status: str) -> int:
        """Count one more look at an object in a status, and return the number of looks."""
        with self._database.transaction() as connection:
            (count,) = connection.execute(_READ, (id_, status)).fetchone()
        return int(count)


def _delete(connection: Connection, rule: str) -> None:
    connection.execute("DELETE FROM fault_rules WHERE id = ?", (rule,))
    connection.execute("DELETE FROM fault_counts WHERE rule = ?", (rule,))
