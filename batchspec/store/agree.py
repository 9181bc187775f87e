"""Recording a plan: the statements that turn a draft into rows of the state.

Set-based, so that a million rows are one transaction of a few seconds. `draft` is the attached
scratch database of `store.draft`.
"""

import sqlite3

from batchspec.errors import RefusedError
from batchspec.state.machine import conversation_phase
from batchspec.state.resumption import REPLY, TOOLS
from batchspec.store.rows import COUNTED, SERIAL
from batchspec.store.wanted import LET_GO

_STATEMENTS = (
    # Lanes, contracts and jobs.
    """
    INSERT OR IGNORE INTO lanes (provider, endpoint, model)
    SELECT DISTINCT provider, endpoint, model FROM draft.jobs
    """,
    """
    INSERT OR IGNORE INTO contracts (fingerprint, lane, body)
    SELECT d.fingerprint, l.id, d.contract FROM draft.jobs d JOIN lanes l
      ON l.provider = d.provider AND l.endpoint = d.endpoint AND l.model = d.model
    """,
    """
    INSERT INTO jobs (address, contract, policy, judged, protect)
    SELECT d.address, c.id, d.policy, d.policy, d.protect FROM draft.jobs d
    JOIN contracts c ON c.fingerprint = d.fingerprint WHERE true
    ON CONFLICT (address) DO UPDATE
      SET contract = excluded.contract, policy = excluded.policy, protect = excluded.protect,
        removed = 0
    """,
    # What is known now waits for nothing any more.
    "DELETE FROM awaited WHERE address IN (SELECT address FROM draft.jobs)",
    """
    CREATE TEMP TABLE wanted AS
    SELECT d.number, j.id AS job, j.contract, c.lane, d.partial, d.scoped, d.sample
    FROM draft.jobs d
    JOIN jobs j ON j.address = d.address JOIN contracts c ON c.id = j.contract
    """,
    # A look at some rows leaves when all were looked at last as it is.
    """
    DELETE FROM sources WHERE job IN (SELECT job FROM wanted) AND (job, upstream) NOT IN (
      SELECT w.job, u.id FROM draft.sources s JOIN wanted w ON w.number = s.job
      JOIN jobs u ON u.address = s.upstream)
    """,
    f"""
    INSERT INTO sources (job, upstream, collects, picks, seen)
    SELECT w.job, u.id, s.collects, s.picks, CASE WHEN s.whole THEN {SERIAL} ELSE 0 END
    FROM draft.sources s JOIN wanted w ON w.number = s.job JOIN jobs u ON u.address = s.upstream
    WHERE true ON CONFLICT (job, upstream) DO UPDATE SET collects = excluded.collects,
      picks = excluded.picks, seen = MAX(seen, excluded.seen)
    """,  # noqa: S608 - constants
    # Conversations: new ones, and those to be sent anew from their first turn.
    """
    INSERT OR IGNORE INTO conversations
      (fingerprint, contract, lane, job, phase, request, size, scope, sample,
       data)
    SELECT r.fingerprint, w.contract, w.lane, w.job, 'pending', r.body, r.size,
      CASE WHEN w.scoped THEN r.key END, w.sample, r.data
    FROM draft.rows r JOIN wanted w ON w.number = r.job
    WHERE r.kind IN ('+', '-/+') ORDER BY r.id
    """,
    """
    INSERT OR IGNORE INTO turns (conversation, try, turn, batch, request, reply, input_tokens,
      cached_tokens, output_tokens, reasoning_tokens, cost, since)
    SELECT c.id, c.tries, c.turn, c.batch, c.request, c.reply,
      c.input_tokens - COALESCE(SUM(t.input_tokens), 0),
      c.cached_tokens - COALESCE(SUM(t.cached_tokens), 0),
      c.output_tokens - COALESCE(SUM(t.output_tokens), 0),
      c.reasoning_tokens - COALESCE(SUM(t.reasoning_tokens), 0),
      c.cost - COALESCE(SUM(t.cost), 0), c.since
    FROM conversations c LEFT JOIN turns t ON t.conversation = c.id
    WHERE c.phase = 'final' AND c.reply IS NOT NULL AND c.batch IS NOT NULL
      AND c.fingerprint IN (SELECT fingerprint FROM draft.rows WHERE kind IN ('-/+', '>>'))
      AND NOT EXISTS (SELECT 1 FROM turns o WHERE o.conversation = c.id AND o.reply = c.reply)
    GROUP BY c.id
    """,
    # Turns that were answered are paid: what ended later goes on where it was. What only a higher
    # bound lets go on, and a call that must not run twice, begin anew where a person wants that.
    f"""
    CREATE TEMP TABLE resumed AS
    SELECT c.id, c.turn, c.since, MAX(w.job) AS owner, {COUNTED} AS judged
    FROM draft.rows r JOIN wanted w ON w.number = r.job
    JOIN conversations c ON c.fingerprint = r.fingerprint
    WHERE r.kind IN ('-/+', '>>') AND c.phase = 'final' AND c.resumable > 0 AND tainted <= tries
      AND (r.kind = '>>' OR c.resumable <= {TOOLS} OR c.outcome = 'cancelled')
      AND r.fingerprint NOT IN (SELECT fingerprint FROM draft.anew)
    GROUP BY 1, 2, 3
    """,  # noqa: S608 - constants
    # A call that failed runs again, and is known to have begun if it did.
    """
    UPDATE tool_calls SET status = CASE WHEN attempts > 0 THEN 'running' ELSE 'waiting' END,
      result = CASE WHEN attempts > 0 THEN result END
    WHERE status = 'failed' AND EXISTS (
      SELECT 1 FROM resumed r WHERE r.id = tool_calls.conversation AND r.turn = tool_calls.turn
        AND r.since = tool_calls.since)
      AND conversation IN (SELECT id FROM resumed)
    """,
    # An output beside calls may be accepted by now: it is judged before they run.
    f"""
    UPDATE conversations SET phase = CASE WHEN resumable >= {TOOLS}
        THEN '{conversation_phase("final", "Resumed")}'
        ELSE '{conversation_phase("final", "Reopened")}' END,
      resumable = {REPLY} * (resumable >= {REPLY} OR (resumable >= {TOOLS} AND judged)),
      attempts = 0, ready_at = 0, stopped = 0, outcome = NULL, reason = NULL, job = r.owner
    FROM resumed r WHERE r.id = conversations.id
    """,  # noqa: S608 - constants
    "DROP TABLE resumed",
    # Turns and calls of the answer that is replaced keep the `since` they have.
    """
    UPDATE conversations SET phase = 'pending', turn = 1, since = tries, attempts = 0,
      output_retries = 0, resumable = 0, stopped = 0, ready_at = 0, answer = NULL,
      kept = CASE WHEN outcome = 'succeeded' THEN reply ELSE kept END,
      kept_answer = CASE WHEN outcome = 'succeeded' THEN answer ELSE kept_answer END,
      kept_retries = CASE WHEN outcome = 'succeeded' THEN output_retries ELSE kept_retries END,
      outcome = NULL,
      reason = NULL, request = r.body, size = r.size, data = r.data, job = r.owner
    FROM (
      SELECT r.fingerprint, MAX(r.body) AS body, MAX(r.size) AS size, MAX(r.data) AS data,
        MAX(w.job) AS owner
      FROM draft.rows r JOIN wanted w ON w.number = r.job WHERE r.kind = '-/+' GROUP BY 1
    ) r
    WHERE conversations.fingerprint = r.fingerprint AND conversations.phase = 'final'
    """,
    # What a person stopped and an item wants from now on is sent again. Those are few, if any: with
    # the `+` SQLite looks for them first, and only then, if at all, at the rows of the plan.
    """
    UPDATE conversations SET stopped = 0 WHERE stopped = 1 AND phase = 'batched'
      AND +fingerprint IN (SELECT fingerprint FROM draft.rows WHERE kind IS NOT NULL)
    """,
    # Items; the old answer stays readable until the new one is in.
    """
    CREATE TEMP TABLE dropped AS
    SELECT i.conversation, i.previous FROM draft.rows r
    JOIN wanted w ON w.number = r.job
    JOIN items i ON i.job = w.job AND i.key = r.key WHERE r.kind IS NOT NULL
    """,
    """
    INSERT INTO items (job, key, conversation, row, digest)
    SELECT w.job, r.key, c.id, r.body, r.digest FROM draft.rows r
    JOIN wanted w ON w.number = r.job JOIN conversations c ON c.fingerprint = r.fingerprint
    WHERE r.kind IS NOT NULL ORDER BY r.id
    ON CONFLICT (job, key) DO UPDATE SET
      previous = CASE
        WHEN items.conversation = excluded.conversation THEN previous
        WHEN (SELECT outcome = 'succeeded' OR kept IS NOT NULL
          FROM conversations c WHERE c.id = items.conversation) THEN items.conversation
        ELSE previous END,
      conversation = excluded.conversation, row = excluded.row, digest = excluded.digest
    """,
    # Rows and jobs that are gone: forgotten, never destroyed; their answers can be reused.
    """
    CREATE TEMP TABLE gone AS
    SELECT i.id FROM wanted w JOIN items i ON i.job = w.job
    WHERE NOT w.partial AND NOT EXISTS (
      SELECT 1 FROM draft.rows r WHERE r.job = w.number AND r.key = i.key)
    UNION
    SELECT i.id FROM draft.forgets f JOIN wanted w ON w.number = f.job
    JOIN items i ON i.job = w.job AND i.key = f.key
    UNION
    SELECT i.id FROM draft.removed_jobs d JOIN jobs j ON j.address = d.address
    JOIN items i ON i.job = j.id
    """,
    """
    INSERT INTO dropped
    SELECT i.conversation, i.previous FROM gone g JOIN items i ON i.id = g.id
    """,
    """
    UPDATE jobs SET grade = NULL WHERE grade NOT NULL AND id IN (
      SELECT i.job FROM gone g JOIN items i ON i.id = g.id)
    """,
    "DELETE FROM items WHERE id IN (SELECT id FROM gone)",
    # A row that has another name now has its old answer under that name.
    """
    UPDATE items SET previous = d.previous
    FROM (
      SELECT conversation, MAX(previous) AS previous FROM dropped
      WHERE previous IS NOT NULL GROUP BY 1
    ) d
    WHERE d.conversation = items.conversation AND items.previous IS NULL
      AND EXISTS (SELECT 1 FROM draft.rows r JOIN wanted w ON w.number = r.job
        WHERE w.job = items.job AND r.key = items.key AND r.kind IS NOT NULL)
    """,
    """
    UPDATE jobs SET removed = 1 WHERE address IN (SELECT address FROM draft.removed_jobs)
    """,
    # Validators may look at the row, so a row that changed outside its request is judged again.
    """
    UPDATE jobs SET judged = x'' WHERE id IN (
      SELECT w.job FROM draft.rows r JOIN wanted w ON w.number = r.job WHERE r.kind = '~')
    """,
    """
    INSERT INTO dropped
    SELECT c.id, NULL FROM draft.rows r
    JOIN conversations c ON c.fingerprint = r.fingerprint WHERE r.kind = '='
    """,
    *LET_GO,
    # Answers that other rows have from now on are news for what is made of those rows.
    f"""
    UPDATE conversations SET settled = {SERIAL}
    WHERE phase = 'final' AND outcome = 'succeeded' AND fingerprint IN (
      SELECT fingerprint FROM draft.rows WHERE kind IN ('=', '~'))
    """,  # noqa: S608 - constants
    "DROP TABLE wanted",
    "DROP TABLE dropped",
    "DROP TABLE gone",
)
_LIVE_JOBS = "SELECT COUNT(*) FROM jobs WHERE NOT removed"
_CONFLICT = """
SELECT n.address, o.address, i.key FROM draft.jobs d JOIN jobs n ON n.address = d.address
JOIN items i ON i.job = n.id JOIN conversations c ON c.id = i.conversation
JOIN jobs o ON o.id = c.job
WHERE c.job <> n.id AND o.policy <> n.policy AND NOT o.removed {} LIMIT 1
"""
# Of a job of which only some rows are planned, those; the others were looked at before, unless it
# runs other code from now on.
_CONFLICTS = (
    _CONFLICT.format("AND (NOT d.partial OR n.judged <> n.policy)"),
    _CONFLICT.format("AND d.partial").replace(
        "JOIN items i ON i.job = n.id",
        "CROSS JOIN draft.rows r ON r.job = d.number AND r.kind IS NOT NULL "
        "CROSS JOIN items i ON i.job = n.id AND i.key = r.key",
    ),
)


def agree(db: sqlite3.Connection) -> None:
    """Write the rows of the attached `draft`; inside a transaction.

    Raises:
        RefusedError: Two jobs would share an answer and judge it differently.
    """
    for statement in _STATEMENTS:
        db.execute(statement)
    if db.execute(_LIVE_JOBS).fetchone()[0] > 1:
        for looked_for in _CONFLICTS:
            conflict = db.execute(looked_for).fetchone()
            if conflict is not None:
                raise RefusedError(_two_judges(*conflict))


def _two_judges(job: str, other: str, key: str) -> str:
    return (
        f"Row {key!r} of {job} asks exactly what a row of {other} asks, but the two jobs run "
        "different tools, validators or output types on the answer, and an answer is paid for and "
        "judged once. Nothing was recorded or sent: let the prompts differ, or give both the same."
    )
