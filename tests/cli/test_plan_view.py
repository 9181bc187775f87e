"""The plan as people and programs see it: golden text over a table of plans."""

from dataclasses import replace
from decimal import Decimal

import pytest

from batchspec.cli.views.documents import plan_document
from batchspec.cli.views.plan import _HEADLINES, REASONS, STYLES, plan_lines
from batchspec.ids import BatchId, JobAddress, RemoteId
from batchspec.plan.changes import (
    Difference,
    Estimate,
    Finding,
    JobPlan,
    Kind,
    Plan,
    Reason,
    ReasonCode,
)
from batchspec.plan.counts import WORDS

TRIAGE = JobAddress("tickets.triage")
LONG = "Ticket from Ann: it does not work at all since yesterday"


def _plan(*jobs: JobPlan, batches: int = 1, spent: str | None = None) -> Plan:
    return Plan(
        id="plan-1",
        environment="prod",
        lineage="01a2099c3f2a9c01",
        serial=41,
        jobs=jobs,
        batches=batches,
        spent=Decimal(spent) if spent else None,
    )


def _text(plan: Plan, *, explain: bool = False) -> str:
    return "\n".join(line.plain for line in plan_lines(plan, explain=explain)) + "\n"


NEW = JobPlan(
    address=TRIAGE,
    model="openai:gpt-5-mini",
    rows=10,
    counts={Kind.SUBMIT: 10},
    reasons=(Reason(kind=Kind.SUBMIT, code="NEW_JOB", rows=10),),
    requests=9,
    estimate=Estimate(
        input_tokens=2100,
        output_tokens=300,
        cost=Decimal("0.00042"),
        cost_at_most=Decimal("0.00042"),
    ),
)

PARTLY = JobPlan(
    address=TRIAGE,
    model="openai:gpt-5",
    rows=48_000,
    counts={Kind.KEEP: 46_796, Kind.RESUBMIT: 1204, Kind.FORGET: 12},
    reasons=(
        Reason(
            kind=Kind.RESUBMIT,
            code="MODEL_CHANGED",
            rows=1204,
            example_key="row-17",
            difference=Difference("model", '"gpt-5-mini"', '"gpt-5"'),
        ),
        Reason(
            kind=Kind.RESUBMIT,
            code="PROMPT_CHANGED",
            rows=3,
            difference=Difference("messages[1].content", LONG, LONG.replace("from", "by")),
        ),
        Reason(kind=Kind.FORGET, code="ROW_REMOVED", rows=12),
    ),
    requests=1204,
    max_turns=6,
    estimate=Estimate(
        input_tokens=2_100_000,
        output_tokens=300_000,
        cost=Decimal("1.87"),
        cost_at_most=Decimal("3.7401"),
        output_assumed=True,
    ),
)

FREE = JobPlan(
    address=JobAddress("summaries.out"),
    model="openai:gpt-5",
    rows=100,
    counts={Kind.UPDATE: 100},
    reasons=(Reason(kind=Kind.UPDATE, code="POLICY_CHANGED", rows=100, note="validator in_range"),),
)

WAITING = JobPlan(
    address=JobAddress("digest.summary"),
    model="laptop:llama",
    rows=48_000,
    waits_for=(TRIAGE, JobAddress("a.b")),
    forgets_at_most=1_200,
    requests=48_000,
    reasons=(Reason(kind=Kind.SUBMIT, code="UPSTREAM_PENDING", rows=48_000),),
    estimate=Estimate(input_tokens=10**7, output_tokens=10**6),
)

PROTECTED = JobPlan(
    address=JobAddress("x.kept"),
    model="openai:gpt-5",
    rows=5,
    counts={Kind.KEEP: 5},
    protects=True,
    reasons=(
        Reason(kind=Kind.UPDATE, code="PROTECT_CHANGED", rows=0, note="protected from now on"),
    ),
)

RENAMED = JobPlan(
    address=JobAddress("x.new"),
    model="openai:gpt-5",
    rows=3,
    counts={Kind.REUSE: 2, Kind.SUBMIT: 1},
    moved_from=JobAddress("x.old"),
    reasons=(
        Reason(kind=Kind.REUSE, code="MOVED", rows=2, note="from x.old"),
        Reason(kind=Kind.SUBMIT, code="NEW_JOB", rows=1),
    ),
    requests=1,
    estimate=Estimate(input_tokens=100, output_tokens=10, cost=Decimal("0.01")),
)

WHOLLY_RENAMED = JobPlan(
    address=JobAddress("m.k"),
    model="openai:gpt-5",
    rows=2,
    counts={Kind.REUSE: 2},
    moved_from=JobAddress("m.j"),
    reasons=(Reason(kind=Kind.REUSE, code="MOVED", rows=2, note="from m.j"),),
)

SUPERSEDED = JobPlan(
    address=TRIAGE,
    model="openai:gpt-5",
    rows=2,
    counts={Kind.RESUBMIT: 2},
    superseded=2,
    reasons=(Reason(kind=Kind.RESUBMIT, code="PROMPT_CHANGED", rows=2),),
    requests=2,
    estimate=Estimate(input_tokens=100, output_tokens=10, cost=Decimal("0.01")),
)

UNWANTED = Finding(
    kind=Kind.CANCEL,
    code="UNWANTED",
    batch=BatchId("b" * 32),
    remote_id=RemoteId("batch_5f1e"),
    jobs={TRIAGE: 2},
    requests=2,
    rows=2,
)

SAME = JobPlan(
    address=JobAddress("x.same"),
    model="openai:gpt-5",
    rows=5,
    counts={Kind.KEEP: 5},
    reasons=(Reason(kind=Kind.KEEP, code="BATCH_IN_PROGRESS", rows=5),),
)

GOLDEN = {
    "renamed": (
        _plan(WHOLLY_RENAMED),
        """\
Environment prod, lineage …3f2a9c01, serial 41
Symbols: = reuse an answer already paid for

  # m.k is m.j, renamed: free (2 rows)
  # (because it was renamed; from m.j)
  = m.k  openai:gpt-5
      rows      2 to reuse

Plan: 2 to reuse.
""",
    ),
    "superseded in flight, and a batch that nobody wants": (
        replace(_plan(SUPERSEDED), findings=(UNWANTED,)),
        """\
Environment prod, lineage …3f2a9c01, serial 41
Symbols: -/+ resubmit   x cancel

  # tickets.triage must be resubmitted (2 rows)
  # (because the prompt changed)
-/+ tickets.triage  openai:gpt-5
  x batch batch_5f1e will be cancelled: no row wants it; what it answered by then is billed and kept
      rows      2 to resubmit
      in flight 2 rows are in a batch as before: what comes back is paid for and kept, not shown
      send      2 requests, about 100 tokens in, 10 out
      cost      est. $0.010

Plan: 2 to resubmit; 2 requests in 1 batch; 1 batch to cancel.
Cost: est. $0.010.
""",
    ),
    "renamed in part": (
        _plan(RENAMED),
        """\
Environment prod, lineage …3f2a9c01, serial 41
Symbols: + submit   = reuse an answer already paid for

  # x.new will be submitted in part (1 of 3 rows)
  # (because it was renamed: 2 rows to reuse; from x.old)
  # (because the job is new: 1 row to submit)
  + x.new  openai:gpt-5
      rows      1 to submit, 2 to reuse
      send      1 request, about 100 tokens in, 10 out
      cost      est. $0.010

Plan: 1 to submit, 2 to reuse; 1 request in 1 batch.
Cost: est. $0.010.
""",
    ),
    "protected from now on": (
        _plan(PROTECTED),
        """\
Environment prod, lineage …3f2a9c01, serial 41
Symbols: ~ update in place (free)

  # x.kept will be protected
  # (because its protection changed; protected from now on)
  ~ x.kept  openai:gpt-5
      rows      5 unchanged

Plan: 5 unchanged.
""",
    ),
    "new job": (
        _plan(NEW),
        """\
Environment prod, lineage …3f2a9c01, serial 41
Symbols: + submit

  # tickets.triage will be submitted (10 rows)
  # (because the job is new)
  + tickets.triage  openai:gpt-5-mini
      rows      10 to submit
      send      9 requests, about 2.1k tokens in, 300 out
      cost      est. $0.00042

Plan: 10 to submit; 9 requests in 1 batch.
Cost: est. $0.00042.
""",
    ),
    "changed in part, with turns and assumed replies": (
        _plan(PARTLY, SAME, batches=2, spent="118.02"),
        """\
Environment prod, lineage …3f2a9c01, serial 41
Symbols: -/+ resubmit   . forget

  # tickets.triage must be resubmitted in part (1,204 of 48,000 rows)
  # (because the model changed: 1,204 rows to resubmit)
  # (because the prompt changed: 3 rows to resubmit)
  # (because the row is gone from the data: 12 rows to forget)
-/+ tickets.triage  openai:gpt-5
      model     "gpt-5-mini" -> "gpt-5"    # forces resubmit, e.g. row "row-17"
      messages[1].content    # forces resubmit
        - Ticket from Ann: it does not work at all since yesterday
        + Ticket by Ann: it does not work at all since yesterday
      rows      1,204 to resubmit, 12 to forget, 46,796 unchanged
      send      1,204 requests, at most 6 turns each, about 2.1M tokens in, 300k out
      cost      est. $1.87, at most $3.75

Plan: 1,204 to resubmit, 12 to forget, 46,801 unchanged; 1,204 requests in 2 batches.
Cost: est. $1.87, at most $3.75 with further turns, assuming 256 output tokens per reply \
and at most 4,096 (set max_tokens for a bound). Spent so far $118.02.
""",
    ),
    "free": (
        _plan(FREE),
        """\
Environment prod, lineage …3f2a9c01, serial 41
Symbols: ~ update in place (free)

  # summaries.out will be judged again from stored replies, free (100 rows)
  # (because code that runs here changed: tools, validators or the output type; validator in_range)
  ~ summaries.out  openai:gpt-5
      rows      100 to update (free)

Plan: 100 to update (free).
""",
    ),
    "rows known later, price unknown": (
        _plan(NEW, WAITING, batches=2),
        """\
Environment prod, lineage …3f2a9c01, serial 41
Symbols: + submit

  # tickets.triage will be submitted (10 rows)
  # (because the job is new)
  + tickets.triage  openai:gpt-5-mini
      rows      10 to submit
      send      9 requests, about 2.1k tokens in, 300 out
      cost      est. $0.00042

  # digest.summary will be submitted once tickets.triage and a.b are final
  # (because its rows come from another job)
  + digest.summary  laptop:llama
      rows      known after tickets.triage and a.b: at most 48,000
      forget    up to 1,200 items, where no row comes back for them
      send      at most 48,000 requests, about 10M tokens in, 1M out
      cost      price unknown

Plan: 10 to submit; 48,009 requests in 2 batches.
Cost: est. $0.00042, and price unknown for laptop:llama.
""",
    ),
    "nothing to do": (
        _plan(SAME, batches=0),
        """\
Environment prod, lineage …3f2a9c01, serial 41

No changes. 1 job, 5 rows; nothing to do.
""",
    ),
}


@pytest.mark.parametrize(("plan", "text"), GOLDEN.values(), ids=GOLDEN)
def test_a_plan_reads_like_this(plan: Plan, text: str) -> None:
    """Word for word: scripts and habits grow around these lines."""
    assert _text(plan) == text


def test_explain_shows_unchanged_jobs_and_codes() -> None:
    """The code is what a script or an issue can name."""
    text = _text(_plan(SAME, batches=0), explain=True)
    assert (
        "  # x.same is unchanged (5 rows)\n"
        "  # (because the batch is in progress: 5 rows unchanged)  BATCH_IN_PROGRESS\n"
    ) in text


def test_simulated_plans_say_so() -> None:
    """A simulated answer is never taken for a paid one."""
    plan = Plan(
        id="1", environment="simulation", lineage="", serial=0, jobs=(), batches=0, simulated=True
    )
    assert _text(plan).startswith("Environment simulation (simulated)")


def test_every_word_of_the_plan_has_a_sentence() -> None:
    """A new kind or reason cannot reach people without its words."""
    assert set(REASONS) == set(ReasonCode.__args__)  # type: ignore[attr-defined]
    for table in (STYLES, _HEADLINES, WORDS):
        assert set(table) == set(Kind)


def test_addresses_and_values_cannot_break_the_page() -> None:
    """Keys and values come from data files."""
    nasty = Reason(
        kind=Kind.RESUBMIT,
        code="ROW_CHANGED",
        rows=1,
        example_key="a\x1b[31m",
        difference=Difference("row", "x\ny", "\x07"),
    )
    job = JobPlan(
        address=TRIAGE, model="m", rows=1, counts={Kind.RESUBMIT: 1}, reasons=(nasty,), requests=1
    )
    assert "\x1b" not in _text(_plan(job))
    assert "\x07" not in _text(_plan(job))


def test_the_document_has_numbers_and_words() -> None:
    """Format version 1: kinds are lower-case words, unknown money is null."""
    document = plan_document(_plan(PARTLY, WAITING, spent="1.5"))
    assert document["environment"] == "prod"
    assert document["changes"] is True
    assert document["counts"] == {"resubmit": 1204, "forget": 12, "keep": 46_796}
    assert (document["priced"], document["cost_usd"], document["spent_usd"]) == (False, None, 1.5)
    first, second = document["jobs"]
    assert first["reasons"][0] == {
        "kind": "resubmit",
        "code": "MODEL_CHANGED",
        "rows": 1204,
        "example_key": "row-17",
        "difference": {"path": "model", "before": '"gpt-5-mini"', "after": '"gpt-5"'},
        "note": None,
        "cost_usd": None,
    }
    assert first["estimate"]["cost_at_most_usd"] == 3.7401
    assert second["waits_for"] == ["tickets.triage", "a.b"]
    assert second["estimate"]["cost_usd"] is None
