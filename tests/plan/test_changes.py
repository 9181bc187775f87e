"""What a plan says of itself."""

from dataclasses import replace

import pytest

from batchspec.ids import JobAddress
from batchspec.plan.changes import JobPlan, Kind, Plan

JOB = JobPlan(
    address=JobAddress("m.j"), model="openai:gpt-5", rows=2, counts={Kind.KEEP: 1, Kind.CONTINUE: 1}
)
PLAN = Plan(id="p", environment="default", lineage="l", serial=1, jobs=(JOB,), batches=0)


@pytest.mark.parametrize(
    ("job", "agreed"),
    [
        (JOB, True),
        (replace(JOB, counts={Kind.CONTINUE: 1, Kind.DRIFT: 1}), True),
        (replace(JOB, requests=1), False),
        (replace(JOB, counts={Kind.KEEP: 1, Kind.FORGET: 1}), False),
        (replace(JOB, counts={Kind.REUSE: 2}), False),
        (replace(JOB, protects=False), False),
    ],
)
def test_nobody_is_asked_twice(job: JobPlan, agreed: bool) -> None:
    """What is free, as an end of protection, is asked for too."""
    assert replace(PLAN, jobs=(job,)).agreed_before is agreed
