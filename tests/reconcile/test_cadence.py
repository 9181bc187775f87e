"""How often a provider is asked: a rate that is kept, and when one list replaces many looks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchspec.reconcile.bucket import BURST, Bucket
from batchspec.reconcile.glance import pages


@given(st.integers(1, 6000), st.lists(st.floats(0, 600), min_size=1, max_size=300))
def test_no_minute_has_more_calls_than_allowed_and_a_burst(
    per_minute: int, asked: list[float]
) -> None:
    bucket, made = Bucket(per_minute), []
    for now in sorted(asked):
        bucket, wait = bucket.take(now)
        made.append(now + wait)
    burst = max(BURST * per_minute / 60, 1)
    for index, start in enumerate(made):
        within = sum(1 for moment in made[index:] if moment < start + 60 - 1e-6)
        assert within <= per_minute + burst + 1


def test_after_a_rest_some_go_at_once_and_then_one_after_the_other() -> None:
    bucket, waits = Bucket(60), []
    for _ in range(13):
        bucket, wait = bucket.take(1000.0)
        waits.append(wait)
    assert waits == [0.0] * 10 + [1.0, 2.0, 3.0]
    assert bucket.take(2000.0)[1] == 0


def test_a_slow_rate_lets_one_go_at_once() -> None:
    bucket, wait = Bucket(1).take(1000.0)
    assert wait == 0
    assert bucket.take(1000.0)[1] == 60


def test_a_clock_that_went_back_does_not_stop_for_ever() -> None:
    bucket, _ = Bucket(60).take(1e9)
    assert bucket.take(0.0)[1] <= 3600


@pytest.mark.parametrize(("due", "worth"), [(0, 0), (1, 0), (3, 0), (4, 1), (7, 1), (400, 100)])
def test_a_list_is_asked_when_it_may_save_calls(due: int, worth: int) -> None:
    assert pages(due) == worth
