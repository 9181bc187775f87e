"""Conversations that go on from their last reply, once it was judged again: the statements."""

import sqlite3
from collections.abc import Sequence

from batchspec.ids import JobAddress
from batchspec.state.machine import conversation_phase
from batchspec.state.resumption import BOUND, REPLY
from batchspec.state.settlement import Answered, AskAgain, CallTools
from batchspec.state.stored import Resumed, StoredReply
from batchspec.store.rows import ASKED, SERIAL
from batchspec.store.toollog import cut_short, drop_unrun, note_calls

_REPLIES = f"""
SELECT c.id, c.request, c.reply, c.turn, {ASKED}, c.contract, l.endpoint
FROM lanes l JOIN conversations c ON c.lane = l.id AND c.phase = 'tools'
WHERE c.resumable = {REPLY} AND c.job = (SELECT id FROM jobs WHERE address = ?) LIMIT ?
"""  # noqa: S608 - constants
# What ends for another reason than the number of its turns begins anew when it is asked for.
_ANSWERED = f"""
UPDATE conversations SET phase = '{conversation_phase("tools", "Answered")}', outcome = ?,
  reason = ?, answer = ?, resumable = ?, tainted = tainted * (? <> 'succeeded'), settled = {SERIAL}
WHERE id = ?
"""  # noqa: S608 - constants
_TOOLS = f"""
UPDATE conversations SET phase = '{conversation_phase("tools", "ToolsCalled")}', resumable = 0,
  output_retries = ? WHERE id = ?
"""  # noqa: S608 - constants
_CONTINUED = f"""
UPDATE conversations SET phase = '{conversation_phase("tools", "Continued")}', resumable = 0,
  turn = turn + 1, attempts = 0, output_retries = ?, request = ?, size = ?
WHERE id = ?
"""  # noqa: S608 - constants


def replies(db: sqlite3.Connection, job: JobAddress, limit: int) -> list[StoredReply]:
    """Return replies of a job that conversations are to go on from, at most so many."""
    return [StoredReply._make(row) for row in db.execute(_REPLIES, (job, limit))]


def resume(db: sqlite3.Connection, resumed: Sequence[Resumed]) -> None:
    """Let conversations go on, or end, as their replies say; inside a transaction."""
    for stored, settlement, body, size in resumed:
        conversation = stored.conversation
        match settlement:
            case CallTools():
                note_calls(db, conversation, stored.turn, settlement)
                asked = stored.output_retries + bool(settlement.answers)
                db.execute(_TOOLS, (asked, conversation))
            case AskAgain():
                asked = stored.output_retries + 1
                db.execute(_CONTINUED, (asked, body, size, conversation))
            case Answered(outcome, reason):
                again = BOUND * (outcome == "exhausted")
                db.execute(_ANSWERED, (outcome, reason, body, again, outcome, conversation))
                cut_short(db, [conversation])
                drop_unrun(db, "?", (conversation,))
            case _:
                raise TypeError(settlement)
