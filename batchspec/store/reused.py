"""Answers that rows of a plan take over: what an item will be that has been answered before."""

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence

from batchspec.ids import JobAddress, RecordRef, RowKey
from batchspec.messages import Usage
from batchspec.ports import PlannedRow
from batchspec.state.stored import StoredItem
from batchspec.store.rows import ASKED

_CHUNK = 500
_BLOBS = ",".join("?" * _CHUNK)
_REUSED = (
    "SELECT id, key, fingerprint, row FROM reused WHERE job = ? AND id > ? ORDER BY id LIMIT ?"
)
_ANSWERS = f"""
SELECT c.fingerprint, j.address, c.reply, c.answer, c.turn, {ASKED},
  (SELECT endpoint FROM lanes WHERE id = c.lane)
FROM conversations c JOIN jobs j ON j.id = c.job
WHERE c.fingerprint IN ({_BLOBS}) AND c.phase = 'final' AND c.outcome = 'succeeded'
"""  # noqa: S608 - marks
_OWN = f"""
SELECT i.key FROM conversations c JOIN items i ON i.conversation = c.id
JOIN jobs j ON j.id = i.job AND j.address = ? WHERE c.fingerprint IN ({_BLOBS})
"""  # noqa: S608 - marks
_KNOWN = """
SELECT COUNT(*) FROM json_each(?) k
WHERE NOT EXISTS (SELECT 1 FROM kept w WHERE w.job = ? AND w.key = k.value)
"""
_REQUESTS = """
SELECT i.key, c.fingerprint FROM json_each(?) k JOIN jobs j ON j.address = ?
JOIN items i ON i.job = j.id AND i.key = k.value JOIN conversations c ON c.id = i.conversation
"""


def note(draft: sqlite3.Connection, job: JobAddress, rows: Sequence[PlannedRow]) -> int:
    """Note rows of a job whose requests were answered before; returns how many they are."""
    draft.executemany(
        "INSERT INTO reused (job, key, fingerprint, row) VALUES (?, ?, ?, ?)",
        ((job, row.key, row.fingerprint, row.row_json) for row in rows),
    )
    return len(rows)


def reused(
    draft: sqlite3.Connection,
    state: sqlite3.Connection,
    body: Callable[[RecordRef], bytes],
    job: JobAddress,
) -> Iterator[tuple[JobAddress, StoredItem]]:
    """Yield what the noted rows of a job will be, each with the job whose code judged the answer.

    Without those that are asked for anew; what they cost is not read.
    """
    after = 0
    while rows := draft.execute(_REUSED, (job, after, _CHUNK)).fetchall():
        marks = [*(row[2] for row in rows), *[b""] * (_CHUNK - len(rows))]
        found = {one[0]: one[1:] for one in state.execute(_ANSWERS, marks)}
        anew = _anew(draft, list(found))
        for _, key, fingerprint, row in rows:
            if fingerprint not in found or fingerprint in anew:
                continue
            owner, reply, answer, turn, retries, endpoint = found[fingerprint]
            text = None if answer is None else body(answer)
            line = body(reply) if text is None and reply is not None else None
            stored = StoredItem(
                RowKey(key),
                row,
                "final",
                "succeeded",
                None,
                text,
                line,
                turn,
                Usage(),
                None,
                endpoint,
                output_retries=retries,
            )
            yield JobAddress(owner), stored
        after = rows[-1][0]


def moved(draft: sqlite3.Connection, state: sqlite3.Connection, job: JobAddress) -> int:
    """Return how many items of a job that waits only get another key, by its noted rows."""
    keys: set[str] = set()
    after = n = 0
    while rows := draft.execute(_REUSED, (job, after, _CHUNK)).fetchall():
        marks = [*(row[2] for row in rows), *[b""] * (_CHUNK - len(rows))]
        fresh = {key for (key,) in state.execute(_OWN, (job, *marks))} - keys
        keys |= fresh
        n += draft.execute(_KNOWN, (json.dumps(sorted(fresh)), job)).fetchone()[0]
        after = rows[-1][0]
    return n


def asked_anew(
    draft: sqlite3.Connection, state: sqlite3.Connection, job: JobAddress, keys: Sequence[str]
) -> set[str]:
    """Return the keys of items whose request is asked for anew, by another row that has it too."""
    if not draft.execute("SELECT EXISTS (SELECT 1 FROM anew)").fetchone()[0]:
        return set()
    found = state.execute(_REQUESTS, (json.dumps(list(keys)), job)).fetchall()
    anew = _anew(draft, [fingerprint for _, fingerprint in found])
    return {key for key, fingerprint in found if fingerprint in anew}


def _anew(draft: sqlite3.Connection, fingerprints: Sequence[bytes]) -> set[bytes]:
    one = "SELECT fingerprint FROM anew WHERE fingerprint = ?"
    return {f for f in fingerprints if draft.execute(one, (f,)).fetchone()}
