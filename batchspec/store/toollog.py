"""Tool calls on record: what is to be run, what runs, what came out."""

import sqlite3
from collections.abc import Sequence

from batchspec.ids import ConversationId, JobAddress, RecordRef, RowKey
from batchspec.state.machine import conversation_phase
from batchspec.state.stored import (
    CallDone,
    CallRecord,
    NextTurn,
    ToolTurn,
)

_WORK = """
SELECT c.id, c.turn, c.request, c.reply, c.contract,
  (SELECT key FROM items i WHERE i.conversation = c.id LIMIT 1),
  (SELECT row FROM items i WHERE i.conversation = c.id LIMIT 1)
FROM lanes l JOIN conversations c ON c.lane = l.id AND c.phase = 'tools'
WHERE c.job = (SELECT id FROM jobs WHERE address = ?) LIMIT ?
"""
_CALLS = (
    "SELECT position, call_id, name, arguments, status, result, attempts FROM tool_calls "
    "WHERE conversation = ? AND turn = ? ORDER BY position"
)
_RUNNING = (
    "UPDATE tool_calls SET status = 'running' WHERE conversation = ? AND turn = ? AND position = ?"
)
_DONE = (
    "UPDATE tool_calls SET status = ?, result = ?, attempts = ?, seconds = ? "
    "WHERE conversation = ? AND turn = ? AND position = ?"
)
_CONTINUED = (
    f"UPDATE conversations SET phase = '{conversation_phase('tools', 'Continued')}', "  # noqa: S608 - constants
    "turn = turn + 1, attempts = 0, request = ?, size = ? WHERE id = ?"
)
_FAILED = (
    f"UPDATE conversations SET phase = '{conversation_phase('tools', 'Answered')}', "  # noqa: S608 - constants
    "outcome = ?, reason = ? WHERE id = ?"
)


def tool_turns(db: sqlite3.Connection, job: JobAddress, limit: int) -> list[ToolTurn]:
    """Return conversations of a job that wait for tool results, at most `limit`."""
    return [
        ToolTurn(
            conversation=ConversationId(row[0]),
            turn=row[1],
            request=RecordRef(row[2]),
            reply=RecordRef(row[3]),
            contract=row[4],
            key=None if row[5] is None else RowKey(row[5]),
            row=None if row[6] is None else RecordRef(row[6]),
            calls=tool_calls(db, row[0], row[1]),
        )
        for row in db.execute(_WORK, (job, limit)).fetchall()
    ]


def tool_calls(
    db: sqlite3.Connection, conversation: ConversationId, turn: int
) -> tuple[CallRecord, ...]:
    """Return the calls of one turn, in order."""
    return tuple(CallRecord(*call) for call in db.execute(_CALLS, (conversation, turn)))


def begin_calls(db: sqlite3.Connection, turns: Sequence[ToolTurn]) -> None:
    """Note that the calls which are not done are about to run; inside a transaction."""
    db.executemany(
        _RUNNING,
        [
            (turn.conversation, turn.turn, call.position)
            for turn in turns
            for call in turn.calls
            if call.status == "waiting"
        ],
    )


def finish_calls(db: sqlite3.Connection, done: Sequence[CallDone]) -> None:
    """Write the results of calls; inside a transaction."""
    db.executemany(
        _DONE,
        [
            (d.status, d.result, d.attempts, d.seconds, d.conversation, d.turn, d.position)
            for d in done
        ],
    )


def continue_turns(db: sqlite3.Connection, turns: Sequence[NextTurn]) -> None:
    """Make the next turns ready, or end conversations that failed; inside a transaction."""
    db.executemany(
        _CONTINUED, [(t.request, t.size, t.conversation) for t in turns if t.outcome is None]
    )
    db.executemany(
        _FAILED, [(t.outcome, t.reason, t.conversation) for t in turns if t.outcome is not None]
    )
