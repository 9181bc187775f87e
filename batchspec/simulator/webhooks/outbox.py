"""Endpoints and deliveries in the server's database."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from hashlib import blake2b
from sqlite3 import Connection

from pydantic import TypeAdapter
from pydantic_core import to_json

from batchspec.simulator.faults.tally import Tally
from batchspec.simulator.jobs.database import Database, Write
from batchspec.simulator.jobs.records import BatchRecord
from batchspec.simulator.webhooks.records import (
    EVENT_TYPES,
    Delivery,
    EndpointRecord,
    Oddity,
    event,
    mint_delivery_id,
)

_TABLES = (
    """
CREATE TABLE IF NOT EXISTS webhook_endpoints (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  document TEXT NOT NULL
)""",
    """
CREATE TABLE IF NOT EXISTS webhook_deliveries (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  endpoint TEXT NOT NULL,
  state TEXT NOT NULL,
  due_at REAL NOT NULL,
  held INTEGER NOT NULL,
  document TEXT NOT NULL
)""",
    """
CREATE INDEX IF NOT EXISTS webhook_deliveries_due ON webhook_deliveries (due_at, held, seq)
  WHERE state = 'waiting'
""",
)
_NEXT = """
SELECT d.seq, d.document, e.document
FROM webhook_deliveries d JOIN webhook_endpoints e ON e.id = d.endpoint
WHERE d.state = 'waiting' AND e.id NOT IN (SELECT value FROM json_each(?))
ORDER BY d.due_at, d.held, d.seq LIMIT 1
"""
_PRUNE = """
DELETE FROM webhook_deliveries WHERE state != 'waiting' AND seq <= (
  SELECT seq FROM webhook_deliveries WHERE state != 'waiting' ORDER BY seq DESC LIMIT 1 OFFSET ?
)
"""
KEPT = 1_000
"""How many deliveries are remembered after their end."""

_endpoints = TypeAdapter(EndpointRecord)
_deliveries = TypeAdapter(Delivery)
Draw = Callable[[str, Tally], Oddity]
"""Says what goes wrong with an event of a type; the draw is stored with the event."""


class Outbox:
    """Safe to call from any thread; every call is short.

    Events are written in the transaction of what they tell, so that none is lost or made up when
    the process is killed.
    """

    def __init__(self, database: Database, draw: Draw) -> None:
        self._database = database
        self._draw = draw
        with database.transaction() as connection:
            for table in _TABLES:
                connection.execute(table)

    # --- endpoints

    def endpoint(self, endpoint_id: str) -> EndpointRecord | None:
        sql = "SELECT document FROM webhook_endpoints WHERE id = ?"
        rows = self._database.rows(sql, (endpoint_id,))
        return _endpoints.validate_json(rows[0][0]) if rows else None

    def list_endpoints(self, *, after: str | None, limit: int) -> list[EndpointRecord] | None:
        """One page, newest first; nothing when the cursor is unknown."""
        place = self._database.rows("SELECT seq FROM webhook_endpoints WHERE id = ?", (after,))
        if after is not None and not place:
            return None
        sql = (
            "SELECT document FROM webhook_endpoints WHERE ?1 IS NULL OR seq < ?1 "
            "ORDER BY seq DESC LIMIT ?2"
        )
        rows = self._database.rows(sql, (place[0][0] if place else None, limit))
        return [_endpoints.validate_json(row[0]) for row in rows]

    def put_endpoint(self, record: EndpointRecord) -> None:
        """Store a new endpoint, or what has become of one."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO webhook_endpoints (id, document) VALUES (?, ?) "
                "ON CONFLICT (id) DO UPDATE SET document = excluded.document",
                (record.id, _endpoints.dump_json(record).decode()),
            )

    def configure(self, webhooks: Mapping[str, str], now: float) -> dict[str, str]:
        """Have the endpoints that this start of a server was given, and no longer earlier ones.

        Args:
            webhooks: Secrets by URL; they are not stored.
            now: Unix seconds.

        Returns:
            The secrets by endpoint id.
        """
        secrets = {_id_of(url): secret for url, secret in webhooks.items()}
        for record in self.list_endpoints(after=None, limit=-1) or []:
            if record.secret is None and record.id not in secrets:
                self.delete_endpoint(record.id)
        for url in webhooks:
            record = EndpointRecord(
                id=_id_of(url),
                name="given to the server",
                url=url,
                event_types=EVENT_TYPES[:4],
                created_at=now,
                updated_at=now,
            )
            self.put_endpoint(record)
        return secrets

    def delete_endpoint(self, endpoint_id: str) -> bool:
        """Forget an endpoint and what is on its way to it; false if there is none."""
        with self._database.transaction() as connection:
            cursor = connection.execute(
                "DELETE FROM webhook_endpoints WHERE id = ?", (endpoint_id,)
            )
            connection.execute(
                "DELETE FROM webhook_deliveries WHERE endpoint = ? AND state = 'waiting'",
                (endpoint_id,),
            )
        return cursor.rowcount == 1

    # --- deliveries

    def post(self, old: BatchRecord, new: BatchRecord) -> Write:
        """Return what writes whatever is to be told of a change, within its transaction."""
        if not new.terminal or old.terminal:
            return _nothing
        at: float = getattr(new, f"{new.status}_at")
        kind = f"batch.{new.status}"
        body = to_json(event(kind, new.id, at)).decode()
        tally = Tally()
        deliveries = [
            _delivery(endpoint.id, kind, body, at, self._draw(kind, tally))
            for endpoint in reversed(self.list_endpoints(after=None, limit=-1) or [])
            if kind in endpoint.event_types
        ]

        def write(connection: Connection) -> None:
            for delivery in deliveries:
                if not delivery.oddity.held:
                    _release(connection, delivery.endpoint_id, delivery.due_at)
                _insert(connection, [delivery] * delivery.oddity.copies)
            connection.execute(_PRUNE, (KEPT,))
            tally.write(connection)

        return write

    def next(self, busy: Collection[str]) -> tuple[int, Delivery, EndpointRecord] | None:
        """Return the number of what is to be sent first, its record, and where it goes.

        Args:
            busy: Endpoints that get something just now.
        """
        rows = self._database.rows(_NEXT, (to_json(sorted(busy)).decode(),))
        if not rows:
            return None
        number, delivery, endpoint = rows[0]
        return number, _deliveries.validate_json(delivery), _endpoints.validate_json(endpoint)

    def settle(self, number: int, delivery: Delivery) -> None:
        """Store what became of an attempt; what was deleted meanwhile stays so."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE webhook_deliveries SET state = ?, due_at = ?, document = ? WHERE seq = ?",
                (
                    delivery.state,
                    delivery.due_at,
                    _deliveries.dump_json(delivery).decode(),
                    number,
                ),
            )

    def last(self, limit: int) -> list[Delivery]:
        """Return deliveries, newest first."""
        sql = "SELECT document FROM webhook_deliveries ORDER BY seq DESC LIMIT ?"
        return [_deliveries.validate_json(row[0]) for row in self._database.rows(sql, (limit,))]

    def count(self) -> dict[str, int]:
        """How many deliveries there are by state."""
        sql = "SELECT state, count(*) FROM webhook_deliveries GROUP BY state ORDER BY state"
        return dict(self._database.rows(sql))


def _nothing(_: Connection) -> None:
    pass


def _delivery(endpoint_id: str, kind: str, body: str, at: float, oddity: Oddity) -> Delivery:
    return Delivery(
        id=mint_delivery_id(),
        endpoint_id=endpoint_id,
        type=kind,
        body=body,
        happened_at=at,
        due_at=at + oddity.late,
        oddity=oddity,
        state="lost" if oddity.lost else "waiting",
    )


def _id_of(url: str) -> str:
    # The same at every start, so that what was on its way still arrives.
    return "whe_" + blake2b(url.encode(), digest_size=16).hexdigest()


def _insert(connection: Connection, deliveries: Iterable[Delivery]) -> None:
    connection.executemany(
        "INSERT INTO webhook_deliveries (endpoint, state, due_at, held, document) "
        "VALUES (?, ?, ?, ?, ?)",
        [
            (
                delivery.endpoint_id,
                delivery.state,
                delivery.due_at,
                delivery.oddity.held,
                _deliveries.dump_json(delivery).decode(),
            )
            for delivery in deliveries
        ],
    )


def _release(connection: Connection, endpoint_id: str, due_at: float) -> None:
    """Let what was held back be sent with, and after, a newer event."""
    rows = connection.execute(
        "SELECT seq, document FROM webhook_deliveries "
        "WHERE endpoint = ? AND held AND state = 'waiting' AND due_at > ?",
        (endpoint_id, due_at),
    ).fetchall()
    for number, document in rows:
        released = replace(_deliveries.validate_json(document), due_at=due_at)
        connection.execute(
            "UPDATE webhook_deliveries SET due_at = ?, document = ? WHERE seq = ?",
            (due_at, _deliveries.dump_json(released).decode(), number),
        )
