"""What a plan leaves behind: batches that no row would want, and rows that only moved.

The rows of a plan are in its draft, the items they are held against in the state, each read on its
own connection in chunks.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from batchspec.ids import BatchId, JobAddress

_CHUNK = 500
_FIRST = 20
"""Members looked at first: in most batches one of them is wanted."""
_BLOBS = ",".join("?" * _CHUNK)
INDEX = (
    "CREATE INDEX IF NOT EXISTS rows_request ON rows (fingerprint) WHERE fingerprint IS NOT NULL"
)
_MEMBERS = """
SELECT id, fingerprint FROM conversations WHERE phase = 'batched' AND id > ?
  AND batch = (SELECT number FROM batches WHERE id = ?) ORDER BY id LIMIT ?
"""
_ITEMS = """
SELECT j.address, i.key, hex(c.fingerprint)
FROM json_each(?) k JOIN items i ON i.conversation = k.value
JOIN jobs j ON j.id = i.job JOIN conversations c ON c.id = i.conversation
"""
# An item stays as it is where its job is not planned, where its row does not change or changes to
# the request it has, and where rows that are not there are not forgotten.
_STAYS = """
SELECT EXISTS (
  SELECT 1 FROM (
    SELECT json_extract(value, '$[0]') AS job, json_extract(value, '$[1]') AS key,
      json_extract(value, '$[2]') AS request FROM json_each(?)) k
  WHERE NOT EXISTS (SELECT 1 FROM removed_jobs WHERE address = k.job) AND NOT EXISTS (
    SELECT 1 FROM jobs d LEFT JOIN rows r ON r.job = d.number AND r.key = k.key
    WHERE d.address = k.job AND CASE
      WHEN r.id IS NULL THEN NOT d.partial OR EXISTS (
        SELECT 1 FROM forgets f WHERE f.job = d.number AND f.key = k.key)
      ELSE r.kind IS NOT NULL AND hex(r.fingerprint) <> k.request END))
"""
_WANTS = f"SELECT EXISTS (SELECT 1 FROM rows WHERE fingerprint IN ({_BLOBS}))"  # noqa: S608 - marks
_REUSED = """
SELECT id, fingerprint FROM rows NOT INDEXED
WHERE job = ? AND kind = '=' AND id > ? ORDER BY id LIMIT ?
"""
_OWNERS = f"""
SELECT DISTINCT j.address, i.key FROM conversations c JOIN items i ON i.conversation = c.id
JOIN jobs j ON j.id = i.job WHERE c.fingerprint IN ({_BLOBS})
"""  # noqa: S608 - marks
_GONE = """
SELECT COUNT(*) FROM json_each(:keys) k JOIN jobs d ON d.number = :job
WHERE NOT EXISTS (SELECT 1 FROM rows r WHERE r.job = :job AND r.key = k.value)
  AND (NOT d.partial OR EXISTS (
    SELECT 1 FROM forgets f WHERE f.job = :job AND f.key = k.value))
"""
# The rows of a job made of others' answers have the keys of these.
_ANSWERED = """
SELECT d.id, d.key FROM items d JOIN jobs j ON j.id = d.job JOIN jobs k ON k.address = ?
JOIN items u ON u.job = k.id AND u.key = d.key JOIN conversations c ON c.id = u.conversation
WHERE j.address = ? AND d.id > ? AND c.outcome = 'succeeded' ORDER BY d.id LIMIT ?
"""
_KEPT = """
SELECT COUNT(*) FROM json_each(:keys) k LEFT JOIN rows r ON r.job = :job AND r.key = k.value
WHERE CASE WHEN r.id IS NULL THEN :partial ELSE r.kind IS NULL END
"""
_PLANNED_KEPT = _KEPT.replace("COUNT(*)", "k.value")
_WAITING_KEPT = """
SELECT k.value FROM json_each(:keys) k
JOIN kept w ON w.job = :address AND w.key = k.value AND w.same
"""


def staying(
    draft: sqlite3.Connection,
    state: sqlite3.Connection,
    upstream: JobAddress,
    job: JobAddress,
) -> Iterator[int]:
    """Yield numbers of items of a job which were made of answers that a plan leaves as they are."""
    planned = draft.execute("SELECT number, partial FROM jobs WHERE address = ?", (upstream,))
    number, partial = planned.fetchone() or (None, True)
    after = 0
    while rows := state.execute(_ANSWERED, (upstream, job, after, _CHUNK)).fetchall():
        keys = json.dumps([key for _, key in rows])
        values = {"keys": keys, "job": number, "partial": partial}
        yield draft.execute(_KEPT, values).fetchone()[0]
        after = rows[-1][0]


def kept(draft: sqlite3.Connection, job: JobAddress, keys: Sequence[str]) -> set[str]:
    """Return the keys of rows that a plan leaves as they are."""
    values = {"keys": json.dumps(list(keys)), "address": job}
    planned = draft.execute("SELECT number, partial FROM jobs WHERE address = ?", (job,)).fetchone()
    if planned is None:
        return {key for (key,) in draft.execute(_WAITING_KEPT, values)}
    values |= {"job": planned[0], "partial": planned[1]}
    return {key for (key,) in draft.execute(_PLANNED_KEPT, values)}


def wanted(draft: sqlite3.Connection, state: sqlite3.Connection, batch: BatchId) -> bool:
    """Tell whether some row wants a member of a batch once the plan is agreed to."""
    after, limit = 0, _FIRST
    while rows := state.execute(_MEMBERS, (after, batch, limit)).fetchall():
        items = state.execute(_ITEMS, (json.dumps([row[0] for row in rows]),)).fetchall()
        if draft.execute(_STAYS, (json.dumps(items),)).fetchone()[0]:
            return True
        draft.execute(INDEX)
        marks = [row[1] for row in rows] + [b""] * (_CHUNK - len(rows))
        if draft.execute(_WANTS, marks).fetchone()[0]:
            return True
        after, limit = rows[-1][0], _CHUNK
    return False


def moved(
    draft: sqlite3.Connection, state: sqlite3.Connection, number: int, job: JobAddress
) -> Mapping[JobAddress, int]:
    """Return how many items the rows of a job take over that the plan forgets, by whose they are.

    They are of the job itself, under another key, or of jobs that are gone.
    """
    removed = {address for (address,) in draft.execute("SELECT address FROM removed_jobs")}
    found: Counter[JobAddress] = Counter()
    for requests in _reused(draft, number):
        marks = [*requests, *[b""] * (_CHUNK - len(requests))]
        own: list[str] = []
        for owner, key in state.execute(_OWNERS, marks):
            if owner == job:
                own.append(key)
            elif owner in removed:
                found[JobAddress(owner)] += 1
        if own:
            values = {"keys": json.dumps(own), "job": number}
            found[job] += draft.execute(_GONE, values).fetchone()[0]
    return found


def _reused(draft: sqlite3.Connection, number: int) -> Iterator[Sequence[bytes]]:
    after = 0
    while rows := draft.execute(_REUSED, (number, after, _CHUNK)).fetchall():
        yield [row[1] for row in rows]
        after = rows[-1][0]
