"""Which items have answers that are news: conditions of a query over items `i` and theirs, `c`."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from batchspec.ids import JobAddress, answered_by
from batchspec.state.stored import Fresh, MadeOf

_ANSWERED = " AND c.phase = 'final' AND c.outcome = 'succeeded'"
_NEWS = """
  AND i.id IN (
    SELECT n.id FROM conversations s CROSS JOIN items n ON n.conversation = s.id
    WHERE s.settled > 0 AND s.settled >= :since AND n.job = :job)
"""
_MADE_OF = """
  AND EXISTS (
    SELECT 1 FROM items u{0} JOIN conversations a{0} ON a{0}.id = u{0}.conversation
    WHERE u{0}.job = (SELECT id FROM jobs WHERE address = {1}) AND u{0}.key = {2}
      AND a{0}.phase = 'final' AND a{0}.outcome = 'succeeded' AND a{0}.settled < :seen{0}{3})
"""


def where_fresh(db: sqlite3.Connection, fresh: Fresh) -> tuple[str, dict[str, Any]]:
    """Return the conditions and their values; `:job` is the number of the items' job."""
    values = dict[str, Any](since=fresh.since)
    db.create_function("answered_by", 3, _answered_by, deterministic=True)
    db.create_function("answered_key", 2, _answered_key, deterministic=True)
    more = _made_of(fresh.made_of, 0, "i.key", values)
    return _ANSWERED + (_NEWS if fresh.since else "") + more, values


def _made_of(made_of: Sequence[MadeOf], number: int, key: str, values: dict[str, Any]) -> str:
    """Return the condition on the items whose key is `key`."""
    if not made_of:
        return ""
    job, seen, several, varied = made_of[0]
    values |= {f"source{number}": job, f"seen{number}": seen, f"varied{number}": varied}
    address, above = f":source{number}", key
    if several:
        address = f"answered_by(:source{number}, {key}, :varied{number})"
        above = f"answered_key({key}, :varied{number})"
    rest = _made_of(made_of[1:], number + 1, f"u{number}.key", values)
    return _MADE_OF.format(number, address, above, rest)


def _answered_by(group: str, key: str, varied: int) -> str:
    return answered_by(JobAddress(group), key, varied=bool(varied))[0]


def _answered_key(key: str, varied: int) -> str:
    return answered_by(JobAddress(""), key, varied=bool(varied))[1]
