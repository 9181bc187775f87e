"""Money before anything is sent: bounds that hold, and honesty where a price is unknown."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from batchspec.ids import JobAddress
from batchspec.messages import Usage
from batchspec.plan.changes import Estimate, JobPlan, Kind, Plan
from batchspec.plan.estimate import ENVELOPE, Load, batches, estimate, further
from batchspec.state.stored import LastTurn

LOAD = Load(requests=10, bytes=10 * (ENVELOPE + 400), max_tokens=50, turns=1)


def price(usage: Usage) -> Decimal:
    """One dollar per input token, two per output token: easy to count."""
    return Decimal(usage.input_tokens + 2 * usage.output_tokens)


def test_one_turn_costs_its_prompt_and_its_longest_reply() -> None:
    assert estimate(LOAD, price) == Estimate(
        input_tokens=1000,
        output_tokens=500,
        cost=Decimal(2000),
        cost_of_all_turns=Decimal(2000),
        cost_at_most=Decimal(2000),
        output_assumed=False,
    )


def test_without_a_bound_the_length_of_replies_is_assumed_and_that_is_told() -> None:
    found = estimate(replace(LOAD, max_tokens=None), price)
    assert (found.output_tokens, found.output_assumed) == (2560, True)
    assert found.cost == found.cost_of_all_turns == 1000 + 2 * 2560
    assert found.cost_at_most == 1000 + 2 * 40_960


def test_prompts_that_are_not_there_yet_may_be_longer_than_expected() -> None:
    found = estimate(replace(LOAD, most=10 * (ENVELOPE + 4000)), price)
    assert (found.input_tokens, found.cost, found.cost_of_all_turns) == (1000, 2000, 2000)
    assert found.cost_at_most == 10_000 + 1000


def test_further_turns_carry_the_replies_before_them() -> None:
    found = estimate(replace(LOAD, turns=3), price)
    assert found.cost == Decimal(2000)
    assert found.cost_of_all_turns == found.cost_at_most == Decimal(2000 + 4500 + 7000)


def test_what_goes_on_grows_by_a_reply_only_where_its_last_turn_was_answered() -> None:
    load = replace(LOAD, turns=3)
    answered = estimate(further(load, LastTurn(2, answered=True)), price)
    assert answered.cost == answered.cost_at_most == Decimal(4500)
    waiting = estimate(further(load, LastTurn(2, answered=False)), price)
    assert (waiting.cost, waiting.cost_at_most) == (Decimal(2000), Decimal(2000 + 4500))


def test_an_unknown_price_is_never_zero() -> None:
    found = estimate(LOAD, lambda _: None)
    assert (found.cost, found.cost_at_most, found.input_tokens) == (None, None, 1000)


def test_nothing_to_send_costs_nothing_even_where_the_price_is_unknown() -> None:
    found = estimate(replace(LOAD, requests=0, bytes=0), lambda _: None)
    assert (found.cost, found.cost_at_most) == (Decimal(0), Decimal(0))


@given(st.integers(1, 1000), st.integers(0, 10**6), st.integers(1, 5000), st.integers(1, 8))
def test_the_bound_is_never_below_the_first_turn(
    requests: int, size: int, reply: int, turns: int
) -> None:
    found = estimate(Load(requests=requests, bytes=size, max_tokens=reply, turns=turns), price)
    assert found.cost is not None
    assert found.cost_at_most is not None
    assert 0 <= found.cost <= found.cost_at_most
    assert (found.cost == found.cost_at_most) == (turns == 1)


def test_jobs_of_one_lane_share_batches() -> None:
    lanes = [("m", 30, 300), ("m", 30, 300), ("n", 1, 10), ("o", 0, 0)]
    assert batches(lanes, lambda _: (50, 10_000)) == 3
    assert batches(lanes, lambda _: (60, 10_000)) == 2
    assert batches(lanes, lambda _: (60, 330)) == 3


def job(name: str, **more: object) -> JobPlan:
    return JobPlan(address=JobAddress(name), model="openai:m", rows=1, **more)  # type: ignore[arg-type]


def plan(*jobs: JobPlan) -> Plan:
    return Plan(id="p", environment="default", lineage="l", serial=1, jobs=jobs, batches=1)


def test_a_plan_adds_up_its_jobs() -> None:
    known = Estimate(cost=Decimal("1.5"), cost_at_most=Decimal(3))
    found = plan(
        job("a", counts={Kind.SUBMIT: 2, Kind.KEEP: 1}, requests=2, estimate=known),
        job("b", counts={Kind.SUBMIT: 1}, requests=1, estimate=known),
    )
    assert found.counts == {Kind.SUBMIT: 3, Kind.KEEP: 1}
    assert (found.requests, found.cost, found.cost_at_most) == (3, Decimal(3), Decimal(6))
    assert found.priced
    assert found.can_apply


def test_a_plan_without_a_price_for_what_it_sends_is_not_priced() -> None:
    assert not plan(job("a", counts={Kind.SUBMIT: 1}, requests=1)).priced
    assert plan(job("a", counts={Kind.KEEP: 1})).priced


def test_a_plan_that_keeps_everything_has_nothing_to_apply() -> None:
    assert not plan(job("a", counts={Kind.KEEP: 5})).can_apply
    assert plan(job("a", waits_for=(JobAddress("b"),), requests=3)).can_apply
