"""When to try again: schedules for waiting, backoff for errors; jitter comes from names."""

from math import inf
from zlib import crc32

_SPREAD = 0.2
"""Of a wait, by which equal ones are spread at most."""


def backoff(failures: int, *, first: float, cap: float, name: str = "") -> float:
    """Return the seconds to wait after `failures` errors in a row (1 for the first).

    Doubles from `first` to `cap`; `name` spreads equal waits by up to a fifth.
    """
    return spread(min(cap, first * 2 ** min(failures - 1, 30)), name)


def again_at(now: float, attempts: int, *, first: float, cap: float, name: str) -> float:
    """Return when requests that failed in passing are sent again.

    They come back together and go together, so that batches stay few and full.

    Args:
        now: When they came back, unix seconds.
        attempts: Failed attempts of the one that failed most often.
        first: Seconds after the first of them; each further one doubles them.
        cap: Seconds at most.
        name: Of the batch they came back in; spreads the times of different batches.
    """
    return now + backoff(attempts, first=first, cap=cap, name=name)


def poll_wait(age: float, *, first: float, cap: float, name: str = "", left: float = inf) -> float:
    """Return the seconds until the next look at a batch of an age, lengthening with it.

    A batch is looked at after every tenth of its age, so that the end is seen at most a tenth late,
    and sooner where its progress says that the end is near.

    Args:
        age: Seconds since it was submitted.
        first: Seconds at least.
        cap: Seconds at most.
        name: Spreads equal waits by up to a fifth.
        left: Seconds until it ends, as its progress says; infinite where that is not known.
    """
    return spread(min(cap, max(first, min(age / 10, left))), name)


def left_of(age: float, done: int, total: int) -> float:
    """Return the seconds until the rest is done at the pace so far; infinite while nothing is.

    Time in a provider's queue counts as slow progress, so that the end comes sooner than said
    rather than later.
    """
    return max(0.0, age) * max(0, total - done) / done if done > 0 else inf


def believed(moment: float, now: float, longest: float) -> float:
    """Return when to do something that was put off, unix seconds.

    A moment further off than any wait comes from a clock that was wrong and was set back since:
    then it is now.

    Args:
        moment: When it was to be done, by the clock of that time.
        now: What the clock says now.
        longest: Seconds it is put off at most, before they are spread.
    """
    return now if moment - now > longest * (1 + _SPREAD) else moment


def spread(seconds: float, name: str) -> float:
    """Return a time that is longer by up to a fifth, by a name; the same without one."""
    return seconds * (1 + (crc32(name.encode()) % 1000 / 1000 * _SPREAD if name else 0))
