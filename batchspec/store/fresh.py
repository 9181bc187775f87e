"""Which items have answers that are news: conditions of a query over items `i` and theirs, `c`."""

from typing import Any

from batchspec.state.stored import Fresh

_ANSWERED = " AND c.phase = 'final' AND c.outcome = 'succeeded'"
_NEWS = """
  AND i.id IN (
    SELECT n.id FROM conversations s CROSS JOIN items n ON n.conversation = s.id
    WHERE s.settled > 0 AND s.settled >= :since AND n.job = :job)
"""
_MADE_OF = """
  AND EXISTS (
    SELECT 1 FROM items u JOIN conversations a ON a.id = u.conversation
    WHERE u.job = (SELECT id FROM jobs WHERE address = :source{0}) AND u.key = i.key
      AND a.phase = 'final' AND a.outcome = 'succeeded' AND a.settled < :seen{0})
"""


def where_fresh(fresh: Fresh) -> tuple[str, dict[str, Any]]:
    """Return the conditions and their values; `:job` is the number of the items' job."""
    parts, values = [_ANSWERED], dict[str, Any](since=fresh.since)
    if fresh.since:
        parts.append(_NEWS)
    for number, (source, seen) in enumerate(fresh.made_of):
        parts.append(_MADE_OF.format(number))
        values |= {f"source{number}": source, f"seen{number}": seen}
    return "".join(parts), values
