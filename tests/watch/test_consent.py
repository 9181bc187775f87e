"""How much of a plan is done without asking: a table."""

from decimal import Decimal

import pytest

from batchspec.ids import JobAddress
from batchspec.plan.changes import Estimate, JobPlan, Kind, Plan, Reason
from batchspec.plan.consent import Consent, Room, Verdict, judge

UP, DOWN = JobAddress("m.up"), JobAddress("m.down")
ALL = Consent(approve="all")
PRUNING = Consent(approve="all", prune=True)


KNOWN = Estimate(cost=Decimal(1), cost_at_most=Decimal(3))
NO_PRICE = Estimate()


def job(
    address: JobAddress = UP, requests: int = 0, estimate: Estimate = NO_PRICE, **more: object
) -> JobPlan:
    counts = {Kind[name]: n for name, n in more.items() if name in Kind.__members__}
    rest = {name: value for name, value in more.items() if name not in Kind.__members__}
    return JobPlan(
        address=address,
        model="openai:m",
        rows=9,
        counts=counts,  # type: ignore[arg-type]
        requests=requests,
        estimate=estimate,
        **rest,  # type: ignore[arg-type]
    )


def plan(*jobs: JobPlan) -> Plan:
    return Plan(id="p", environment="e", lineage="l", serial=1, jobs=jobs, batches=0)


NEW = job(requests=2, estimate=KNOWN, SUBMIT=2)
WAITS = job(DOWN, requests=2, estimate=KNOWN, waits_for=(UP,))
CASES = {
    "nothing changes": (plan(job(KEEP=9)), ALL, Room(), "nothing", []),
    "what was agreed to goes on": (
        plan(job(requests=4, estimate=KNOWN, CONTINUE=4, DRIFT=1)),
        Consent(),
        Room(),
        "nothing",
        [],
    ),
    "new rows wait": (plan(NEW), Consent(), Room(), "nothing", ["CONSENT"]),
    "free changes wait as well": (
        plan(job(UPDATE=3), job(DOWN, REUSE=1)),
        Consent(),
        Room(),
        "nothing",
        ["CONSENT"],
    ),
    "protection is a change": (plan(job(protects=True)), Consent(), Room(), "nothing", ["CONSENT"]),
    "removals wait": (plan(job(FORGET=1)), Consent(), Room(), "nothing", ["CONSENT"]),
    "new rows are submitted": (plan(NEW), ALL, Room(left=Decimal(3)), "all", []),
    "but not beyond the budget": (
        plan(NEW),
        ALL,
        Room(left=Decimal("2.99")),
        "nothing",
        ["MAX_COST"],
    ),
    "nor beyond that of the hour": (
        plan(NEW),
        ALL,
        Room(left=Decimal(9), left_this_hour=Decimal(2)),
        "nothing",
        ["MAX_COST_PER_HOUR"],
    ),
    "a budget needs a price": (
        plan(job(requests=1, estimate=NO_PRICE, SUBMIT=1)),
        ALL,
        Room(left=Decimal(9)),
        "nothing",
        ["UNKNOWN_PRICE"],
    ),
    "without a budget none is needed": (
        plan(job(requests=1, estimate=NO_PRICE, SUBMIT=1)),
        ALL,
        Room(),
        "all",
        [],
    ),
    "what is gone stays without prune, the rest is done": (
        plan(NEW, job(DOWN, FORGET=2)),
        ALL,
        Room(),
        "changes",
        ["REMOVALS"],
    ),
    "only removals": (plan(job(FORGET=2)), ALL, Room(), "nothing", ["REMOVALS"]),
    "with prune they are done": (plan(NEW, job(DOWN, FORGET=2)), PRUNING, Room(), "all", []),
    "too dear and gone: both are told": (
        plan(NEW, job(DOWN, FORGET=2)),
        ALL,
        Room(left=Decimal(0)),
        "nothing",
        ["REMOVALS", "MAX_COST"],
    ),
    "a job made of answers that nobody agreed to waits": (
        plan(WAITS),
        Consent(),
        Room(),
        "nothing",
        ["CONSENT"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_plan_is_judged_as_written(case: str) -> None:
    proposed, consent, room, agreed, held = CASES[case]
    verdict = judge(proposed, consent, room=room)
    assert verdict.agreed == agreed
    assert [one.code for one in verdict.held] == held


def test_what_answers_make_of_a_job_as_agreed_is_agreed() -> None:
    standing = {DOWN}
    assert not judge(plan(WAITS), Consent(), standing=standing).held
    known = job(DOWN, requests=2, estimate=KNOWN, SUBMIT=1, RESUBMIT=1)
    assert not judge(plan(known), Consent(), standing=standing).held
    assert judge(plan(known, NEW), Consent(), standing=standing).held


def test_what_waits_is_told_job_by_job() -> None:
    (held,) = judge(
        plan(NEW, job(DOWN, FORGET=3, KEEP=4), job(JobAddress("m.same"), KEEP=1)), Consent()
    ).held
    assert held.message == (
        "Changes wait for consent (2 requests, $3.00 at most): m.up: 2 to submit; "
        "m.down: 3 to forget."
    )


def test_a_plan_that_only_forgets_says_so() -> None:
    (held,) = judge(plan(job(FORGET=1)), Consent()).held
    assert held.message == "Changes wait for consent: m.up: 1 to forget."


def test_of_many_jobs_the_first_are_named() -> None:
    (held,) = judge(plan(*(job(JobAddress(f"m.j{n}"), SUBMIT=1) for n in range(9))), Consent()).held
    assert held.message.endswith("m.j3: 1 to submit; and 5 more jobs.")


def test_replies_are_judged_anew_by_code_that_was_agreed_to_without_asking_again() -> None:
    reason = Reason(kind=Kind.UPDATE, code="POLICY_CHANGED", rows=3)
    judged = plan(job(UPDATE=3, reasons=(reason,)))
    assert judge(judged, Consent()).held
    assert judge(judged, Consent(), coded={UP}) == Verdict()
    more = plan(job(UPDATE=4, reasons=(reason,)))  # and a row whose data changed
    assert judge(more, Consent(), coded={UP}).held
