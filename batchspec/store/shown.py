"""Which answer is shown of an item, and what the answers of a job cost, each counted once."""

import sqlite3
from decimal import Decimal

from batchspec.ids import JobAddress
from batchspec.messages import Usage
from batchspec.state.stored import Spent

# The answer shown is that of the item's conversation once it is accepted; until then, and when it
# was not accepted, the old one: this conversation's own from before it was sent anew (`kept`), or
# that of the item's previous conversation. `{older}` is 0 where failures themselves are wanted.
SHOWN = """
FROM items i
JOIN conversations wanted ON wanted.id = i.conversation
JOIN conversations c ON c.id = CASE
  WHEN {older} AND wanted.kept IS NULL AND i.previous IS NOT NULL
    AND (wanted.phase <> 'final' OR wanted.outcome <> 'succeeded') THEN i.previous
  ELSE i.conversation END
"""
KEPT = "(c.kept IS NOT NULL AND (c.phase <> 'final' OR c.outcome <> 'succeeded'))"

# What the answer shown took is what its conversation took without the turns of other answers; what
# one that is kept took is in turns alone. `{kept}` is KEPT, or 0 where failures are wanted.
OTHERS = """
LEFT JOIN turns t ON t.conversation = c.id AND CASE WHEN {kept}
  THEN t.since = (SELECT k.since FROM turns k WHERE k.conversation = c.id AND k.reply = c.kept)
  ELSE t.since <> c.since END
"""
_TOKENS = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
_TOOK = "CASE WHEN {{kept}} THEN COALESCE(SUM(t.{0}), 0) ELSE c.{0} - COALESCE(SUM(t.{0}), 0) END"
_COST = """CASE WHEN NOT {kept} THEN ROUND(c.cost - COALESCE(SUM(t.cost), 0), 12)
  WHEN SUM(t.cost IS NULL) = 0 THEN ROUND(SUM(t.cost), 12) END"""
TOOK = ", ".join(
    [
        "CASE WHEN {kept} THEN MAX(t.turn) ELSE c.turn END AS took_turns",
        *(f"{_TOOK.format(name)} AS took_{name}" for name in _TOKENS),
        f"{_COST} AS took_cost",
    ]
)
"""Turns, tokens and cost of the answer shown: with `OTHERS`, grouped by item or conversation."""

# Rows with equal requests have one conversation, which was paid once.
_SPENT = f"""
SELECT {", ".join(f"COALESCE(SUM(took_{name}), 0)" for name in _TOKENS)},
  SUM(took_cost), SUM(took_cost IS NULL),
  COALESCE(SUM(CASE WHEN answered THEN took_turns ELSE 0 END), 0)
FROM (
  SELECT s.answered, {TOOK.format(kept=KEPT)}
  FROM (
    SELECT c.id, MAX(c.phase = 'final' OR c.id <> wanted.id OR {KEPT}) AS answered
    {SHOWN.format(older=1)}
    WHERE i.job = (SELECT id FROM jobs WHERE address = ?) GROUP BY c.id) s
  CROSS JOIN conversations c ON c.id = s.id {OTHERS.format(kept=KEPT)} GROUP BY c.id)
"""  # noqa: S608 - constants


def read_spent(db: sqlite3.Connection, job: JobAddress) -> Spent:
    """Return what the answers shown of a job took, those that rows share counted once."""
    *tokens, cost, unknown, turns = db.execute(_SPENT, (job,)).fetchone()
    return Spent(Usage(*tokens), None if unknown else Decimal(str(cost or 0)), turns)
