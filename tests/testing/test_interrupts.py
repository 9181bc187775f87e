"""Whoever stops the tests stops them all, also in the middle of an apply."""

import pytest

from testing.conftest import RunPytest

TESTS = """
import os, signal
from batchspec import Job, rows

words = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}]), prompt="{id}")

def test_it(run_job):
    def answer(request):
        os.kill(os.getpid(), signal.STOP)
        return "fine"

    try:
        run_job(words, answers=answer)
    except Exception:
        pass

def test_the_next():
    pass
"""


@pytest.mark.parametrize(("stop", "code"), [("SIGINT", 2), ("SIGTERM", -15)])
def test_an_interrupt_of_an_apply_ends_the_tests(
    run_pytest: RunPytest, stop: str, code: int
) -> None:
    said = run_pytest("-q", **{"test_it.py": TESTS.replace("STOP", stop)})
    assert said.endswith(f"\nexit code {code}"), said
    assert "passed" not in said
    assert ("KeyboardInterrupt" in said) == (stop == "SIGINT")
