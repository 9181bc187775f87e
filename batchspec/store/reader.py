"""Reading the state: what views and the planner see. It cannot write and is never blocked."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import islice
from math import inf
from pathlib import Path
from typing import Any, Self

from batchspec.errors import StateError
from batchspec.ids import BatchId, JobAddress, LaneId, RecordRef, RowKey
from batchspec.messages import Contract, Usage
from batchspec.state.hooks import HookRecord
from batchspec.state.missing import Missing
from batchspec.state.records import (
    BatchRecord,
    Lane,
    LaneRecord,
    LeaseRecord,
)
from batchspec.state.stored import DraftTotals, Fresh, Spent, StoredItem, StoredTurn
from batchspec.state.watching import Condition
from batchspec.store import wanted, watching
from batchspec.store.accounts import read_accounts
from batchspec.store.fresh import where_fresh
from batchspec.store.hooklooks import read_hooks
from batchspec.store.jobs import RecordedJobs
from batchspec.store.missing import find_missing
from batchspec.store.rows import ASKED, BATCH_COLUMNS, batch_record
from batchspec.store.schema import open_database
from batchspec.store.segments import SegmentReader
from batchspec.store.shown import KEPT, OTHERS, SHOWN, TOOK, read_spent
from batchspec.store.turns import read_latencies, read_turns
from batchspec.store.untidy import chores, untidy
from batchspec.store.watching import forgotten

_CHUNK = 1000

_ITEMS = f"""
SELECT i.id, i.key, i.row, c.phase,
  CASE WHEN {{kept}} THEN 'succeeded' ELSE c.outcome END,
  CASE WHEN c.id = wanted.id THEN c.reason ELSE wanted.reason END,
  CASE WHEN {{kept}} THEN c.kept ELSE c.reply END,
  CASE WHEN {{kept}} THEN c.kept_answer
    WHEN c.phase = 'final' AND c.outcome = 'succeeded' THEN c.answer END,
  {TOOK},
  (SELECT endpoint FROM lanes WHERE id = c.lane),
  c.id <> wanted.id OR {{kept}},
  CASE WHEN {{kept}} THEN c.kept_retries ELSE {ASKED} END
{SHOWN} {OTHERS}
WHERE {{chosen}} i.id > :after {{more}} GROUP BY i.id ORDER BY i.id LIMIT :limit
"""  # noqa: S608 - constants

_ALL = "i.job = :job AND"
# Found by their keys, however many items the job has: with the `+` SQLite does not go through all.
_KEYED = """
i.id IN (SELECT k.id FROM json_each(:keys) w CROSS JOIN items k
  ON k.job = :job AND k.key = w.value) AND +
"""
_KEYS = f"""
SELECT i.id, i.key FROM items i WHERE i.job = (SELECT id FROM jobs WHERE address = :job)
  AND i.id > :after AND NOT EXISTS (
    SELECT 1 FROM jobs j CROSS JOIN items o ON o.job = j.id AND o.key = i.key
    WHERE j.address IN (SELECT value FROM json_each(:others)))
ORDER BY i.id LIMIT {_CHUNK}
"""  # noqa: S608 - constants

_OUTSTANDING = """
SELECT j.address, COUNT(*), SUM(c.size), SUM(c.data)
FROM conversations c JOIN jobs j ON j.id = c.job
LEFT JOIN batches b ON b.number = c.batch
WHERE c.phase = 'pending' OR (c.phase = 'batched' AND b.phase = 'intended' AND b.create_at IS NULL)
GROUP BY j.id
"""

_OWNERS = """
SELECT j.address, i.key FROM conversations c JOIN items i ON i.conversation = c.id
JOIN jobs j ON j.id = i.job WHERE c.fingerprint BETWEEN ? AND ? ORDER BY i.id
"""

_LANES = """
SELECT id, provider, endpoint, model, hold_until, hold_reason, holds, hold_kind, max_bytes,
  proven, (SELECT COUNT(*) FROM conversations WHERE lane = lanes.id AND phase = 'pending'),
  (SELECT COUNT(*) FROM conversations WHERE lane = lanes.id AND phase = 'tools'),
  (SELECT COUNT(*) FROM conversations WHERE lane = lanes.id AND phase = 'pending'
    AND ready_at > 0 AND ready_at > :now),
  (SELECT MIN(ready_at) FROM conversations WHERE lane = lanes.id AND phase = 'pending'
    AND ready_at > 0 AND ready_at > :now),
  (SELECT size - data FROM conversations WHERE lane = lanes.id AND phase = 'pending'
    AND ready_at <= :now ORDER BY id LIMIT 1)
FROM lanes
"""


class StateReader(RecordedJobs):
    """Implements `ports.Reader` over a state folder.

    Args:
        directory: The folder of one environment, with `batchspec.db` and `artifacts/`.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / "batchspec.db"
        if not self.path.exists():
            raise StateError(f"There is no state at {self.path} yet. Run `batchspec plan` first.")
        self.db = open_database(self.path, read_only=True)
        self.bodies = SegmentReader(directory / "artifacts")

    @property
    def lineage(self) -> str:
        """Return the id of this state's history."""
        return str(self._value("SELECT value FROM meta WHERE key = 'lineage'"))

    def serial(self) -> int:
        """Return the counter of changes."""
        return int(self._value("SELECT value FROM meta WHERE key = 'serial'"))

    def _value(self, sql: str, *parameters: Any) -> Any:
        row = self.db.execute(sql, parameters).fetchone()
        return None if row is None else row[0]

    def lease(self) -> LeaseRecord | None:
        """Return who holds the lease, or None."""
        return read_lease(self.db)

    def jobs(self) -> Sequence[JobAddress]:
        """Return the jobs that have items or had them."""
        rows = self.db.execute("SELECT address FROM jobs ORDER BY address")
        return [JobAddress(address) for (address,) in rows]

    def outstanding(self) -> dict[JobAddress, DraftTotals]:
        """Return the requests that are agreed to and not sent, by job."""
        rows = self.db.execute(_OUTSTANDING)
        return {JobAddress(address): DraftTotals(*totals) for address, *totals in rows}

    def judged_by(self, job: JobAddress) -> bytes | None:
        """Return the policy a job's replies were judged by; None for a job without items."""
        policy: bytes | None = self._value("SELECT judged FROM jobs WHERE address = ?", job)
        return policy

    def protected(self) -> dict[JobAddress, bool]:
        """Tell of every job on record whether it was protected when it was last agreed to."""
        rows = self.db.execute("SELECT address, protect FROM jobs WHERE NOT removed")
        return {JobAddress(address): bool(protect) for address, protect in rows}

    def agreed_to(self, plan: str) -> bool:
        """Tell whether a plan was applied."""
        return self._value("SELECT 1 FROM plans WHERE id = ?", plan) is not None

    def standing(self) -> dict[JobAddress, tuple[bytes, bytes]]:
        """Return the contract's fingerprint and the policy every job was last agreed to with."""
        return watching.standing_jobs(self.db)

    def conditions(self) -> Sequence[Condition]:
        """Return what a watcher says of the project and of its jobs."""
        return watching.read_conditions(self.db)

    def hooks(self) -> Sequence[HookRecord]:
        """Return how far every hook is."""
        return read_hooks(self.db)

    def batches(self, *, open_only: bool = False) -> Sequence[BatchRecord]:
        """Return batches in the order of their intents."""
        where = "WHERE phase IN ('intended', 'submitted', 'ended')" if open_only else ""
        rows = self.db.execute(f"SELECT {BATCH_COLUMNS} FROM batches {where} ORDER BY number")  # noqa: S608 - constants
        return [batch_record(row) for row in rows]

    def accounts(self) -> dict[str, str]:
        """Return the account each provider is bound to."""
        return read_accounts(self.db)

    def untidy(self, limit: int) -> Sequence[BatchRecord]:
        """Return batches that are done with and whose input file is still to be deleted."""
        return untidy(self.db, limit)

    def chores(self) -> int:
        """Count open batches, and files at the provider that are to be deleted."""
        return chores(self.db)

    def unwanted(self) -> dict[BatchId, tuple[int, int]]:
        """Return (members, members some row wants) of open batches that have others."""
        return wanted.unwanted(self.db)

    def lane(self, lane: LaneId) -> Lane:
        """Return one lane."""
        return read_lane(self.db, lane)

    def lanes(self, now: float = inf) -> Sequence[LaneRecord]:
        """Return every lane with what waits in it; without a time, all of it counts as ready."""
        return read_lanes(self.db, now)

    def missing(self) -> Sequence[Missing]:
        """Return what jobs made of answers lack, those that lack something."""
        return find_missing(self.db, self.bodies.get)

    def contract(self, contract: int) -> Contract:
        """Return what all requests of a contract share."""
        return read_contract(self.db, contract)

    def spent(self) -> Decimal | None:
        """Return US dollars paid so far, also for answers that are deleted.

        None where the price of a reply is unknown.
        """
        total, unknown = self.db.execute(
            "SELECT SUM(cost), SUM(cost IS NULL) FROM conversations"
        ).fetchone()
        return None if unknown else Decimal(str(total or 0)) + forgotten(self.db)

    def items(
        self,
        job: JobAddress,
        *,
        failed: bool = False,
        keys: Sequence[RowKey] | None = None,
    ) -> Iterator[StoredItem]:
        """Yield the items of a job, or those of a few keys, in the order they were first seen in.

        Reads in chunks, each a consistent look, so that a slow consumer holds no old snapshot.
        """
        number = self._value("SELECT id FROM jobs WHERE address = ?", job)
        if number is None:
            return
        chosen = _ALL if keys is None else _KEYED
        more = "AND c.phase = 'final' AND c.outcome <> 'succeeded'" if failed else ""
        older, kept = (0, "0") if failed else (1, KEPT)
        sql = _ITEMS.format(chosen=chosen, more=more, older=older, kept=kept)
        values = {"job": number, "after": 0, "limit": _CHUNK, "keys": json.dumps(keys)}
        while True:
            rows = self.db.execute(sql, values).fetchall()
            yield from self._items(rows)
            if len(rows) < _CHUNK:
                return
            values["after"] = rows[-1][0]

    def keys(self, jobs: Sequence[JobAddress]) -> Iterator[RowKey]:
        """Yield the keys that items of some jobs have, each once, about as they were first seen."""
        for n, job in enumerate(jobs):
            values: dict[str, Any] = {"job": job, "others": json.dumps(jobs[:n]), "after": 0}
            while rows := self.db.execute(_KEYS, values).fetchall():
                yield from (RowKey(key) for _, key in rows)
                values["after"] = rows[-1][0]

    def latencies(self, job: JobAddress) -> dict[float, int]:
        """Count the final items of a job by the seconds that the batches of their turns took."""
        return read_latencies(self.db, job)

    def spent_on(self, job: JobAddress) -> Spent:
        """Return what the answers shown of a job took, those that rows share counted once."""
        return read_spent(self.db, job)

    def fresh_items(self, job: JobAddress, fresh: Fresh) -> Iterator[StoredItem]:
        """Yield the items of a job whose own requests are answered, as far as that is news.

        One look at all of them, for a writer that has the state to itself.
        """
        number = self._value("SELECT id FROM jobs WHERE address = ?", job)
        more, values = where_fresh(self.db, fresh)
        values |= {"after": 0, "limit": -1, "job": number}
        sql = _ITEMS.format(chosen=_ALL, more=more, older=0, kept="0")
        cursor = self.db.execute(sql, values)
        while rows := cursor.fetchmany(_CHUNK):
            yield from self._items(rows)

    def _items(self, rows: list[Any]) -> Iterator[StoredItem]:
        get = self.bodies.get
        texts = self._in_order(row[7] for row in rows)
        lines = self._in_order(row[6] for row in rows if row[7] is None)
        for row in rows:
            text = texts.get(row[7])
            yield StoredItem(
                row[1],
                get(row[2]).partition(b"\t")[2],
                row[3],
                row[4],
                row[5],
                text,
                None if text is not None or row[6] is None else lines[row[6]],
                row[8],
                Usage(row[9], row[10], row[11], row[12]),
                row[13],
                row[14],
                bool(row[15]),
                row[16],
            )

    def _in_order(self, refs: Iterable[RecordRef | None]) -> dict[RecordRef, bytes]:
        """Read bodies in the order of the disk, so that each frame is opened once."""
        get = self.bodies.get
        return {ref: get(ref) for ref in sorted({ref for ref in refs if ref is not None})}

    def turns(self, job: JobAddress, key: RowKey) -> Sequence[StoredTurn]:
        """Return every request of an item with what came back, in order."""
        return read_turns(self.db, self.bodies.get, job, key)

    def owners(self, fingerprint: bytes) -> Sequence[tuple[JobAddress, RowKey]]:
        """Return the items whose request's fingerprint begins with some bytes."""
        rows = self.db.execute(_OWNERS, (fingerprint, fingerprint + b"\xff" * 32))
        return [(JobAddress(job), RowKey(key)) for job, key in rows]

    def journal(self, *, last: int | None = None) -> Sequence[tuple[int, float, str, str]]:
        """Return (seq, time, kind, JSON) of the newest events, oldest first."""
        rows = self.db.execute(
            "SELECT seq, at, kind, payload FROM journal ORDER BY seq DESC LIMIT ?", (last or -1,)
        )
        return list(reversed(list(islice(rows, last))))

    def close(self) -> None:
        """Close the file and the artifacts."""
        self.bodies.close()
        self.db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def read_lease(db: sqlite3.Connection) -> LeaseRecord | None:
    """Return who holds the lease, or None."""
    names = tuple(LeaseRecord.__dataclass_fields__)
    row = db.execute(f"SELECT {', '.join(names)} FROM lease").fetchone()  # noqa: S608 - our names
    return None if row[0] is None else LeaseRecord(**dict(zip(names, row, strict=True)))


def read_lane(db: sqlite3.Connection, lane: LaneId) -> Lane:
    """Return one lane."""
    row = db.execute(
        "SELECT id, provider, endpoint, model FROM lanes WHERE id = ?", (lane,)
    ).fetchone()
    return Lane(LaneId(row[0]), row[1], row[2], row[3])


def read_lanes(db: sqlite3.Connection, now: float = inf) -> tuple[LaneRecord, ...]:
    """Return every lane with what waits in it at a time."""
    rows = db.execute(_LANES, {"now": now})
    return tuple(
        LaneRecord(
            Lane(LaneId(number), provider, endpoint, model),
            pending=pending - later,
            tools=tools,
            hold_until=until,
            hold_reason=reason,
            holds=holds,
            hold_kind=kind,
            max_bytes=max_bytes,
            head=head or 0,
            later=later,
            ready_at=ready_at,
            proven=bool(proven),
        )
        for (
            number, provider, endpoint, model, until, reason, holds, kind, max_bytes,
            proven, pending, tools, later, ready_at, head,
        ) in rows
    )  # fmt: skip


def read_contract(db: sqlite3.Connection, contract: int) -> Contract:
    """Return what all requests of a contract share."""
    body = db.execute("SELECT body FROM contracts WHERE id = ?", (contract,)).fetchone()[0]
    return Contract.from_json(json.loads(body))
