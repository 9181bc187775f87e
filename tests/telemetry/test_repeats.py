"""Warnings that say the same are told once, then counted; what is remembered is bounded."""

from hypothesis import given
from hypothesis import strategies as st

from batchspec.errors import kind_of
from batchspec.telemetry.repeats import _MOST, QUIET, Repeats, Sparing
from batchspec.testing.simulated import Recorder


def test_one_kind_is_told_once_then_with_a_count_when_its_time_is_over() -> None:
    repeats = Repeats()
    assert repeats.heard("HTTP 500. It is tried again in 15 s.", 0) is not None
    assert repeats.heard("HTTP 500. It is tried again in 31 s.", 15) is None
    assert repeats.heard("HTTP 500. It is tried again in 62 s.", 46) is None
    assert repeats.due(QUIET - 1) == []
    told = "HTTP 500. It is tried again in 62 s. (Said 2 times more in 600 s.)"
    assert repeats.due(QUIET) == [told]
    assert repeats.heard("HTTP 500. It is tried again in 15 s.", QUIET + 1) is not None


def test_what_comes_again_much_later_is_news() -> None:
    repeats = Repeats()
    assert repeats.heard("The disk is full.", 0) == "The disk is full."
    assert repeats.heard("The disk is full.", QUIET) == "The disk is full."
    assert repeats.heard("The disk is full.", QUIET + 1) is None
    assert repeats.heard("The disk is full.", 2 * QUIET) == (
        "The disk is full. (Said once more in 600 s.)"
    )


def test_jobs_and_reasons_are_told_apart_and_ids_are_not() -> None:
    assert kind_of("m.j1: no") != kind_of("m.j2: no")
    assert kind_of("HTTP 500 of batch_68f0a1b2c3d4") == kind_of("HTTP 500 of batch_0123456789ab")
    assert kind_of("Batch …0a1b2c3d: no") == kind_of("Batch …ffffffff: no")
    assert kind_of("3 rows") == kind_of("12,345 rows")


@given(st.lists(st.tuples(st.text(min_size=1, max_size=3), st.floats(0, 1e6)), max_size=500))
def test_nothing_grows_without_end(heard: list[tuple[str, float]]) -> None:
    repeats = Repeats()
    for message, now in sorted(heard, key=lambda one: one[1]):
        repeats.heard(message, now)
    for number in range(2 * _MOST):
        repeats.heard(f"of x{number}", 1e6)
    assert len(repeats._heard) <= _MOST


def test_a_log_is_spared_and_catches_up() -> None:
    hook, now = Recorder(), [0.0]
    sparing = Sparing(hook, lambda: now[0])
    for _ in range(1000):
        sparing.warning("The disk is full.")
    assert len(hook.warnings) == 1
    now[0] = QUIET
    sparing.progress((), ())
    assert hook.warnings[1:] == ["The disk is full. (Said 999 times more in 600 s.)"]
