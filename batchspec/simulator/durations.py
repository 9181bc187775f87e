"""Times as people write them: `90s`, `24h`, `2026-09-01T12:00:00Z`."""

import re
from datetime import UTC, datetime

_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


def parse_duration(text: str) -> float:
    """Return seconds.

    Args:
        text: Numbers with units s, m, h and d, as in `90s`, `1.5h`, `1d12h`; a bare number is
            seconds.

    Raises:
        ValueError: It is not one.
    """
    if re.fullmatch(r"\d+(?:\.\d+)?", text):
        return float(text)
    if not text or _PART.sub("", text):
        raise ValueError(f"{text!r} is no duration; write for example 90s, 15m, 24h or 1d12h.")
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


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
