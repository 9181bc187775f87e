"""How many batches an account may create in an hour."""

import sqlite3
from collections.abc import Callable
from math import ceil

from batchspec.simulator.wire import HTTPFailure

_NTH_NEWEST = """
SELECT document ->> 'created_at' FROM batches ORDER BY seq DESC LIMIT 1 OFFSET ?
"""
_HOUR = 3_600.0


def room_for_a_batch(limit: int | None, now: float) -> Callable[[sqlite3.Connection], None]:
    """Make the check that belongs in the transaction of a create.

    The check raises a 429 with `retry-after` when as many batches as allowed were created in the
    hour before `now`.
    """

    def check(connection: sqlite3.Connection) -> None:
        if limit is None:
            return
        oldest = connection.execute(_NTH_NEWEST, (limit - 1,)).fetchone()
        wait = 0.0 if oldest is None else oldest[0] + _HOUR - now
        if wait > 0:
            raise _too_many(limit, ceil(wait))

    return check


def _too_many(limit: int, wait: int) -> HTTPFailure:
    message = (
        "Rate limit reached for creating batches in organization org-simulated on batches per "
        f"hour: Limit {limit}, Used {limit}, Requested 1. Please try again in {wait}s."
    )
    headers, code = {"retry-after": str(wait)}, "rate_limit_exceeded"
    return HTTPFailure(429, message, code=code, kind="requests", headers=headers)
