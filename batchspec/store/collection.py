"""Settling the members of one batch: one transaction, in chunks."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from batchspec.ids import BatchId, ConversationId, JobAddress, RecordRef
from batchspec.ports import Judged, Member
from batchspec.state.machine import conversation_phase
from batchspec.state.settlement import Answered, AskAgain, CallTools, SendAgain

_MEMBERS = """
SELECT lower(hex(substr(c.fingerprint, 1, 8))) || '-' || c.turn, c.id, j.address, c.turn,
  c.attempts, c.output_retries, c.request, c.tries, c.contract,
  EXISTS (SELECT 1 FROM items i WHERE i.conversation = c.id)
FROM conversations c JOIN jobs j ON j.id = c.job
WHERE c.phase = 'batched' AND c.batch = ? ORDER BY c.id
"""
_SPEND = (
    "input_tokens = input_tokens + ?, cached_tokens = cached_tokens + ?, "
    "output_tokens = output_tokens + ?, reasoning_tokens = reasoning_tokens + ?, cost = cost + ?"
)
_ANSWERED = (
    f"UPDATE conversations SET phase = '{conversation_phase('batched', 'Answered')}', "  # noqa: S608 - constants
    f"tries = tries + 1, outcome = ?, reason = ?, reply = ?, {_SPEND} WHERE id = ?"
)
_TOOLS = (
    f"UPDATE conversations SET phase = '{conversation_phase('batched', 'ToolsCalled')}', "  # noqa: S608 - constants
    f"tries = tries + 1, reply = ?, {_SPEND} WHERE id = ?"
)
_CONTINUED = (
    f"UPDATE conversations SET phase = '{conversation_phase('batched', 'Continued')}', "  # noqa: S608 - constants
    "tries = tries + 1, turn = turn + 1, attempts = 0, output_retries = output_retries + 1, "
    f"reply = ?, request = ?, size = ?, {_SPEND} WHERE id = ?"
)
_RETURNED = (
    f"UPDATE conversations SET phase = '{conversation_phase('batched', 'Returned')}', "  # noqa: S608 - constants
    f"tries = tries + 1, attempts = attempts + 1, reason = ?, {_SPEND} WHERE id = ?"
)
_CALL = (
    "INSERT OR IGNORE INTO tool_calls (conversation, turn, position, call_id, name, arguments) "
    "VALUES (?, ?, ?, ?, ?, ?)"
)
_TURN = "INSERT INTO turns VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class Collection:
    """The members of a batch that is being settled; lives inside a transaction."""

    def __init__(self, db: sqlite3.Connection, batch: BatchId) -> None:
        self._db = db
        self._number: int = db.execute(
            "SELECT number FROM batches WHERE id = ?", (batch,)
        ).fetchone()[0]

    def members(self) -> dict[str, Member]:
        """Return the members that are not settled, by custom_id, in the order of their lines."""
        return {
            row[0]: Member(
                custom_id=row[0],
                conversation=ConversationId(row[1]),
                job=JobAddress(row[2]),
                turn=row[3],
                attempts=row[4],
                output_retries=row[5],
                request=RecordRef(row[6]),
                tries=row[7],
                contract=row[8],
                wanted=bool(row[9]),
            )
            for row in self._db.execute(_MEMBERS, (self._number,))
        }

    def record(self, judged: Sequence[Judged]) -> None:
        """Write what became of some members."""
        number = self._number
        self._db.executemany(
            _TURN,
            [
                (
                    j.member.conversation,
                    j.member.tries + 1,
                    j.member.turn,
                    number,
                    j.member.request,
                    j.reply,
                    *_spent(j),
                )
                for j in judged
                if j.reply is not None
            ],
        )
        groups: Mapping[type, list[Judged]] = {
            Answered: [],
            CallTools: [],
            AskAgain: [],
            SendAgain: [],
        }
        for j in judged:
            groups[type(j.settlement)].append(j)
        self._answered(groups[Answered])
        self._tools(groups[CallTools])
        self._continued(groups[AskAgain])
        self._returned(groups[SendAgain])

    def _answered(self, judged: Iterable[Judged]) -> None:
        self._db.executemany(
            _ANSWERED,
            [
                (s.outcome, s.reason, j.reply, *_spent(j), j.member.conversation)
                for j in judged
                if isinstance(s := j.settlement, Answered)
            ],
        )

    def _tools(self, judged: Iterable[Judged]) -> None:
        for j in judged:
            if isinstance(j.settlement, CallTools):
                self._db.execute(_TOOLS, (j.reply, *_spent(j), j.member.conversation))
                self._db.executemany(
                    _CALL,
                    [
                        (j.member.conversation, j.member.turn, n, c.id, c.name, c.arguments)
                        for n, c in enumerate(j.settlement.calls)
                    ],
                )

    def _continued(self, judged: Iterable[Judged]) -> None:
        self._db.executemany(
            _CONTINUED,
            [(j.reply, j.request, j.size, *_spent(j), j.member.conversation) for j in judged],
        )

    def _returned(self, judged: Iterable[Judged]) -> None:
        self._db.executemany(
            _RETURNED,
            [
                (s.reason, *_spent(j), j.member.conversation)
                for j in judged
                if isinstance(s := j.settlement, SendAgain)
            ],
        )


def _spent(judged: Judged) -> tuple[int, int, int, int, float | None]:
    usage = judged.usage
    return (
        usage.input_tokens,
        usage.cached_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        judged.cost,
    )
