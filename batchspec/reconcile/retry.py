"""When to try again: schedules for waiting, backoff for errors; jitter comes from names."""

from zlib import crc32


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


def poll_wait(age: float, *, first: float, cap: float, name: str = "") -> float:
    """Return the seconds until the next look at a batch of an age, lengthening with it.

    A batch is looked at after every tenth of its age, so that the end is seen at most a tenth late.
    """
    return spread(min(cap, max(first, age / 10)), name)


def spread(seconds: float, name: str) -> float:
    """Return a time that is longer by up to a fifth, by a name; the same without one."""
    return seconds * (1 + (crc32(name.encode()) % 1000 / 5000 if name else 0))
