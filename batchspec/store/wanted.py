"""Which open batches still have members that some row wants."""

import sqlite3

from batchspec.ids import BatchId
from batchspec.state.machine import conversation_phase, phases_before
from batchspec.state.resumption import TOOLS, TURN
from batchspec.state.stopped import CANCELLED
from batchspec.store.rows import SERIAL

_COUNTS = """
SELECT b.id, b.members, (
  SELECT COUNT(*) FROM conversations c WHERE c.batch = b.number AND c.phase = 'batched'
    AND EXISTS (SELECT 1 FROM items i WHERE i.conversation = c.id)) AS wanted
FROM batches b
WHERE b.phase IN ('intended', 'submitted', 'ended') AND b.members > 0 AND wanted < b.members
ORDER BY b.number
"""
_WANTED = """
EXISTS (SELECT 1 FROM conversations c JOIN items i ON i.conversation = c.id
  WHERE c.batch = b.number AND c.phase = 'batched')
"""
_UNNEEDED = f"""
SELECT b.id FROM batches b WHERE b.phase IN ('intended', 'submitted') AND b.cancel_at IS NULL
  AND b.members > 0 AND NOT b.imported AND NOT {_WANTED} ORDER BY b.number
"""  # noqa: S608 - constants
_NEEDED = f"SELECT {_WANTED} FROM batches b WHERE b.id = ?"  # noqa: S608 - constants
_WAITING = "phase IN ({})".format(", ".join(f"'{one}'" for one in phases_before("Abandoned")))
"""What is sent or run only if somebody still wants it."""
NOBODY = "No row wants it any more."
# What is given up while an old answer is kept has that one again, with its turns and calls.
_BACK = ", ".join(
    f"{column} = COALESCE((SELECT t.{column} FROM turns t "  # noqa: S608 - constants
    f"WHERE t.conversation = conversations.id AND t.reply = kept), {column})"
    for column in ("turn", "batch", "request", "since")
)
_ENDED = f"""
UPDATE conversations SET phase = '{conversation_phase("pending", "Abandoned")}',
  outcome = CASE WHEN kept IS NULL THEN 'cancelled' ELSE 'succeeded' END,
  reason = CASE WHEN kept IS NULL THEN '{{}}' END, reply = COALESCE(kept, reply),
  answer = CASE WHEN kept IS NULL THEN answer ELSE kept_answer END,
  output_retries = CASE WHEN kept IS NULL THEN output_retries ELSE kept_retries END,
  resumable = CASE WHEN kept IS NOT NULL THEN 0 WHEN phase = 'tools' THEN MAX(resumable, {TOOLS})
    ELSE {TURN} * (turn > 1) END, settled = {SERIAL}, {_BACK}
"""  # noqa: S608 - constants
_END_STOPPED = f"{_ENDED.format(CANCELLED)} WHERE {_WAITING} AND stopped = 1"
_ABANDON = f"""
{_ENDED.format(NOBODY)} WHERE {_WAITING} AND batch = (SELECT number FROM batches WHERE id = ?)
  AND NOT EXISTS (SELECT 1 FROM items i WHERE i.conversation = conversations.id)
"""  # noqa: S608 - constants
_ABANDON_DROPPED = f"""
{_ENDED.format(NOBODY)} WHERE {_WAITING} AND id IN (SELECT conversation FROM temp.dropped)
  AND NOT EXISTS (SELECT 1 FROM items i WHERE i.conversation = conversations.id)
"""  # noqa: S608 - constants
LET_GO = (
    # What another job wants now is served by that job's tools and validators, and judged by them.
    """
    CREATE TEMP TABLE taken AS
    SELECT c.id, c.job AS old, (
      SELECT i.job FROM items i WHERE i.conversation = c.id ORDER BY i.id LIMIT 1) AS new
    FROM conversations c WHERE c.id IN (SELECT conversation FROM temp.dropped)
      AND EXISTS (SELECT 1 FROM items i WHERE i.conversation = c.id)
      AND NOT EXISTS (SELECT 1 FROM items i WHERE i.conversation = c.id AND i.job = c.job)
    """,
    """
    UPDATE conversations SET job = (SELECT new FROM taken t WHERE t.id = conversations.id)
    WHERE id IN (SELECT id FROM taken)
    """,
    """
    UPDATE jobs SET judged = x'' WHERE id IN (
      SELECT t.new FROM taken t JOIN jobs o ON o.id = t.old JOIN jobs n ON n.id = t.new
      WHERE o.judged <> n.policy)
    """,
    # What no item wants any more is not sent; what is in a batch comes back and is kept.
    _ABANDON_DROPPED,
    "DROP TABLE taken",
)
"""What follows when items leave the conversations in `temp.dropped`: each goes to whoever wants it
now, or ends."""
_LOSE = f"""
UPDATE conversations SET phase = '{conversation_phase("batched", "Answered")}', outcome = 'lost',
  reason = ?, resumable = {TURN} * (turn > 1), settled = {SERIAL}
WHERE phase = 'batched' AND batch = (SELECT number FROM batches WHERE id = ?)
"""  # noqa: S608 - constants


def unwanted(db: sqlite3.Connection) -> dict[BatchId, tuple[int, int]]:
    """Return (members, members some row wants) of open batches that have others, by batch."""
    return {BatchId(row[0]): (row[1], row[2]) for row in db.execute(_COUNTS)}


def unneeded(db: sqlite3.Connection) -> list[BatchId]:
    """Return open batches without a wanted member that are not to be cancelled yet."""
    return [BatchId(batch) for (batch,) in db.execute(_UNNEEDED)]


def needed(db: sqlite3.Connection, batch: BatchId) -> bool:
    """Tell whether some row wants a member of a batch."""
    return bool(db.execute(_NEEDED, (batch,)).fetchone()[0])


def abandon(db: sqlite3.Connection, batch: BatchId) -> None:
    """End conversations a batch gave back that no row wants, or that a person stopped."""
    db.execute(_ABANDON, (batch,))
    end_stopped(db)


def end_stopped(db: sqlite3.Connection) -> None:
    """End what a person stopped and would wait to be sent; inside a transaction."""
    db.execute(_END_STOPPED)


def lose(db: sqlite3.Connection, batch: BatchId, reason: str) -> None:
    """End the members of a batch the provider does not know any more; inside a transaction."""
    db.execute(_LOSE, (reason, batch))
