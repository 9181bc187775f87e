"""Another way to fingerprint: what is recorded is fingerprinted again, and not paid again.

A fingerprint is computed from what is on record with it: the contract, the messages of the first
turn, and what keeps equal requests apart. So a better algorithm needs none of the providers.
"""

import sqlite3
from collections.abc import Callable, Iterator

from batchspec.ids import RecordRef

Compute = Callable[[bytes, bytes, str | None, int], bytes]
"""From the canonical contract, the canonical messages, scope and sample to a fingerprint."""

_VERSION = "SELECT value FROM meta WHERE key = 'fingerprints'"
_NOTE = "INSERT OR REPLACE INTO meta VALUES ('fingerprints', ?)"
FIRST_TURNS = """
SELECT c.id, c.contract, c.scope, coalesce(
  (SELECT t.request FROM turns t WHERE t.conversation = c.id AND t.turn = 1 ORDER BY try LIMIT 1),
  c.request), c.fingerprint, c.sample
FROM conversations c ORDER BY 4
"""
"""All that is hashed of every conversation, and its fingerprint, in the order of the disk."""
# The provider knows the members of open batches by names made from the fingerprints they had.
_KEEP_NAMES = """
INSERT OR IGNORE INTO foreign_ids (batch, custom_id, conversation, line)
SELECT c.batch, lower(hex(substr(c.fingerprint, 1, 8))) || '-' || c.turn, c.id,
  row_number() OVER (PARTITION BY c.batch ORDER BY c.id)
FROM conversations c JOIN batches b ON b.number = c.batch
WHERE c.phase = 'batched' AND NOT b.imported
"""


def version_of(db: sqlite3.Connection) -> int:
    """Return the algorithm by which what is recorded was fingerprinted."""
    row = db.execute(_VERSION).fetchone()
    return 1 if row is None else int(row[0])


def refingerprint(
    db: sqlite3.Connection,
    body: Callable[[RecordRef], bytes],
    contract: Callable[[int], bytes],
    compute: Compute,
    version: int,
) -> int:
    """Fingerprint every conversation again, inside a transaction; returns how many there are.

    Two that would become one keep apart: the later one keeps what it had, and is not found again.

    Args:
        db: The writer's connection.
        body: Reads a stored body: messages and row, divided by a tab.
        contract: Returns the canonical JSON of a contract.
        compute: The new algorithm.
        version: Its number.
    """
    db.execute(_KEEP_NAMES)
    db.execute("CREATE TEMP TABLE anew (id INTEGER PRIMARY KEY, fingerprint BLOB NOT NULL)")
    computed = _computed(db, body, contract, compute)
    db.executemany("INSERT INTO anew VALUES (?, ?)", computed)
    n = db.execute(
        "UPDATE OR IGNORE conversations SET fingerprint = "
        "(SELECT a.fingerprint FROM anew a WHERE a.id = conversations.id)"
    ).rowcount
    db.execute("DROP TABLE temp.anew")
    db.execute(_NOTE, (version,))
    return n


def _computed(
    db: sqlite3.Connection,
    body: Callable[[RecordRef], bytes],
    contract: Callable[[int], bytes],
    compute: Compute,
) -> Iterator[tuple[int, bytes]]:
    contracts: dict[int, bytes] = {}
    for id_, number, scope, request, _, sample in db.execute(FIRST_TURNS):
        if number not in contracts:
            contracts[number] = contract(number)
        messages = body(RecordRef(request)).partition(b"\t")[0]
        yield id_, compute(contracts[number], messages, scope, sample)
