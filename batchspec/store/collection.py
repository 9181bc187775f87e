"""Settling the members of one batch: one transaction, in chunks."""

import sqlite3
from collections.abc import Iterable, Sequence

from batchspec.ids import BatchId, JobAddress
from batchspec.state.machine import conversation_phase
from batchspec.state.resumption import BOUND, TURN
from batchspec.state.settlement import Answered, AskAgain, CallTools, SendAgain
from batchspec.state.stored import (
    Judged,
    Member,
)
from batchspec.store.rows import SERIAL
from batchspec.store.toollog import note_calls
from batchspec.store.wanted import abandon

_MEMBERS = """
SELECT lower(hex(substr(c.fingerprint, 1, 8))) || '-' || c.turn, c.id, j.address, c.turn,
  c.attempts, c.output_retries, c.request, c.tries, c.contract,
  EXISTS (SELECT 1 FROM items i WHERE i.conversation = c.id)
FROM conversations c JOIN jobs j ON j.id = c.job
WHERE c.phase = 'batched' AND c.batch = ? ORDER BY c.id
"""
# The members of a batch that was made by hand have the names its maker gave them; those of one
# that was made before fingerprints changed have the names they had then.
_FOREIGN = """
SELECT f.custom_id, c.id, j.address, c.turn, c.attempts, c.output_retries, c.request, c.tries,
  c.contract, EXISTS (SELECT 1 FROM items i WHERE i.conversation = c.id)
FROM foreign_ids f JOIN conversations c ON c.id = f.conversation JOIN jobs j ON j.id = c.job
WHERE c.phase = 'batched' AND c.batch = f.batch AND f.batch = ? ORDER BY f.line
"""
_SPEND = (
    "input_tokens = input_tokens + ?, cached_tokens = cached_tokens + ?, "
    "output_tokens = output_tokens + ?, reasoning_tokens = reasoning_tokens + ?, cost = cost + ?"
)
_ANSWERED = (
    f"UPDATE conversations SET phase = '{conversation_phase('batched', 'Answered')}', "  # noqa: S608 - constants
    f"tries = tries + 1, outcome = ?, reason = ?, reply = ?, answer = ?, "
    f"resumable = CASE WHEN ? THEN {BOUND} ELSE {TURN} * (? AND turn > 1) END, "
    f"tainted = tainted * (? <> 'succeeded'), settled = ?, "
    f"{_SPEND} WHERE id = ?"
)
_TOOLS = (
    f"UPDATE conversations SET phase = '{conversation_phase('batched', 'ToolsCalled')}', "  # noqa: S608 - constants
    f"tries = tries + 1, reply = ?, output_retries = output_retries + ?, {_SPEND} WHERE id = ?"
)
_CONTINUED = (
    f"UPDATE conversations SET phase = '{conversation_phase('batched', 'Continued')}', "  # noqa: S608 - constants
    "tries = tries + 1, turn = turn + 1, attempts = 0, output_retries = output_retries + 1, "
    f"reply = ?, request = ?, size = ?, {_SPEND} WHERE id = ?"
)
_RETURNED = (
    f"UPDATE conversations SET phase = '{conversation_phase('batched', 'Returned')}', "  # noqa: S608 - constants
    f"tries = tries + 1, attempts = attempts + 1, reason = ?, ready_at = ?, {_SPEND} WHERE id = ?"
)
_WAITS = -1.0
"""Marks what is to wait until it is known, at the end of the batch, for how long."""
_TURN = (
    "INSERT INTO turns SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, since "
    "FROM conversations WHERE id = ?1"
)


class Collection:
    """The members of a batch that is being settled; lives inside a transaction."""

    def __init__(self, db: sqlite3.Connection, batch: BatchId) -> None:
        self._db = db
        self._batch = batch
        self._number: int
        self._number, self._named = db.execute(
            "SELECT number, EXISTS (SELECT 1 FROM foreign_ids f WHERE f.batch = number) "
            "FROM batches WHERE id = ?",
            (batch,),
        ).fetchone()

    def members(self) -> dict[str, Member]:
        """Return the members that are not settled, by custom_id, in the order of their lines."""
        rows = self._db.execute(_FOREIGN if self._named else _MEMBERS, (self._number,))
        return {row[0]: Member._make(row) for row in rows}

    def by_line(self) -> dict[int, Member]:
        """Return the members that are not settled, by the number of their line, from 1."""
        members = self.members()
        if not self._named:
            return dict(enumerate(members.values(), 1))
        lines = self._db.execute(
            "SELECT line, custom_id FROM foreign_ids WHERE batch = ?", (self._number,)
        )
        return {line: members[name] for line, name in lines if name in members}

    def record(self, judged: Sequence[Judged]) -> None:
        """Write what became of some members."""
        answered: list[Judged] = []
        others: list[Judged] = []
        for j in judged:
            (answered if isinstance(j.settlement, Answered) else others).append(j)
        (serial,) = self._db.execute(f"SELECT {SERIAL}").fetchone()
        self._db.executemany(
            _ANSWERED,
            [
                (
                    *(s.outcome, s.reason, reply, answer, s.bound, s.resumable, s.outcome),
                    *(serial, *usage, cost, m.conversation),
                )
                for m, s, reply, usage, cost, answer, _ in answered
                if isinstance(s, Answered)
            ],
        )
        for j in others:
            self._record_one(j)

    def delay(self, until: float) -> None:
        """Let what failed in passing wait, all of it for one time."""
        self._db.execute(
            "UPDATE conversations SET ready_at = ? WHERE phase = 'pending' AND batch = ? "
            "AND ready_at = ?",
            (until, self._number, _WAITS),
        )

    def abandon(self) -> None:
        """End members that are to go on though no row wants them; they can be taken up again."""
        abandon(self._db, self._batch)

    def leave_unjudged(self, jobs: Iterable[JobAddress]) -> None:
        """Note jobs whose replies were taken without their own rules, to be judged once back."""
        self._db.executemany(
            "UPDATE jobs SET judged = x'' WHERE address = ?", [(job,) for job in jobs]
        )

    def _record_one(self, judged: Judged) -> None:
        member, settlement, reply, usage, cost, request, size = judged
        spent = (*usage, cost, member.conversation)
        if reply is not None:
            turn = (member.conversation, member.tries + 1, member.turn, self._number)
            self._db.execute(_TURN, (*turn, member.request, reply, *usage, cost))
        if isinstance(settlement, SendAgain):
            self._db.execute(_RETURNED, (settlement.reason, _WAITS * settlement.wait, *spent))
        elif isinstance(settlement, AskAgain):
            self._db.execute(_CONTINUED, (reply, request, size, *spent))
        elif isinstance(settlement, CallTools):
            self._db.execute(_TOOLS, (reply, bool(settlement.answers), *spent))
            note_calls(self._db, member.conversation, member.turn, settlement)
