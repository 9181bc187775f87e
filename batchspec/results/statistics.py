"""Means and confidence intervals, in one pass and in constant memory.

An observation is what one row gave: of several answers to a row (samples) it is their mean, because
they are not independent of each other.
"""

from dataclasses import dataclass
from math import fsum, pi, sqrt, tan
from statistics import NormalDist

LEVEL = 0.95
"""Of all confidence intervals."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over rows, with the confidence interval of `LEVEL`.

    Attributes:
        mean: Of the rows' values.
        low: Lower end of the interval; None: one row alone tells nothing of it.
        high: Upper end.
        rows: How many rows it is of.
    """

    mean: float
    low: float | None
    high: float | None
    rows: int


class Mean:
    """Takes values one by one: Welford's algorithm (Technometrics 4, 1962, 419-420).

    Args:
        low: What a share cannot be less than. It cannot be more than 1.
    """

    __slots__ = ("_binary", "_low", "_mean", "_shares", "_squares", "rows")

    def __init__(self, *, low: float = 0) -> None:
        self.rows = 0
        self._mean = 0.0
        self._squares = 0.0
        self._low = low
        self._binary = low == 0
        self._shares = True

    def add(self, value: float, *, share: bool | None = None) -> None:
        """Take one row's value; a `share` is a mean of values that are 0 or 1.

        None: it is one if it is 0 or 1 itself.
        """
        self.rows += 1
        self._shares = self._shares and (value in {0, 1} if share is None else share)
        change = value - self._mean
        self._mean += change / self.rows
        self._squares += change * (value - self._mean)
        self._binary = self._binary and value in {0, 1}

    def estimate(self) -> Estimate | None:
        """Return mean and interval: Wilson's where every value is 0 or 1, else Student's.

        That of shares ends where they do.
        """
        if not self.rows:
            return None
        if self._binary:
            return Estimate(
                self._mean, *wilson(round(self._mean * self.rows), self.rows), self.rows
            )
        if self.rows == 1:
            return Estimate(self._mean, None, None, 1)
        error = sqrt(self._squares / (self.rows - 1) / self.rows)
        margin = student(self.rows - 1) * error
        low, high = self._mean - margin, self._mean + margin
        if self._shares:
            low, high = max(low, self._low), min(high, 1.0)
        return Estimate(self._mean, low, high, self.rows)


class Difference:
    """Takes pairs of values of one row, of a variant and of the baseline."""

    __slots__ = ("_binary", "_less", "_mean", "_more")

    def __init__(self) -> None:
        self._mean = Mean(low=-1)
        self._binary = True
        self._more = self._less = 0

    def add(self, value: float, baseline: float, *, share: bool = False) -> None:
        """Take the pair of one row; `share` as of a mean."""
        self._mean.add(value - baseline, share=share or {value, baseline} <= {0, 1})
        self._binary = self._binary and {value, baseline} <= {0, 1}
        self._more += value > baseline
        self._less += value < baseline

    def estimate(self) -> Estimate | None:
        """Return the mean of the differences and its interval.

        Where all values are 0 or 1 it is Bonett and Price's adjusted Wald interval (Journal of
        Educational and Behavioral Statistics 37, 2012, 479-488), else Student's of the differences.
        """
        found = self._mean.estimate()
        if found is None or not self._binary:
            return found
        rows = found.rows
        more, less = (self._more + 1) / (rows + 2), (self._less + 1) / (rows + 2)
        middle = more - less
        margin = _normal() * sqrt((more + less - middle**2) / (rows + 2))
        low, high = max(-1.0, middle - margin), min(1.0, middle + margin)
        return Estimate(found.mean, low, high, rows)


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Return Wilson's score interval of a share (J. Amer. Statist. Assoc. 22, 1927, 209-212)."""
    z = _normal()
    share, square = successes / trials, z * z / trials
    middle = (share + square / 2) / (1 + square)
    margin = z / (1 + square) * sqrt(share * (1 - share) / trials + square / trials / 4)
    return max(0.0, middle - margin), min(1.0, middle + margin)


def student(freedom: int) -> float:
    """Return the two-sided quantile of Student's t.

    Exact for 1 and 2 degrees of freedom; else Abramowitz and Stegun 26.7.5, which is off by less
    than 0.2 %.
    """
    p = (1 + LEVEL) / 2
    if freedom == 1:
        return tan(pi * (p - 0.5))
    if freedom == 2:
        return LEVEL * sqrt(2 / (1 - LEVEL**2))
    z = _normal()
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return fsum(term / freedom**n for n, term in enumerate(terms))


def _normal() -> float:
    return NormalDist().inv_cdf((1 + LEVEL) / 2)
