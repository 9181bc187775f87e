"""Means and intervals against figures from tables and papers."""

from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchspec.results.statistics import Difference, Mean, student, wilson


def told(values: list[float]) -> Mean:
    mean = Mean()
    for value in values:
        mean.add(value)
    return mean


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (29, 2.045), (120, 1.980)],
)
def test_student_s_quantiles_are_those_of_the_tables(freedom: int, quantile: float) -> None:
    assert student(freedom) == pytest.approx(quantile, rel=2e-3)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # Newcombe, Statistics in Medicine 17 (1998), 857-872, table I, method 3.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_s_interval_is_that_of_the_paper(
    successes: int, trials: int, low: float, high: float
) -> None:
    assert wilson(successes, trials) == pytest.approx((low, high), abs=1e-4)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=50))
def test_one_pass_gives_what_two_passes_give(values: list[float]) -> None:
    found = told([*values, 0.5]).estimate()
    assert found is not None
    every = [*values, 0.5]
    assert found.mean == pytest.approx(fmean(every), abs=1e-9)
    assert found.low is not None
    assert found.high is not None
    margin = student(len(every) - 1) * stdev(every) / len(every) ** 0.5
    assert (found.high - found.low) / 2 == pytest.approx(margin, rel=1e-6, abs=1e-9)


def test_zeros_and_ones_are_a_share() -> None:
    found = told([1, 0, True, False, 1]).estimate()
    assert found is not None
    assert (found.low, found.high) == wilson(3, 5)
    assert found.mean == pytest.approx(0.6)


def test_of_one_row_nothing_is_known_but_its_value() -> None:
    found = told([0.5]).estimate()
    assert found is not None
    assert (found.mean, found.low, found.high, found.rows) == (0.5, None, None, 1)
    assert Mean().estimate() is None


def test_paired_zeros_and_ones_have_the_adjusted_interval() -> None:
    # By hand from the formula: 10 pairs, 4 better, 1 worse.
    # p12 = 5/12, p21 = 2/12; middle 0.25, margin 1.96 sqrt((7/12 - 1/16) / 12) = 0.4084.
    difference = Difference()
    for value, baseline in [(1, 0)] * 4 + [(0, 1)] + [(1, 1)] * 5:
        difference.add(value, baseline)
    found = difference.estimate()
    assert found is not None
    assert found.mean == pytest.approx(0.3)
    assert (found.low, found.high) == pytest.approx((0.25 - 0.4084, 0.25 + 0.4084), abs=1e-4)


def test_paired_numbers_have_student_s_interval_of_their_differences() -> None:
    difference = Difference()
    for value, baseline in [(2, 1), (3, 3), (5, 4), (6, 6)]:
        difference.add(value, baseline)
    found = difference.estimate()
    assert found is not None
    # 1, 0, 1, 0: deviation 0.57735, 3 degrees of freedom.
    assert found.mean == 0.5
    assert found.high == pytest.approx(0.5 + 3.182 * 0.57735 / 2, rel=2e-3)


def test_shares_end_where_shares_do() -> None:
    """Means of zeros and ones are shares; of other numbers nobody knows where they end."""
    values = [1.0, 1.0, 1.0, 2 / 3]
    shares, numbers, changes = Mean(), Mean(), Difference()
    for value in values:
        shares.add(value, share=True)
        numbers.add(value)
        changes.add(value, 0.0, share=True)
    found, other, change = shares.estimate(), numbers.estimate(), changes.estimate()
    assert found is not None
    assert other is not None
    assert change is not None
    assert found.high == change.high == 1.0
    assert found.low == other.low == change.low
    assert other.high is not None
    assert other.high > 1
