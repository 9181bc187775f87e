"""Recording new judgements of stored replies: the statements."""

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice

from batchspec.ids import JobAddress
from batchspec.state.machine import conversation_phase
from batchspec.state.stored import Verdict
from batchspec.store.rows import SERIAL
from batchspec.store.toollog import drop_unrun

_CHUNK = 1000
_DIFFERS = "(c.outcome IS NOT v.outcome OR c.reason IS NOT v.reason OR v.answer IS NOT NULL)"
_DIFFERENT = f"SELECT COUNT(*) FROM verdicts v JOIN conversations c ON c.id = v.id WHERE {_DIFFERS}"  # noqa: S608 - constants
_RECORD = f"""
UPDATE conversations AS c SET phase = '{conversation_phase("final", "Rejudged")}',
  outcome = v.outcome, reason = v.reason, resumable = v.resumable,
  answer = CASE WHEN v.outcome = 'succeeded' THEN COALESCE(v.answer, c.answer) END,
  settled = CASE WHEN {_DIFFERS} THEN {SERIAL} ELSE settled END
FROM verdicts v WHERE v.id = c.id
"""  # noqa: S608 - constants
# A reply that is accepted now is another one than the tainted, unless it was there before.
_UNTAINT = """
UPDATE conversations SET tainted = 0
WHERE tainted BETWEEN 1 AND tries AND outcome = 'succeeded' AND id IN (SELECT id FROM verdicts)
  AND NOT EXISTS (SELECT 1 FROM turns t WHERE t.conversation = conversations.id
    AND t.reply = conversations.reply AND t.try < conversations.tainted)
"""


def collect_verdicts(db: sqlite3.Connection, changes: Iterable[Verdict]) -> None:
    """Keep verdicts on disk, outside of a transaction: users' functions make them as they are read.

    Each chunk is written at once; the writer is free while the next one is made.
    """
    db.execute("DROP TABLE IF EXISTS temp.verdicts")
    db.execute(
        "CREATE TEMP TABLE verdicts (id INTEGER PRIMARY KEY, outcome, reason, resumable, answer)"
    )
    for chunk in _chunks(changes):
        db.executemany(
            "INSERT INTO verdicts (outcome, reason, resumable, id, answer) VALUES (?, ?, ?, ?, ?)",
            chunk,
        )


def _chunks(changes: Iterable[Verdict]) -> Iterator[list[Verdict]]:
    every = iter(changes)
    while chunk := list(islice(every, _CHUNK)):
        yield chunk


def record_verdicts(db: sqlite3.Connection, job: JobAddress) -> int:
    """Give conversations the outcomes that were collected, inside a transaction.

    Returns how many changed; the job counts as judged by its policy.
    """
    # What had been accepted took the place of the answer before it, for good.
    db.execute(
        "UPDATE items SET previous = NULL WHERE previous IS NOT NULL AND conversation IN "
        "(SELECT c.id FROM verdicts v JOIN conversations c ON c.id = v.id "
        "WHERE c.outcome = 'succeeded')"
    )
    db.execute(
        "UPDATE conversations SET kept = NULL, kept_answer = NULL WHERE kept IS NOT NULL "
        "AND outcome = 'succeeded' AND id IN (SELECT id FROM verdicts)"
    )
    changed: int = db.execute(_DIFFERENT).fetchone()[0]
    db.execute(_RECORD)
    db.execute(_UNTAINT)
    drop_unrun(db, "SELECT id FROM verdicts")
    db.execute("UPDATE jobs SET judged = policy WHERE address = ?", (job,))
    return changed
