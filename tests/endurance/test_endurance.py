"""A watcher that is left alone for days; `make endure` leaves it alone for weeks."""

import pytest

from endurance.life import Life

# A process that is dead does not close its files; one that only plays dead leaves it to chance.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_a_watcher_that_is_left_alone_for_days_brings_about_what_is_wanted() -> None:
    with Life(seed=3) as life:
        life.live(days=3)
        assert len(life.days) >= 2
