"""Tool calls on record: what is to be run, what runs, what came out."""

import json
import sqlite3
from collections.abc import Iterable, Sequence

from batchspec.ids import ConversationId, JobAddress, RecordRef, RowKey
from batchspec.state.machine import conversation_phase
from batchspec.state.settlement import CallTools
from batchspec.state.stored import (
    CallDone,
    CallRecord,
    NextTurn,
    ToolTurn,
)
from batchspec.store.memo import remember
from batchspec.store.rows import PRESENT, SERIAL

_CALL = (
    "INSERT OR IGNORE INTO tool_calls "
    "(conversation, turn, position, call_id, name, arguments, status, result, since) "
    "SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, since FROM conversations WHERE id = ?1"
)
_WORK = """
SELECT c.id, c.turn, c.request, c.reply, c.contract, c.since,
  (SELECT key FROM items i WHERE i.conversation = c.id LIMIT 1),
  (SELECT row FROM items i WHERE i.conversation = c.id LIMIT 1)
FROM lanes l JOIN conversations c ON c.lane = l.id AND c.phase = 'tools'
WHERE c.job = (SELECT id FROM jobs WHERE address = ?) AND c.resumable = 0
AND c.id NOT IN (SELECT value FROM json_each(?)) LIMIT ?
"""
_CALLS = (
    "SELECT position, call_id, name, arguments, status, result, attempts, seconds, started_at, "
    "reused FROM tool_calls WHERE conversation = ? AND since = ? AND turn = ? ORDER BY position"
)
_EARLIER = f"""
SELECT name, COUNT(*) FROM tool_calls
WHERE {PRESENT} AND conversation = ? AND turn < ? GROUP BY name
"""  # noqa: S608 - constants
_TRIED = f"""
SELECT name, MAX(wrong) FROM tool_calls
WHERE {PRESENT} AND conversation = ? AND turn < ? GROUP BY name, turn ORDER BY turn
"""  # noqa: S608 - constants
_RUNNING = f"""
UPDATE tool_calls SET status = 'running', attempts = attempts + 1, started_at = ?
WHERE {PRESENT} AND conversation = ? AND turn = ? AND position = ?
"""  # noqa: S608 - constants
_DONE = f"""
UPDATE tool_calls SET status = ?, result = ?, attempts = ?, seconds = ?, reused = ?, wrong = ?
WHERE {PRESENT} AND conversation = ? AND turn = ? AND position = ?
"""  # noqa: S608 - constants
_CONTINUED = (
    f"UPDATE conversations SET phase = '{conversation_phase('tools', 'Continued')}', "  # noqa: S608 - constants
    "turn = turn + 1, attempts = 0, request = ?, size = ? WHERE id = ?"
)
_FAILED = (
    f"UPDATE conversations SET phase = '{conversation_phase('tools', 'Answered')}', "  # noqa: S608 - constants
    f"outcome = ?, reason = ?, resumable = ?, settled = {SERIAL} WHERE id = ?"
)

# Calls that began before and were to run again: their item has ended without that.
_CUT_SHORT = f"""
UPDATE tool_calls SET status = 'failed', result = COALESCE(result,
  'tool "' || name || '" was cut short, and its item ended before it could run again')
WHERE {PRESENT} AND conversation = ? AND status = 'running'
"""  # noqa: S608 - constants
_UNRUN = """
DELETE FROM tool_calls WHERE status = 'waiting' AND (conversation, since, turn) IN (
  SELECT c.id, c.since, c.turn FROM conversations c WHERE c.outcome = 'succeeded' AND c.id IN ({}))
"""


def tool_turns(
    db: sqlite3.Connection, job: JobAddress, limit: int, but: Iterable[ConversationId] = ()
) -> list[ToolTurn]:
    """Return conversations of a job that wait for tool results, at most `limit`, but for some."""
    return [
        ToolTurn(
            conversation=ConversationId(row[0]),
            turn=row[1],
            request=RecordRef(row[2]),
            reply=RecordRef(row[3]),
            contract=row[4],
            key=None if row[6] is None else RowKey(row[6]),
            row=None if row[7] is None else RecordRef(row[7]),
            calls=tool_calls(db, row[0], row[5], row[1]),
            earlier={} if row[1] == 1 else dict(db.execute(_EARLIER, row[:2]).fetchall()),
            tried={} if row[1] == 1 else _tried(db, *row[:2]),
        )
        for row in db.execute(_WORK, (job, json.dumps(list(but)), limit)).fetchall()
    ]


def _tried(db: sqlite3.Connection, conversation: str, turn: int) -> dict[str, int]:
    """Return in how many turns in a row, up to now, calls of a tool were not accepted, by name."""
    found: dict[str, int] = {}
    for name, in_vain in db.execute(_TRIED, (conversation, turn)):
        found[name] = found.get(name, 0) + 1 if in_vain else 0
    return found


def tool_calls(
    db: sqlite3.Connection, conversation: ConversationId, since: int, turn: int
) -> tuple[CallRecord, ...]:
    """Return the calls of one turn of one of a conversation's answers, in order."""
    return tuple(
        CallRecord(*call)._replace(reused=bool(call[-1]))
        for call in db.execute(_CALLS, (conversation, since, turn))
    )


def note_calls(
    db: sqlite3.Connection, conversation: ConversationId, turn: int, asked: CallTools
) -> None:
    """Write down the calls of a reply; what the judge answered already is not run."""
    answers = dict(asked.answers)
    for n, call in enumerate(asked.calls):
        content = answers.get(call.id)
        status = "waiting" if content is None else "done"
        db.execute(_CALL, (conversation, turn, n, *call, status, content))


def begin_calls(db: sqlite3.Connection, turns: Sequence[ToolTurn], at: float) -> None:
    """Note that the calls which are not done are about to run; inside a transaction."""
    db.executemany(
        _RUNNING,
        [
            (at, turn.conversation, turn.turn, call.position)
            for turn in turns
            for call in turn.calls
            if call.status in {"waiting", "running"}
        ],
    )


def finish_calls(db: sqlite3.Connection, done: Sequence[CallDone], at: float) -> None:
    """Write the results of calls; inside a transaction."""
    db.executemany(
        _DONE,
        [(*(d.status, d.result, d.attempts, d.seconds, d.reused, d.wrong), *d[:3]) for d in done],
    )
    remember(db, done, at)


def continue_turns(db: sqlite3.Connection, turns: Sequence[NextTurn]) -> None:
    """Make the next turns ready, or end conversations that failed; inside a transaction."""
    db.executemany(
        _CONTINUED, [(t.request, t.size, t.conversation) for t in turns if t.outcome is None]
    )
    db.executemany(
        _FAILED,
        [
            (t.outcome, t.reason, t.resumable, t.conversation)
            for t in turns
            if t.outcome is not None
        ],
    )
    cut_short(db, [t.conversation for t in turns if t.outcome is not None])


def cut_short(db: sqlite3.Connection, ended: Iterable[ConversationId]) -> None:
    """Close calls of conversations that ended which began before and were to run again."""
    db.executemany(_CUT_SHORT, [(conversation,) for conversation in ended])


def drop_unrun(db: sqlite3.Connection, conversations: str, values: Sequence[object] = ()) -> None:
    """Drop the calls that never began beside a reply which is accepted by now.

    They are not run, as where such a reply is accepted when it comes. Inside a transaction.

    Args:
        db: The state.
        conversations: Those that were judged again: their ids, or a query for them.
        values: Of its marks.
    """
    db.execute(_UNRUN.format(conversations), values)
