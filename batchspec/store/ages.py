"""How old answers are: an answer came in when the end of its last batch was seen."""

import json
import sqlite3
from collections.abc import Mapping

from batchspec.ids import JobAddress

# Every item has a job, a conversation and a batch: one pass, less than a plan takes for them.
_NEXT = """
SELECT MIN(b.ended_at + k.value) FROM json_each(:lifetimes) k
JOIN jobs j ON j.address = k.key CROSS JOIN items i ON i.job = j.id
CROSS JOIN conversations c ON c.id = i.conversation AND c.phase = 'final'
  AND c.outcome = 'succeeded'
CROSS JOIN batches b ON b.number = c.batch AND b.ended_at > :now - k.value
"""


def next_expiry(
    db: sqlite3.Connection, lifetimes: Mapping[JobAddress, float], now: float
) -> float | None:
    """Return when the next answer grows too old; those that are already are no matter.

    Args:
        db: The state.
        lifetimes: Seconds that answers of some jobs may be old.
        now: Unix seconds.
    """
    if not lifetimes:
        return None
    values = {"lifetimes": json.dumps(lifetimes), "now": now}
    moment: float | None = db.execute(_NEXT, values).fetchone()[0]
    return moment
