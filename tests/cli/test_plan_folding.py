"""Variants and samples whose changes are alike are one block of a plan; `--explain` shows each."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from batchspec.cli.views.plan import plan_lines
from batchspec.ids import JobAddress, Member
from batchspec.plan.changes import Difference, Estimate, JobPlan, Kind, Plan, Reason

AB = JobAddress("ab.names")
MODEL = "openai:gpt-5-nano"


def job(variant: str | None = None, sample: int = 1, **more: Any) -> JobPlan:
    given: dict[str, Any] = {
        "address": Member(AB, variant, sample).address,
        "model": MODEL,
        "rows": 10,
        "counts": {Kind.SUBMIT: 10},
        "reasons": (Reason(kind=Kind.SUBMIT, code="NEW_JOB", rows=10),),
        "requests": 10,
        "estimate": Estimate(
            input_tokens=100,
            output_tokens=200,
            cost=Decimal("0.01"),
            cost_of_all_turns=Decimal("0.01"),
            cost_at_most=Decimal("0.02"),
        ),
    }
    return JobPlan(**given | more)


def shown(*jobs: JobPlan, explain: bool = False) -> str:
    """Return the blocks of a plan, without its head and its totals."""
    plan = Plan(id="p", environment="e", lineage="l", serial=1, jobs=jobs, batches=1)
    return "\n".join(line.plain for line in plan_lines(plan, explain=explain)[3:-3])


def changed(before: str, after: str, kept: int = 4) -> dict[str, Any]:
    difference = Difference("messages[0].content", before, after)
    reason = Reason(
        kind=Kind.RESUBMIT,
        code="PROMPT_CHANGED",
        rows=10 - kept,
        example_key="a",
        difference=difference,
    )
    return {"counts": {Kind.RESUBMIT: 10 - kept, Kind.KEEP: kept}, "reasons": (reason,)}


def test_what_is_alike_is_one_block_with_a_line_for_each_variant() -> None:
    plans = [job("a", 1), job("a", 2), job("no#2", 1), job("no#2", 2, model="openai:other")]
    assert (
        shown(*plans)
        == """\
  # ab.names will be submitted (40 rows)
  # (because the job is new)
  + ab.names  2 models
      of        2 variants, samples 1 and 2
        @a       20 to submit, est. $0.020, at most $0.040  openai:gpt-5-nano
        @no%232  20 to submit, est. $0.020, at most $0.040  2 models
      rows      40 to submit
      send      40 requests, about 400 tokens in, 800 out
      cost      est. $0.040, at most $0.080"""
    )


def test_samples_alone_have_no_lines() -> None:
    plans = [job(sample=n) for n in (1, 2, 3)]
    assert shown(*plans).splitlines()[2:4] == [
        "  + ab.names  openai:gpt-5-nano",
        "      of        samples 1 to 3",
    ]


def test_what_is_not_alike_has_blocks_of_its_own() -> None:
    """Each says which part of the job it is about, the ones that are not shown counted too."""
    kept = {"counts": {Kind.KEEP: 10}, "reasons": (), "requests": 0}
    plans = [
        job("a"),
        job("b", **changed("x", "y")),
        job("c", **changed("v", "w")),
        job("d", **kept),
        job("e", 1, **kept),
        job("e", 2),
        job("e", 4),
    ]
    heads = [line for line in shown(*plans).splitlines() if line.startswith("  # ab")]
    assert heads == [
        "  # ab.names (2 of 5 variants) will be submitted (30 rows)",
        "  # ab.names (2 of 5 variants) must be resubmitted in part (12 of 20 rows)",
    ]
    assert "e.g. row" in shown(*plans)
    assert "@b  6 to resubmit, 4 unchanged, est. $0.01" in shown(*plans)


def test_further_samples_of_one_variant_are_named() -> None:
    kept = job("e", counts={Kind.KEEP: 10}, reasons=(), requests=0)
    text = shown(kept, job("e", 2), job("e", 3))
    assert "  # ab.names@e (samples 2 and 3) will be submitted (20 rows)" in text


def test_variants_that_are_gone_are_no_job_that_is_gone() -> None:
    gone: dict[str, Any] = {
        "counts": {Kind.FORGET: 10},
        "reasons": (Reason(kind=Kind.FORGET, code="JOB_REMOVED", rows=10),),
        "removed": True,
        "requests": 0,
    }
    text = shown(job("a"), job("b", **gone), job("c", **gone))
    assert "  # ab.names (2 of 3 variants) will be forgotten (20 rows)" in text


def test_a_renamed_job_is_told_once() -> None:
    free: dict[str, Any] = {
        "counts": {Kind.REUSE: 10},
        "reasons": (Reason(kind=Kind.REUSE, code="MOVED", rows=10),),
        "requests": 0,
    }
    of = [(v, s) for v in ("a", "b") for s in (1, 2)]
    old = JobAddress("old.names")
    moved = [job(v, s, moved_from=Member(old, v, s).address, **free) for v, s in of]
    assert "  # ab.names is old.names, renamed: free (40 rows)" in shown(*moved)
    variant = [job("z", s, moved_from=Member(AB, "b", s).address, **free) for s in (1, 2)]
    text = shown(*variant, job("a", counts={Kind.KEEP: 10}, reasons=(), requests=0))
    assert "  # ab.names@z is ab.names@b, renamed: free (20 rows)" in text


def test_what_waits_is_bounded_for_each_variant() -> None:
    waits = {"waits_for": (JobAddress("m.up@x"), JobAddress("m.up@y")), "counts": {}}
    text = shown(job("a", **waits), job("b", **waits))
    assert "  # ab.names will be submitted once m.up is final" in text
    assert "        @a  at most 10 requests, est. $0.010, at most $0.020" in text
    assert "      rows      known after m.up: at most 20" in text


def test_everything_is_shown_where_it_is_explained() -> None:
    plans = [job("a", 1), job("a", 2)]
    text = shown(*plans, explain=True)
    assert [line for line in text.splitlines() if line.startswith("  + ")] == [
        "  + ab.names@a  openai:gpt-5-nano",
        "  + ab.names@a#2  openai:gpt-5-nano",
    ]
    assert shown(plans[0]) == shown(plans[0], explain=True).replace("  NEW_JOB", "").replace(
        ": 10 rows to submit", ""
    )


def test_an_unknown_price_stays_unknown() -> None:
    unknown = replace(job("a").estimate, cost=None, cost_of_all_turns=None, cost_at_most=None)
    plans = [job("a", estimate=unknown), job("b", estimate=unknown), job("c")]
    text = shown(*plans)
    assert text.count("price unknown") == 3, "two variants, and their sum"
    assert "  # ab.names (2 of 3 variants) will" in text
