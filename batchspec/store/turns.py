"""The turns of one conversation, read back."""

import sqlite3
from collections.abc import Callable, Sequence
from operator import sub
from typing import Any, NamedTuple

from batchspec.ids import ConversationId, JobAddress, RecordRef, RemoteId, RowKey
from batchspec.messages import Usage
from batchspec.state.stored import StoredTurn
from batchspec.store.shown import KEPT
from batchspec.store.toollog import tool_calls

_CONVERSATION = f"""
SELECT c.id, c.contract, c.turn, c.phase, c.request, c.reply,
  c.input_tokens, c.cached_tokens, c.output_tokens, c.reasoning_tokens, c.cost, c.since,
  CASE WHEN {KEPT} THEN c.kept END
FROM items i JOIN conversations c ON c.id = i.conversation
WHERE i.job = (SELECT id FROM jobs WHERE address = ?) AND i.key = ?
"""  # noqa: S608 - constants
_FOLLOWED = """
SELECT t.turn, t.request, t.reply, b.remote_id,
  t.input_tokens, t.cached_tokens, t.output_tokens, t.reasoning_tokens, t.cost, t.since
FROM turns t LEFT JOIN batches b ON b.number = t.batch WHERE t.conversation = ? ORDER BY t.try
"""
# A batch holds a conversation once, so that the last turn may be in both places.
_LATENCIES = """
SELECT seconds, COUNT(*) FROM (
  SELECT (
    SELECT SUM(b.ended_at - b.submitted_at) FROM batches b WHERE b.number IN (
      SELECT t.batch FROM turns t WHERE t.conversation = c.id AND t.since = c.since
      UNION SELECT c.batch)) AS seconds
  FROM items i JOIN conversations c ON c.id = i.conversation
  WHERE i.job = (SELECT id FROM jobs WHERE address = ?) AND c.phase = 'final')
WHERE seconds IS NOT NULL GROUP BY 1
"""
_SENT = frozenset({"pending", "batched"})


class _Row(NamedTuple):
    turn: int
    request: RecordRef
    reply: RecordRef | None
    batch: RemoteId | None
    usage: Usage
    cost: float | None
    since: int


def read_turns(
    db: sqlite3.Connection, body: Callable[[RecordRef], bytes], job: JobAddress, key: RowKey
) -> list[StoredTurn]:
    """Return every request of an item with what came back, in order, answers replaced included."""
    found = db.execute(_CONVERSATION, (job, key)).fetchone()
    if found is None:
        return []
    conversation, contract = ConversationId(found[0]), int(found[1])
    *rest, present, kept = found[2:]
    rows = [
        _Row(row[0], row[1], row[2], row[3], Usage(*row[4:8]), row[8], row[9])
        for row in db.execute(_FOLLOWED, (conversation,))
    ]
    rows += _last(rows, rest, present)
    # Of a turn that was sent more than once, the last reply is the one whose calls were run.
    asking = {(row.since, row.turn): row for row in rows}
    answers = sorted({row.since for row in rows})
    wanted = {present, *(row.since for row in rows if kept is not None and row.reply == kept)}
    return [
        StoredTurn(
            row.turn,
            contract,
            body(row.request).partition(b"\t")[0],
            None if row.reply is None else body(row.reply),
            row.batch,
            row.usage,
            row.cost,
            tool_calls(db, conversation, row.since, row.turn)
            if asking[row.since, row.turn] is row
            else (),
            answers.index(row.since) + 1,
            row.since not in wanted,
        )
        for row in rows
    ]


def read_latencies(db: sqlite3.Connection, job: JobAddress) -> dict[float, int]:
    """Count the final items of a job by the seconds from submission to end of their batches."""
    return {float(seconds): n for seconds, n in db.execute(_LATENCIES, (job,))}


def _last(followed: Sequence[_Row], conversation: Sequence[Any], since: int) -> list[_Row]:
    """Return the request that waits for its reply, or whose reply nothing followed.

    The latter is in the conversation alone, whose tokens and cost are those of all turns.
    """
    turn, phase, request, reply, *tokens = conversation
    cost: float | None = tokens.pop()
    if phase in _SENT:
        return [_Row(turn, request, None, None, Usage(), 0.0, since)]
    if phase != "final" or any(row.reply == reply for row in followed):
        return []
    before = [sum(counts) for counts in zip(*(row.usage for row in followed), strict=True)]
    usage = Usage(*map(sub, tokens, before)) if before else Usage(*tokens)
    for row in followed:
        cost = None if cost is None or row.cost is None else cost - row.cost
    return [_Row(turn, request, reply, None, usage, cost, since)]
