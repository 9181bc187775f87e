"""Status, summaries, graphs and pages: values in, lines out."""

import io
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from batchspec.cli.views.apply import ask, show_result
from batchspec.cli.views.cancel import show_cancelled
from batchspec.cli.views.graph import dot_lines, mermaid_lines, text_lines
from batchspec.cli.views.plan import show_plan
from batchspec.cli.views.planning import planning
from batchspec.cli.views.sentences import Narrator
from batchspec.cli.views.status import job_lines, show_status
from batchspec.cli.views.streams import foreign_prints_to_stderr, print_prose, print_table, stdout
from batchspec.errors import DeclinedError
from batchspec.ids import BatchId, JobAddress, RemoteId
from batchspec.messages import Usage
from batchspec.plan.changes import Plan
from batchspec.project.stopping import CancelResult
from batchspec.project.values import ApplyResult, Graph, Status
from batchspec.state.housekeeping import ItemsCancelled
from batchspec.state.records import JobProgress, LeaseRecord, MeanGrade
from batchspec.state.stopped import JobStop, Stop, StopBatch

A, B, C, D = (JobAddress(f"m.{name}") for name in "abcd")
Shown = Callable[[], str]


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Shown:
    """What was printed since the last look."""
    return lambda: "".join(capsys.readouterr())


DONE = JobProgress(
    address=A,
    model="openai:m",
    items=1200,
    phases={"final": 1200},
    outcomes={"succeeded": 1198, "refused": 2},
    usage=Usage(2_100_000, 0, 30_000),
    cost=Decimal("1.875"),
    turns=1500,
    grade=MeanGrade(0.8769, 1198, 0.8571, 0.8943),
)
OPEN = JobProgress(
    address=JobAddress("b.long_name"),
    model="openai:m",
    items=3,
    phases={"pending": 1, "batched": 2},
    cost=None,
)


def _status(*jobs: JobProgress, **more: Any) -> Status:
    values: dict[str, Any] = {
        "environment": "prod",
        "lineage": "01a2099c3f2a9c01",
        "serial": 41,
        "batches": (),
        "lanes": (),
        "lease": None,
        "spent": Decimal("118.02"),
    }
    return Status(jobs=jobs, **(values | more))


def test_a_status_reads_like_this(shown: Shown) -> None:
    """Jobs, what is waited for, and who is at work."""
    lease = LeaseRecord(
        holder="x", host="box", pid=7, operation="apply", since=10, heartbeat=195, fence=1
    )
    waiting = ("batch b of m.a is in_progress since 3 min, 1 of 2 requests done",)
    show_status(_status(DONE, OPEN, lease=lease, waiting=waiting), now=200.0, flags="")
    assert (
        shown()
        == """\
Environment prod, lineage …3f2a9c01, serial 41, spent $118.02

job          items  succeeded  failed  turns  tokens in  out           cost  grade
m.a          1,200      1,198       2  1,500       2.1M  30k          $1.88  0.877 [0.857, 0.894]
b.long_name      3          0       0      0          0    0  price unknown\
                        2 in batches, 1 to send

Waiting
  batch b of m.a is in_progress since 3 min, 1 of 2 requests done

At work: apply on box, process 7, since 3m 10s, last sign of life 5s ago; lock x.
"""
    )


def test_an_empty_state_says_what_comes_next(shown: Shown) -> None:
    """Rather than an empty table."""
    show_status(_status(), now=0.0, flags=" --simulate")
    assert shown().endswith("\nNothing is recorded yet. Next: batchspec plan --simulate\n")


@pytest.mark.parametrize(
    ("result", "lines"),
    [
        (ApplyResult(jobs=(), nothing=True), ["Nothing to do."]),
        (
            ApplyResult(jobs=(DONE,)),
            [
                "m.a: 2 items without an answer: 2 refused",
                "",
                "m.a: mean grade 0.877 [0.857, 0.894] of 1,198 items",
                "",
                "Finished, with 2 failed items.",
                "Next: batchspec results m.a --failed --env prod",
            ],
        ),
        (
            ApplyResult(jobs=(OPEN,), note="Note."),
            [
                "Note.",
                "In progress: 0 of 3 items are final.",
                "Next: batchspec apply --env prod  (to go on)",
            ],
        ),
        (
            ApplyResult(jobs=(OPEN,), signal=2, warnings=("slow",)),
            [
                "Interrupted. Batches at the provider go on; nothing recorded is lost.",
                "Next: batchspec apply --env prod  (to go on)",
                "Warning: slow",
            ],
        ),
        (
            ApplyResult(jobs=(OPEN,), signal=2, stopping=("laptop",)),
            [
                (
                    "Interrupted. Batches of laptop stop here, and go on at the line; nothing "
                    "recorded is lost."
                ),
                "Next: batchspec apply --env prod  (to go on)",
            ],
        ),
        (ApplyResult(jobs=()), ["Done: 0 items succeeded."]),
        (
            ApplyResult(jobs=(), refused=("It has no rows.",)),
            ["Finished; 1 job was left alone.", "Refused: It has no rows."],
        ),
    ],
    ids=["nothing", "failed", "detached", "interrupted", "interrupted here", "empty", "refused"],
)
def test_every_end_of_an_apply_says_what_comes_next(
    shown: Shown, result: ApplyResult, lines: list[str]
) -> None:
    """With the options of this run, so that the line can be pasted."""
    show_result(result, flags=" --env prod")
    assert shown().splitlines()[-len(lines) :] == lines


def test_a_graph_is_a_tree_that_repeats_no_branch() -> None:
    """A job with two sources stands below both, its own branch below the first."""
    graph = Graph(
        (A, B, C, D),
        ((A, B, "outputs_of"), (A, C, "collect"), (B, C, "collect"), (C, D, "outputs_of")),
    )
    assert text_lines(graph) == [
        "m.a",
        "├─ outputs_of ─ m.b",
        "│  └─ collect ─ m.c",
        "│     └─ outputs_of ─ m.d",
        "└─ collect ─ m.c (see above)",
    ]
    assert mermaid_lines(graph)[1:6:4] == ['  job0["m.a"]', "  job0 -->|outputs_of| job1"]
    assert dot_lines(graph)[-2] == '  "m.c" -> "m.d" [label="outputs_of"];'
    assert text_lines(Graph((), ())) == ["No jobs."]


def test_nobody_is_asked_where_nobody_can_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The way out stands in the message."""
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    plan = Plan(id="1", environment="default", lineage="l", serial=0, jobs=(), batches=0)
    with pytest.raises(DeclinedError, match="batchspec apply --auto-approve"):
        ask(plan)


def test_warnings_of_a_plan_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """They are diagnostics."""
    show_plan(
        Plan(
            id="1",
            environment="e",
            lineage="l",
            serial=0,
            jobs=(),
            batches=0,
            warnings=("old prices",),
        )
    )
    out, err = capsys.readouterr()
    assert ("old prices" in out, err) == (False, "Warning: old prices\n")


def test_planning_is_silent_without_a_terminal() -> None:
    """There is no hook to call then."""
    with planning() as hook:
        assert hook is None


def test_prose_goes_on_below_itself_and_tables_are_cut() -> None:
    """On a narrow terminal nothing runs into the next line's place."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    file = Terminal()
    console = Console(file=file, width=24, soft_wrap=True, color_system=None)
    print_prose(console, [Text("  a line of words that is too long"), Text("short")])
    print_table(console, [Text("a table is cut at the width")])
    assert file.getvalue().splitlines() == [
        "  a line of words",
        "    that is too long",
        "short",
        "a table is cut at the w…",
    ]


def test_what_users_print_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """Views write to the real stdout meanwhile."""
    with foreign_prints_to_stderr():
        print("from a tool")  # noqa: T201 - what a user's tool does
        stdout().print("from a view")
    assert capsys.readouterr() == ("from a view\n", "from a tool\n")


@pytest.mark.parametrize(
    ("fate", "told"),
    [
        ("shared", "1 request is in batches that run on"),
        ("imported", "1 request is in batches that run on"),
        ("ending", None),
    ],
)
def test_a_cancelled_item_of_a_batch_that_runs_on_is_not_just_stopped(
    shown: Shown, fate: Any, told: str | None
) -> None:
    """What becomes of it is said."""
    batch = StopBatch(BatchId("b" * 32), RemoteId("batch_1"), members=6, mine=1, fate=fate)
    job = JobStop(A, items=6, final=0, pending=0, tools=0, batched=1, shared=0)
    show_cancelled(CancelResult(stop=Stop((job,), (batch,)), jobs=(OPEN,)), flags="")
    text = shown()
    assert (told or "Stopped.") in text
    assert ("an answer that comes is kept" in text) is (told is not None)


@pytest.mark.parametrize(
    ("waiting", "in_flight", "told"),
    [
        (2, 0, "m.a: 2 waiting items cancelled."),
        (0, 1, "m.a: 0 waiting items cancelled, 1 in a batch is to end: with the answer that "),
    ],
)
def test_cancelled_items_are_told_in_words(waiting: int, in_flight: int, told: str) -> None:
    event = ItemsCancelled(job=A, waiting=waiting, in_flight=in_flight, at=0.0)
    assert Narrator().tell(event)[0].startswith(told)


def test_addresses_that_leave_no_room_stand_on_lines_of_their_own() -> None:
    """What was paid must be seen in a terminal of 80 columns."""
    usage = Usage(input_tokens=123_456, output_tokens=7_890)
    jobs = [
        JobProgress(
            address=JobAddress(f"evaluation.compare@gpt-4.1-mini,temperature={n}"),
            model="openai:gpt-4.1-mini",
            items=10,
            phases={"final": 10},
            outcomes={"succeeded": 10},
            usage=usage,
            cost=Decimal("1.25"),
            turns=20,
        )
        for n in range(2)
    ]
    lines = [line.plain for line in job_lines(jobs, width=80)]
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line.startswith("evaluation")] == [j.address for j in jobs]
    assert sum("$1.25" in line for line in lines) == 2
    assert len(job_lines(jobs, width=200)) == len(job_lines(jobs)) == 3
