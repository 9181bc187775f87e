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

# Rows with equal requests have one conversation, which was paid once.
_SPENT = f"""
SELECT COALESCE(SUM(input_tokens), 0), COALESCE(SUM(cached_tokens), 0),
  COALESCE(SUM(output_tokens), 0), COALESCE(SUM(reasoning_tokens), 0),
  SUM(cost), SUM(cost IS NULL), COALESCE(SUM(CASE WHEN answered THEN turn ELSE 0 END), 0)
FROM (
  SELECT c.*, MAX(c.phase = 'final' OR c.id <> wanted.id OR {KEPT}) AS answered
  {SHOWN.format(older=1)}
  WHERE i.job = (SELECT id FROM jobs WHERE address = ?) GROUP BY c.id)
"""  # noqa: S608 - constants


def read_spent(db: sqlite3.Connection, job: JobAddress) -> Spent:
    """Return what the answers shown of a job took, those that rows share counted once."""
    *tokens, cost, unknown, turns = db.execute(_SPENT, (job,)).fetchone()
    return Spent(Usage(*tokens), None if unknown else Decimal(str(cost or 0)), turns)
