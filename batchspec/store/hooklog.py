"""What hooks were told, and what they are to be told: positions, and deliveries that failed.

Items are read in the order of an index, from a position on. What lies before a serial at which
there was nothing is not looked at again by the same process, so that jobs that have hooks and
others that fill the state do not slow each other down.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from batchspec.ids import ItemId, JobAddress, RowKey
from batchspec.spec.hooks import HookKind
from batchspec.state.hooks import END, MOST_WAITING, Delivery, Position, Told
from batchspec.store.hooklooks import AFTER, NEWEST
from batchspec.store.leased import LeasedState

_OPEN = """
SELECT EXISTS (SELECT 1 FROM lanes l CROSS JOIN conversations c ON c.lane = l.id
    AND c.phase = 'pending' CROSS JOIN items i ON i.conversation = c.id WHERE +i.job = j.id)
  OR EXISTS (SELECT 1 FROM lanes l CROSS JOIN conversations c ON c.lane = l.id
    AND c.phase = 'tools' CROSS JOIN items i ON i.conversation = c.id WHERE +i.job = j.id)
  OR EXISTS (SELECT 1 FROM batches b CROSS JOIN conversations c ON c.batch = b.number
    AND c.phase = 'batched' CROSS JOIN items i ON i.conversation = c.id
    WHERE b.phase IN ('intended', 'submitted', 'ended') AND +i.job = j.id)
FROM jobs j WHERE j.address = ?
"""
_UNJUDGED = "SELECT policy <> judged FROM jobs WHERE address = ?"
_AGAIN = """
SELECT d.id, d.kind, d.item, d.settled, d.payload, d.attempts, i.key, c.id,
  d.item IS NOT NULL AND (c.id IS NULL OR c.phase <> 'final' OR c.settled <> d.settled)
FROM deliveries d LEFT JOIN items i ON i.id = d.item LEFT JOIN conversations c
  ON c.id = i.conversation
WHERE d.job = ? AND d.next_at <= ? ORDER BY d.next_at, d.id LIMIT ?
"""
_ADD = """
INSERT INTO deliveries (job, kind, item, settled, payload, attempts, next_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_LATER = "UPDATE deliveries SET attempts = attempts + 1, next_at = ? WHERE id = ?"
_MOVE = "UPDATE hooks SET settled = ?, conversation = ?, item = ? WHERE job = ? AND kind = ?"
_BEHIND = "SELECT 1 FROM hooks WHERE job = ? AND kind = ? AND settled < ?"
_WAITING = "SELECT COUNT(*) FROM deliveries WHERE job = ?"
_FAILED = """
UPDATE hooks SET given_up = given_up + ?, error = ?, error_at = ? WHERE job = ? AND kind = ?
"""


class RecordedHooks(LeasedState):
    """Implements `ports.HookLog`."""

    def begin_hooks(self, hooks: Mapping[JobAddress, Sequence[HookKind]]) -> None:
        """Let hooks that are new be told of what becomes final from now on."""
        wanted = {(job, kind) for job, kinds in hooks.items() for kind in kinds}
        rows = self.db.execute(
            "SELECT h.job, h.kind, COALESCE(j.removed, 0) FROM hooks h "
            "LEFT JOIN jobs j ON j.address = h.job"
        ).fetchall()
        known = {(JobAddress(job), kind) for job, kind, _ in rows}
        gone = {(job, kind) for job, kind, removed in rows if removed or job in hooks} - wanted
        if not gone and wanted <= known:
            return
        serial = _serial(self.db)
        with self.transaction() as db:
            for table in ("hooks", "deliveries"):
                db.executemany(f"DELETE FROM {table} WHERE job = ? AND kind = ?", gone)  # noqa: S608 - constants
            db.executemany(
                "INSERT INTO hooks (job, kind, settled, conversation, item) VALUES (?, ?, ?, ?, ?)",
                [(*name, *_before(serial)) for name in sorted(wanted - known)],
            )

    def hook_due(self, job: JobAddress, *, whole: bool) -> float | None:
        """Return when there is something to tell, unix seconds; None: there is nothing."""
        waiting, first = self.db.execute(
            "SELECT COUNT(*), MIN(next_at) FROM deliveries WHERE job = ?", (job,)
        ).fetchone()
        if waiting < MOST_WAITING and (
            next(self._items(job, 1), None) or (whole and self._final(job))
        ):
            return 0.0
        at: float | None = first
        return at

    def deliveries(
        self, job: JobAddress, now: float, limit: int, *, whole: bool
    ) -> Sequence[Delivery]:
        """Return what is to be told now: first what is tried again."""
        found = [_again(row) for row in self.db.execute(_AGAIN, (job, now, limit))]
        waiting = self.db.execute(_WAITING, (job,)).fetchone()[0]
        if waiting >= MOST_WAITING or len(found) >= limit:
            return found
        new = list(self._items(job, limit - len(found)))
        # A job is final after its items are.
        final = self._final(job) if whole and not new else None
        return [*found, *new, *([] if final is None else [final])]

    def record_told(self, job: JobAddress, told: Sequence[Told], now: float) -> None:
        """Record what came of deliveries."""
        with self.transaction() as db:
            # Only the last place counts: they are in order.
            moved = {one.delivery.kind: one.delivery.at for one in told if one.delivery.id is None}
            db.executemany(_MOVE, [(*at, job, kind) for kind, at in moved.items()])
            _go_on(db, job, told)
            failed = [one for one in told if one.error is not None]
            for kind, error in {one.delivery.kind: one.error for one in failed}.items():
                lost = sum(one.again is None for one in failed if one.delivery.kind == kind)
                db.execute(_FAILED, (lost, error, now, job, kind))

    def note_deliveries(self, payloads: Mapping[JobAddress, str], now: float) -> None:
        """Note errors that the hooks of some jobs are to be told."""
        with self.transaction() as db:
            serial = _serial(db)
            for job, payload in payloads.items():
                waiting = db.execute(_WAITING, (job,)).fetchone()[0]
                # Who is not told of so many errors need not be told of one more.
                if waiting < 2 * MOST_WAITING:
                    db.execute(_ADD, (job, "error", None, serial, payload, 0, now))

    def keep_looked(self) -> None:
        """Record up to where there is nothing to tell, so that no later process looks there."""
        ahead = [(*looked, *name, *looked[:1]) for name, looked in self._looked.items()]
        if ahead and any(self.db.execute(_BEHIND, row[3:]).fetchone() for row in ahead):
            with self.transaction() as db:
                db.executemany(f"{_MOVE} AND settled < ?", ahead)

    # --- looking

    def _position(self, job: JobAddress, kind: HookKind) -> Position | None:
        """Return up to where a hook was told, or there is nothing to tell; None: no such hook."""
        row = self.db.execute(
            "SELECT settled, conversation, item FROM hooks WHERE job = ? AND kind = ?", (job, kind)
        ).fetchone()
        looked = self._looked.get((job, kind))
        if row is None or looked is None:
            return None if row is None else Position(*row)
        return max(Position(*row), looked)

    def _items(self, job: JobAddress, limit: int) -> Iterator[Delivery]:
        """Yield items that are final after the position of a job's hook."""
        position = self._position(job, "item")
        if position is None:
            return
        serial, left = _serial(self.db), limit
        for sql in AFTER:
            rows = self.db.execute(sql, {**position._asdict(), "job": job, "limit": left})
            for settled, conversation, item, key in rows.fetchall():
                left -= 1
                at = Position(settled, conversation, item)
                yield Delivery("item", at, ItemId(item), RowKey(key))
            if not left:
                return
        if left == limit:
            self._looked[job, "item"] = Position(*_before(serial))

    def _final(self, job: JobAddress) -> Delivery | None:
        """Return that a job is final, if it is and its hook was not told."""
        position = self._position(job, "job")
        unjudged = self.db.execute(_UNJUDGED, (job,)).fetchone()
        if position is None or unjudged is None or unjudged[0]:
            return None
        serial = _serial(self.db)
        values = {"settled": position.settled, "job": job}
        newest = self.db.execute(NEWEST, values).fetchone()
        if newest is None:
            self._looked[job, "job"] = Position(*_before(serial))
            return None
        if self._unfinished.get(job) == newest[0]:
            return None
        if self.db.execute(_OPEN, (job,)).fetchone()[0]:
            self._unfinished[job] = newest[0]
            return None
        return Delivery("job", Position(newest[0], END, END))

    @property
    def _looked(self) -> dict[tuple[JobAddress, HookKind], Position]:
        found: dict[tuple[JobAddress, HookKind], Position] = self.__dict__.setdefault("looked", {})
        return found

    @property
    def _unfinished(self) -> dict[JobAddress, int]:
        found: dict[JobAddress, int] = self.__dict__.setdefault("unfinished_at", {})
        return found


def _serial(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT value FROM meta WHERE key = 'serial'").fetchone()
    return int(row[0])


def _before(serial: int) -> tuple[int, int, int]:
    """Return the position after all that was recorded before a serial."""
    return serial - 1, END, END


def _again(row: Any) -> Delivery:
    id_, kind, item, settled, payload, attempts, key, conversation, stale = row
    return Delivery(
        kind,
        Position(settled, conversation or 0, item or 0),
        None if item is None else ItemId(item),
        None if key is None else RowKey(key),
        payload,
        attempts,
        id_,
        bool(stale),
    )


def _go_on(db: sqlite3.Connection, job: JobAddress, told: Sequence[Told]) -> None:
    """Keep deliveries that are tried again, and forget those that are not."""
    again = [(one.delivery, one) for one in told if one.again is not None]
    db.executemany(
        _ADD,
        [
            (job, was.kind, was.item, was.at.settled, one.payload, 1, one.again)
            for was, one in again
            if was.id is None
        ],
    )
    db.executemany(_LATER, [(one.again, was.id) for was, one in again if was.id is not None])
    db.executemany(
        "DELETE FROM deliveries WHERE id = ?",
        [(one.delivery.id,) for one in told if one.again is None and one.delivery.id is not None],
    )
