"""Matching a foreign batch with the rows of a job, on disk: any number of rows, bounded memory.

The tables live in the scratch database of a draft; agreeing to the draft attaches it, so that the
rows and the batch are recorded in one transaction.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

from batchspec.errors import RefusedError, StateError
from batchspec.ids import (
    Fingerprint,
    JobAddress,
    LaneId,
    RecordRef,
    RowKey,
    custom_id,
    item_address,
)
from batchspec.plan.foreign import Asked
from batchspec.ports import PlannedRow
from batchspec.state.events import BatchImported
from batchspec.state.machine import conversation_phase
from batchspec.store.accounts import BOUND
from batchspec.store.draft import SqliteDraft
from batchspec.store.reader import StateReader
from batchspec.store.schema import explain

Match = Literal["auto", "custom-id", "request"]
Standing = Literal["open", "answered", "under_way"]
"""open: waits for an answer, or is new · answered: has one · under_way: in a batch or at tools."""

_SCHEMA = """
CREATE TABLE lines (
  number INTEGER PRIMARY KEY, custom_id TEXT NOT NULL UNIQUE, request BLOB, spoken BLOB, body BLOB
);
CREATE TABLE candidates (
  id INTEGER PRIMARY KEY, key TEXT, fingerprint BLOB NOT NULL, turn INTEGER NOT NULL,
  standing TEXT NOT NULL, own TEXT NOT NULL, address TEXT, request BLOB, spoken BLOB, body BLOB
);
CREATE TABLE matches (
  fingerprint BLOB NOT NULL, turn INTEGER NOT NULL, line INTEGER NOT NULL UNIQUE,
  standing TEXT NOT NULL, PRIMARY KEY (fingerprint, turn)
) WITHOUT ROWID;
"""
_INDEXES = """
CREATE INDEX lines_requests ON lines (request);
CREATE INDEX lines_spoken ON lines (spoken);
"""
_CANDIDATE_INDEXES = """
CREATE INDEX candidates_fingerprints ON candidates (fingerprint, turn);
CREATE INDEX candidates_own ON candidates (own);
CREATE INDEX candidates_keys ON candidates (key);
CREATE INDEX candidates_addresses ON candidates (address);
CREATE INDEX candidates_spoken ON candidates (spoken)
"""
_NAMED = "(own = l.custom_id OR key = l.custom_id OR address = l.custom_id)"
_CANDIDATE = """
INSERT INTO candidates (key, fingerprint, turn, standing, own, address, request, spoken, body)
SELECT :key, :fingerprint, :turn, :standing, :own, :address, :request, :spoken, :body
WHERE EXISTS (SELECT 1 FROM lines WHERE custom_id IN (:own, :key, :address))
  OR EXISTS (SELECT 1 FROM lines WHERE request = :request)
  OR EXISTS (SELECT 1 FROM lines WHERE spoken = :spoken)
"""
_BY_ID = """
INSERT OR IGNORE INTO matches
SELECT c.fingerprint, c.turn, l.number, c.standing FROM candidates c
JOIN lines l ON l.custom_id IN (c.own, c.key, c.address)
WHERE :any OR l.request = c.request ORDER BY c.id, l.number
"""
_BY_REQUEST = (
    """
    CREATE TABLE theirs (request BLOB, place INTEGER, line INTEGER, PRIMARY KEY (request, place))
    WITHOUT ROWID
    """,
    """
    INSERT INTO theirs
    SELECT request, row_number() OVER (PARTITION BY request ORDER BY number), number FROM lines
    WHERE request IS NOT NULL AND number NOT IN (SELECT line FROM matches)
    """,
    """
    INSERT OR IGNORE INTO matches
    SELECT o.fingerprint, o.turn, t.line, o.standing FROM (
      SELECT fingerprint, turn, standing, request,
        row_number() OVER (PARTITION BY request ORDER BY MIN(id)) AS place
      FROM candidates WHERE (fingerprint, turn) NOT IN (SELECT fingerprint, turn FROM matches)
      GROUP BY fingerprint, turn
    ) o CROSS JOIN theirs t ON t.request = o.request AND t.place = o.place
    """,
)
"""Lines that ask the same are for as many requests that ask the same, in their orders."""
_LEFT_OUT = f"""
({_NAMED} AND c.standing = 'open'
  AND (c.fingerprint, c.turn) NOT IN (SELECT fingerprint, turn FROM matches))
"""  # noqa: S608 - constants
"""A line that has the name of a row that waits, and that no other line was found for."""
_DIFFERING = f"""
SELECT c.key, l.custom_id, c.body, l.body, COUNT(*) OVER (), SUM({_LEFT_OUT}) OVER ()
FROM lines l
JOIN candidates c ON c.id = COALESCE(
  (SELECT MIN(id) FROM candidates WHERE {_NAMED}),
  (SELECT MIN(id) FROM candidates WHERE spoken = l.spoken))
WHERE l.number NOT IN (SELECT line FROM matches) AND l.request <> c.request
ORDER BY {_LEFT_OUT} DESC, l.number LIMIT 1
"""  # noqa: S608 - constants
_FORCED = """
SELECT COUNT(*) FROM matches m JOIN lines l ON l.number = m.line WHERE l.request IS NOT NULL
AND NOT EXISTS (SELECT 1 FROM candidates c WHERE c.fingerprint = m.fingerprint
  AND c.turn = m.turn AND c.request = l.request)
"""
_COUNTS = """
SELECT COUNT(*), SUM(standing = 'open'), SUM(standing = 'answered'), SUM(standing = 'under_way')
FROM matches
"""
_ROWS = """
SELECT COUNT(*) FROM candidates c WHERE c.key IS NOT NULL
AND c.fingerprint IN (SELECT fingerprint FROM matches)
"""
_LATER = """
SELECT c.id, c.fingerprint, c.turn, c.contract, c.request FROM conversations c
JOIN jobs j ON j.id = c.job WHERE j.address = ? AND c.phase = 'pending' AND c.turn > 1
"""
_WANTED = """
SELECT c.id FROM draft.matches m JOIN conversations c
  ON c.fingerprint = m.fingerprint AND c.turn = m.turn
WHERE m.standing = 'open' AND c.phase = 'pending'
"""
_BY_JOB = f"""
SELECT MIN(c.lane), j.address, COUNT(*), SUM(c.size) FROM conversations c
JOIN jobs j ON j.id = c.job WHERE c.id IN ({_WANTED}) GROUP BY j.id
"""  # noqa: S608 - constants
_NAMES = """
INSERT INTO foreign_ids (batch, custom_id, conversation, line)
SELECT c.batch, l.custom_id, c.id, l.number FROM conversations c
JOIN draft.matches m ON m.fingerprint = c.fingerprint AND m.turn = c.turn
JOIN draft.lines l ON l.number = m.line
WHERE c.batch = ? AND c.phase = 'batched'
"""
_INSERT = f"""
INSERT INTO batches (id, lane, phase, members, bytes, jobs, intended_at, next_at, remote_id, status,
  submitted_at, imported, account)
VALUES (?1, ?2, 'submitted', ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9, 1, {BOUND})
"""  # noqa: S608 - constants


class LaterTurn(NamedTuple):
    """A conversation whose next turn, not the first one, can be sent."""

    fingerprint: Fingerprint
    turn: int
    contract: int
    messages_json: bytes


class Differing(NamedTuple):
    """An example of lines that name a row, or say the same, and ask something else."""

    lines: int
    key: RowKey | None
    custom_id: str
    ours: bytes
    theirs: bytes
    left_out: int
    """Of the lines, those that name a row which waits and which no other line is for."""


class Matched(NamedTuple):
    """How many lines found their row."""

    lines: int
    open: int
    answered: int
    under_way: int
    rows: int
    """Rows of the job that a line was found for; several may ask the same."""
    other_requests: int
    """Lines taken by their custom_id though they ask something else."""


class ForeignBatch:
    """The lines of one batch beside a draft.

    Args:
        draft: Of a plan that is made for this batch alone.
    """

    def __init__(self, draft: SqliteDraft) -> None:
        self._draft = draft
        self._db = draft.db
        self.lines = 0
        """How many lines there are; of those with one custom_id the first counts."""
        self._executescript(_SCHEMA)

    def _executescript(self, script: str) -> None:
        for statement in script.split(";"):
            self._db.execute(statement)

    def put(self, lines: Sequence[tuple[int, Asked]]) -> None:
        """Keep lines, each with its number in its file."""
        values = [(n, a.custom_id, a.request, a.spoken, a.body) for n, a in lines]
        self._insert("INSERT OR IGNORE INTO lines VALUES (?, ?, ?, ?, ?)", values)

    def put_ids(self, ids: Sequence[tuple[int, str]]) -> None:
        """Keep lines of which nothing but the custom_id is known."""
        self._insert("INSERT OR IGNORE INTO lines (number, custom_id) VALUES (?, ?)", ids)

    def _insert(self, sql: str, values: Sequence[tuple[object, ...]]) -> None:
        before = self._db.total_changes
        try:
            self._db.executemany(sql, values)
        except sqlite3.Error as error:
            raise StateError(explain(error, self._draft.path)) from error
        self.lines += self._db.total_changes - before

    def read(self) -> None:
        """Make the lines ready to be looked up; all are there."""
        self._executescript(_INDEXES)

    def row(self, job: JobAddress, row: PlannedRow, ours: Asked, standing: Standing) -> bool:
        """Note a row as a candidate; False when no line can be its."""
        address = item_address(job, row.key)
        return self._candidate(row.key, row.fingerprint, 1, ours, standing, address)

    def later(self, turn: LaterTurn, ours: Asked) -> bool:
        """Note a later turn of a recorded conversation as a candidate."""
        return self._candidate(None, turn.fingerprint, turn.turn, ours, "open", None)

    def _candidate(  # noqa: PLR0913, PLR0917 - the columns
        self,
        key: str | None,
        fingerprint: Fingerprint,
        turn: int,
        ours: Asked,
        standing: Standing,
        address: str | None,
    ) -> bool:
        values = {
            "key": key,
            "fingerprint": fingerprint,
            "turn": turn,
            "standing": standing,
            "own": custom_id(fingerprint, turn),
            "address": address,
            "request": ours.request,
            "spoken": ours.spoken,
            "body": ours.body,
        }
        return self._db.execute(_CANDIDATE, values).rowcount > 0

    def match(self, how: Match) -> Matched:
        """Give each line to one request at most, and each request one line at most."""
        self._executescript(_CANDIDATE_INDEXES)
        if how != "request":
            self._db.execute(_BY_ID, {"any": how == "custom-id"})
        if how != "custom-id":
            for statement in _BY_REQUEST:
                self._db.execute(statement)
        # Rows of the plan that this batch does not carry are left to the next plan.
        self._db.execute(
            "DELETE FROM rows WHERE kind IS NULL OR fingerprint NOT IN "
            "(SELECT fingerprint FROM matches WHERE standing = 'open')"
        )
        lines, free, answered, under_way = self._db.execute(_COUNTS).fetchone()
        rows, forced = (self._db.execute(sql).fetchone()[0] for sql in (_ROWS, _FORCED))
        return Matched(lines, free or 0, answered or 0, under_way or 0, rows, forced)

    def differing(self) -> Differing | None:
        """Return an example of lines that are nearly those of a row; None: there are none."""
        found = self._db.execute(_DIFFERING).fetchone()
        if found is None:
            return None
        key, custom_id, ours, theirs, lines, left_out = found
        row = None if key is None else RowKey(key)
        return Differing(lines, row, custom_id, ours, theirs, left_out or 0)

    def stray(self) -> str | None:
        """Return the custom_id of a line that no request of the job is for."""
        found = self._db.execute(
            "SELECT custom_id FROM lines l WHERE number NOT IN (SELECT line FROM matches) "  # noqa: S608 - constants
            f"AND NOT EXISTS (SELECT 1 FROM candidates WHERE {_NAMED}) "
            "AND NOT EXISTS (SELECT 1 FROM candidates WHERE spoken = l.spoken) "
            "ORDER BY number LIMIT 1"
        ).fetchone()
        return None if found is None else str(found[0])


def later_turns(reader: StateReader, job: JobAddress) -> Iterator[LaterTurn]:
    """Yield the conversations of a job that wait to be sent and have been answered before."""
    for _, fingerprint, turn, contract, request in reader.db.execute(_LATER, (job,)):
        messages = reader.bodies.get(RecordRef(request)).partition(b"\t")[0]
        yield LaterTurn(fingerprint, turn, contract, messages)


def record_batch(db: sqlite3.Connection, event: BatchImported) -> BatchImported:
    """Write an imported batch and make the matched conversations its members.

    Inside the transaction that records its draft, which is attached.

    Args:
        db: The state.
        event: Without lane, members and jobs, which are told by what is returned.

    Raises:
        RefusedError: Nothing waits for it any more.
    """
    rows = db.execute(_BY_JOB).fetchall()
    if not rows:
        raise RefusedError("No request waits for an answer of this batch; nothing was recorded.")
    jobs = {JobAddress(address): n for _, address, n, _ in rows}
    lane, size, total = LaneId(rows[0][0]), sum(row[3] for row in rows), sum(jobs.values())
    told = (event.remote_id, event.status, event.submitted_at)
    number = db.execute(
        _INSERT, (event.id, lane, total, size, json.dumps(jobs), event.at, *told)
    ).lastrowid
    db.execute(
        f"UPDATE conversations SET phase = ?, batch = ? WHERE id IN ({_WANTED})",  # noqa: S608 - constants
        (conversation_phase("pending", "Batched"), number),
    )
    db.execute(_NAMES, (number,))
    return replace(event, lane=lane, members=total, jobs=jobs)
