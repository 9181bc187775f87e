"""What must be true of the rows of a state, as queries that find what is broken."""

import sqlite3
from collections.abc import Mapping
from typing import get_args

from batchspec.messages import Outcome
from batchspec.state.records import CancelReason
from batchspec.store.segments import pack_ref


def _words(closed: object) -> str:
    return ", ".join(f"'{word}'" for word in get_args(closed))


RULES: dict[str, str] = {
    "conversation {} has an unknown outcome": f"""
        SELECT id FROM conversations WHERE outcome NOT IN ({_words(Outcome)})
    """,  # noqa: S608 - constants
    "batch {} is cancelled for an unknown reason": f"""
        SELECT id FROM batches WHERE cancel_reason NOT IN ({_words(CancelReason)})
    """,  # noqa: S608 - constants
    "batch {} is open and does not say whose its members are": """
        SELECT b.id FROM batches b WHERE b.phase IN ('intended', 'submitted', 'ended') AND
        json_type(b.jobs) = 'object' AND
        b.members <> (SELECT coalesce(SUM(value), 0) FROM json_each(b.jobs))
    """,
    "batch {} is open at an account, and its provider is bound to none": """
        SELECT b.id FROM batches b JOIN lanes l ON l.id = b.lane WHERE b.phase IN ('intended',
        'submitted', 'ended') AND b.account IS NOT NULL AND NOT EXISTS (SELECT 1 FROM accounts a
        WHERE a.provider = l.provider)
    """,
    "the state has no lineage": """
        SELECT 0 WHERE EXISTS (SELECT 1 FROM journal) AND NOT EXISTS (SELECT 1 FROM meta
        WHERE key = 'lineage' AND typeof(value) = 'text' AND value <> '')
    """,
    "the state has no serial": """
        SELECT 0 WHERE EXISTS (SELECT 1 FROM journal) AND NOT EXISTS (SELECT 1 FROM meta
        WHERE key = 'serial' AND typeof(value) = 'integer' AND value >= 0)
    """,
    "the file holds {}, which no state has": """
        SELECT type || ' ' || name FROM sqlite_master WHERE type IN ('trigger', 'view')
    """,
    "the state has no row for its lease": """
        SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM lease)
    """,
    "the lease is held by {}, which does not say where it runs": """
        SELECT holder FROM lease WHERE holder IS NOT NULL AND (host IS NULL OR pid IS NULL OR
        operation IS NULL OR since IS NULL OR heartbeat IS NULL)
    """,
    "conversation {} is in a batch of another lane": """
        SELECT c.id FROM conversations c JOIN batches b ON b.number = c.batch WHERE
        c.phase = 'batched' AND b.lane <> c.lane
    """,
    "conversation {} succeeded and has tool calls that were never run": """
        SELECT DISTINCT c.id FROM conversations c JOIN tool_calls t ON t.conversation = c.id AND
        t.since = c.since AND t.turn = c.turn WHERE c.phase = 'final' AND c.outcome = 'succeeded'
        AND c.kept IS NULL AND t.status IN ('waiting', 'running')
    """,
    "conversation {} was asked for anew at a try, or has turns of one, that cannot be": """
        SELECT id FROM conversations WHERE since < 0 OR since > tries
        UNION SELECT conversation FROM turns WHERE since < 0 OR since >= try
    """,
    "a tool call of conversation {} is of an answer without a turn": """
        SELECT conversation FROM tool_calls t WHERE NOT EXISTS (SELECT 1 FROM turns o WHERE
        o.conversation = t.conversation AND o.since = t.since AND o.turn = t.turn)
    """,
    "a tool call of conversation {} is in an unknown state, or done without a result": """
        SELECT conversation FROM tool_calls WHERE status NOT IN ('waiting', 'running', 'done',
        'failed') OR (status = 'done' AND result IS NULL)
    """,
    "an answer kept of tool {} is not of the size on record, or its key is none": """
        SELECT tool FROM memo WHERE length(key) <> 32 OR size <> length(CAST(result AS BLOB))
    """,
    "conversation {} has a cost or a number of tokens below zero": """
        SELECT id FROM conversations WHERE cost < -1e-9 OR min(input_tokens, cached_tokens,
        output_tokens, reasoning_tokens) < 0
    """,
    "a turn of conversation {} has a cost or a number of tokens below zero": """
        SELECT conversation FROM turns WHERE cost < -1e-9 OR min(input_tokens, cached_tokens,
        output_tokens, reasoning_tokens) < 0
    """,
    "conversation {} was paid less than its turns": """
        SELECT c.id FROM conversations c JOIN turns t ON t.conversation = c.id GROUP BY c.id
        HAVING c.cost < SUM(t.cost) - 1e-6
    """,
    "conversation {} is in a turn, or was tried or failed a number of times, that cannot be": """
        SELECT id FROM conversations WHERE turn < 1 OR min(tries, attempts, output_retries) < 0
    """,
    "batch {} has a number of members or bytes that cannot be": """
        SELECT id FROM batches WHERE members < 0 OR bytes < 0
    """,
    "batch {} ended, and nobody knows when": """
        SELECT id FROM batches WHERE ended_at IS NULL AND status IN ('completed', 'failed',
        'expired', 'cancelled') AND phase IN ('ended', 'collected')
    """,
    "batch {} lost its result files before they were read": """
        SELECT id FROM batches WHERE purged_at IS NOT NULL AND phase <> 'collected'
    """,
    "custom_id {} belongs to a batch that was not imported": """
        SELECT f.custom_id FROM foreign_ids f JOIN batches b ON b.number = f.batch WHERE
        NOT b.imported AND (SELECT value FROM meta WHERE key = 'fingerprints') = 1
    """,
    "conversation {} is tainted for more tries than it had": """
        SELECT id FROM conversations WHERE tainted < 0 OR tainted > tries + 1
    """,
    "job {} was removed and has items": """
        SELECT DISTINCT j.address FROM jobs j JOIN items i ON i.job = j.id WHERE j.removed
    """,
}
"""From what is told, with what the query returns, to the query; one row for each thing broken."""

BODY_COLUMNS: Mapping[tuple[str, str], str] = {
    ("items", "row"): "row of item {}",
    ("conversations", "request"): "request of conversation {}",
    ("conversations", "reply"): "reply of conversation {}",
    ("conversations", "answer"): "answer of conversation {}",
    ("conversations", "kept"): "old reply of conversation {}",
    ("conversations", "kept_answer"): "old answer of conversation {}",
    ("turns", "request"): "request of a turn of conversation {}",
    ("turns", "reply"): "reply of a turn of conversation {}",
}
"""Every (table, column) that points at a body, and what that body is called."""


def body_references() -> str:
    """Return a query for (number of the column in `BODY_COLUMNS`, whose, where) of every body."""
    parts = (
        f"SELECT {n} AS column, {'conversation' if table == 'turns' else 'id'} AS owner, "  # noqa: S608 - constants
        f"{column} AS ref FROM {table} WHERE {column} IS NOT NULL"
        for n, (table, column) in enumerate(BODY_COLUMNS)
    )
    return " UNION ALL ".join(parts)


SEGMENT = pack_ref(1, 0, 0)
"""A pointer divided by this is the number of its segment."""


def used_segments(db: sqlite3.Connection) -> set[int]:
    """Return the numbers of the files of bodies that rows point at; looks at every row."""
    rows = db.execute(f"SELECT DISTINCT ref / {SEGMENT} FROM ({body_references()})")  # noqa: S608 - constants
    return {number for (number,) in rows}
