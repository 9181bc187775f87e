"""Moments as people write them: `2026-09-01T12:00:00Z`."""

import re
from datetime import UTC, datetime


def parse_moment(text: str) -> float:
    """Return unix seconds.

    Args:
        text: ISO 8601, in UTC unless it names a zone, or a number of unix seconds.

    Raises:
        ValueError: It is not one.
    """
    if re.fullmatch(r"\d+(?:\.\d+)?", text):
        return float(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no moment; write for example 2026-09-01 or 2026-09-01T12:00:00Z."
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def iso(moment: float) -> str:
    """Return unix seconds as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(int(moment), UTC).isoformat().replace("+00:00", "Z")
