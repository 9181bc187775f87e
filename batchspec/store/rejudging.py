"""Recording new judgements of stored replies: the statements."""

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice

from batchspec.ids import ConversationId, JobAddress
from batchspec.messages import Outcome
from batchspec.state.machine import conversation_phase

Verdict = tuple[Outcome, str | None, ConversationId]

_CHUNK = 1000


def collect_verdicts(db: sqlite3.Connection, changes: Iterable[Verdict]) -> None:
    """Keep verdicts on disk, outside of a transaction: users' functions make them as they are read.

    Each chunk is written at once; the writer is free while the next one is made.
    """
    db.execute("DROP TABLE IF EXISTS temp.verdicts")
    db.execute("CREATE TEMP TABLE verdicts (id INTEGER PRIMARY KEY, outcome, reason)")
    for chunk in _chunks(changes):
        db.executemany("INSERT INTO verdicts (outcome, reason, id) VALUES (?, ?, ?)", chunk)


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
    phase = conversation_phase("final", "Rejudged")
    changed = db.execute(
        f"UPDATE conversations SET phase = '{phase}', (outcome, reason) = "  # noqa: S608 - constant
        "(SELECT outcome, reason FROM verdicts v WHERE v.id = conversations.id) "
        "WHERE id IN (SELECT id FROM verdicts)"
    ).rowcount
    db.execute("UPDATE jobs SET judged = policy WHERE address = ?", (job,))
    return changed
