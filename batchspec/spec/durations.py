"""Durations as people write them: `90s`, `15m`, `24h`, `1d12h`."""

import re
from datetime import timedelta

_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def parse_duration(text: str) -> float:
    """Return seconds.

    Args:
        text: Numbers with units s, m, h and d, as in `90s`, `1.5h`, `1d12h`; a bare number is
            seconds.

    Raises:
        ValueError: It is not one.
    """
    if _NUMBER.fullmatch(text):
        return float(text)
    if not text or _PART.sub("", text):
        raise ValueError(f"{text!r} is no duration; write for example 90s, 15m, 24h or 1d12h.")
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def seconds_of(duration: "float | str | timedelta") -> float:
    """Return a duration in seconds.

    Raises:
        ValueError: It is none.
    """
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    return parse_duration(duration) if isinstance(duration, str) else duration
