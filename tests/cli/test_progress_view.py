"""Watching an apply: sentences, lines, live lines and JSON events."""

import io
import json
import sys
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from batchspec.cli.views.events import JSON_INTERVAL, JsonEvents
from batchspec.cli.views.progress import (
    PLAIN_INTERVAL,
    PlainProgress,
    drawn,
    watching,
)
from batchspec.cli.views.sentences import Narrator
from batchspec.ids import BatchId, FileId, JobAddress, LaneId, RemoteId
from batchspec.state.events import (
    BatchAbsent,
    BatchCollected,
    BatchIntended,
    BatchObserved,
    BatchRejected,
    BatchSubmitted,
    CallFailed,
    CreateAttempted,
    Event,
    InputUploaded,
    Part,
    PlanAgreed,
    RepliesRejudged,
    ToolsRun,
)
from batchspec.state.records import BatchRecord, JobProgress, RequestCounts

ID = BatchId("0198aabbccdd7000800000001a2b3c4d")
REMOTE = RemoteId("batch_7")
JOB = JobAddress("tickets.triage")


def _observed(completed: int, status: Any = "in_progress") -> BatchObserved:
    return BatchObserved(
        id=ID,
        status=status,
        counts=RequestCounts(10, completed, 0),
        output_file_id=None,
        error_file_id=None,
        ended=False,
        at=1.0,
        next_at=2.0,
    )


SUBMITTED = BatchSubmitted(id=ID, remote_id=REMOTE, status="validating", at=1.0, next_at=2.0)

FULL = " Its requests wait until a batch of the model ends, or are tried again later."
PARTS = (Part(1, 1, 2, 10, 9),)
TOLD: list[tuple[Event, str, bool]] = [
    (
        BatchIntended(id=ID, lane=LaneId(1), parts=PARTS, members=10, bytes=9, at=1.0),
        "Batch …1a2b3c4d put together: 10 requests.",
        False,
    ),
    (
        InputUploaded(id=ID, file=FileId("file-1"), at=1.0),
        "Input of batch …1a2b3c4d uploaded as file-1.",
        False,
    ),
    (CreateAttempted(id=ID, at=1.0), "Batch …1a2b3c4d is about to be created.", False),
    (SUBMITTED, "Batch batch_7 submitted.", True),
    (
        BatchSubmitted(
            id=ID, remote_id=REMOTE, status="validating", at=1.0, next_at=2.0, adopted=True
        ),
        "Batch batch_7 found again at the provider.",
        True,
    ),
    (
        BatchAbsent(id=ID, at=1.0, next_at=2.0),
        "Batch …1a2b3c4d does not exist at the provider; it will be created.",
        True,
    ),
    (
        BatchRejected(id=ID, at=1.0, reason="line 3: no\nmodel"),
        "Batch …1a2b3c4d was refused: line 3: no\\nmodel.",
        True,
    ),
    (
        BatchRejected(id=ID, at=1.0, reason="Queue is full", hold="full"),
        f"Batch …1a2b3c4d was refused: Queue is full.{FULL}",
        True,
    ),
    (_observed(4), "Batch …1a2b3c4d is in_progress, 4 of 10 done.", True),
    (
        CallFailed(id=ID, at=1.0, next_at=2.0, reason="no answer"),
        "Batch …1a2b3c4d: no answer; trying again.",
        True,
    ),
    (
        BatchCollected(id=ID, at=1.0, final=7, tools=2, pending=1, unmatched=1),
        "Batch …1a2b3c4d collected: 7 items final, 2 with tools to run, 1 to send, 1 stray line.",
        True,
    ),
    (
        RepliesRejudged(job=JobAddress("a.b"), replies=3, changed=1, at=1.0),
        "a.b: 3 replies judged again, 1 differently.",
        True,
    ),
    (
        ToolsRun(job=JOB, calls=1, pending=1, final=0, at=1.0),
        "tickets.triage: 1 tool call run.",
        True,
    ),
    (
        PlanAgreed(plan="p", job=JOB, added=3, changed=1, removed=0, at=1.0),
        "tickets.triage: 4 rows agreed to.",
        False,
    ),
]


@pytest.mark.parametrize(
    ("event", "sentence", "news"),
    TOLD,
    ids=[f"{n}-{type(e[0]).__name__}" for n, e in enumerate(TOLD)],
)
def test_every_event_has_a_sentence(event: Event, sentence: str, news: bool) -> None:
    """Events of the machinery are no news for people who do not debug."""
    assert Narrator().tell(event) == (sentence, news)


def test_later_sentences_use_the_providers_name_and_repeat_nothing() -> None:
    """The provider's id can be looked up on its page."""
    narrator = Narrator()
    narrator.tell(SUBMITTED)
    assert narrator.tell(_observed(1)) == ("Batch batch_7 is in_progress, 1 of 10 done.", True)
    assert narrator.tell(_observed(2)) == ("Batch batch_7 is in_progress, 2 of 10 done.", False)
    resumed = Narrator()
    resumed.known(BatchRecord(id=ID, lane=LaneId(1), remote_id=REMOTE, status="in_progress"))
    assert resumed.tell(_observed(2)) == ("Batch batch_7 is in_progress, 2 of 10 done.", False)


def _job(final: int, items: int = 10, failed: int = 0) -> JobProgress:
    return JobProgress(
        address=JOB,
        model="openai:m",
        items=items,
        phases={"final": final, "batched": items - final},
        outcomes={"succeeded": final - failed, "refused": failed},
        cost=Decimal("0.5"),
    )


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_plain_lines_count_what_open_batches_answered(capsys: pytest.CaptureFixture[str]) -> None:
    """A batch that takes the night moves in the log too, but says nothing while it stands."""
    clock = _Clock()

    def batches(completed: int) -> list[BatchRecord]:
        counts = RequestCounts(6, completed, 1)
        open_ = BatchRecord(
            id=ID, lane=LaneId(1), phase="submitted", members=6, counts=counts, remote_id=REMOTE
        )
        ended = BatchRecord(id=ID, lane=LaneId(1), phase="ended", members=4, counts=counts)
        return [open_, ended]

    with PlainProgress(clock) as view:
        for now, completed in ((1.0, 1), (30.0, 2), (31.0, 3), (60.0, 3), (95.0, 3)):
            clock.now = now
            view.progress([_job(0)], batches(completed))
    assert capsys.readouterr().err.splitlines() == [
        "Open batches: 3 of 6 requests answered.",
        "Open batches: 4 of 6 requests answered.",
    ]


def test_plain_lines_come_when_something_changed_and_not_too_often(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A log of a day must stay readable."""
    clock = _Clock()
    with PlainProgress(clock) as view:
        for now, final in ((0.0, 0), (0.1, 1), (0.2, 2), (PLAIN_INTERVAL + 1, 3), (99.0, 3)):
            clock.now = now
            view.progress([_job(final)], [])
        clock.now = 99.1
        view.progress([_job(10, failed=2)], [])
        view.warning("a\x1b[2J")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "tickets.triage: 1 of 10 final.",
        "tickets.triage: 3 of 10 final.",
        "tickets.triage: 10 of 10 final, 2 failed.",
        "Warning: a\\u001b[2J",
    ]


def test_live_lines_show_jobs_and_open_batches() -> None:
    """What is not finished comes first; answers that lie at the provider count in the bar."""
    done = JobProgress(address=JobAddress("a.done"), model="m", items=2, phases={"final": 2})
    batches = [
        BatchRecord(
            id=ID,
            lane=LaneId(1),
            phase="submitted",
            members=6,
            jobs={JOB: 6},
            remote_id=REMOTE,
            status="in_progress",
            counts=RequestCounts(6, 3, 0),
            next_at=75.0,
        ),
        BatchRecord(id=BatchId("x" * 32), lane=LaneId(1), members=1, note="no answer"),
        BatchRecord(id=ID, lane=LaneId(1), phase="collected", members=4, jobs={JOB: 4}),
    ]
    lines = drawn([done, _job(4, failed=1)], batches, now=10.0)
    bar = "━" * 24
    assert [line.plain for line in lines] == [
        f"tickets.triage  {bar}  4/10  1 failed  $0.50  6 in batches",
        f"a.done          {bar}   2/2            $0.00",
        "  batch_7    in_progress  3/6  next look in 1m 5s",
        "  …xxxxxxxx  intended     0/1  no answer",
    ]
    spans = [span.style for span in lines[0].spans]
    assert "green" in spans
    assert "cyan" in spans
    assert [line.plain for line in drawn([], [], 0.0)] == ["Starting …"]


def test_json_events_are_lines_with_a_sentence_each(
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    """The last state is told at the end."""
    clock = _Clock()
    with JsonEvents(clock) as view:
        view.emit("version", "batchspec 1", batchspec="1")
        view.event(SUBMITTED)
        view.warning("Größe")
        for now, final in ((10.0, 1), (10.1, 2), (10.2, 3)):
            clock.now = now
            view.progress([_job(final)], [])
        clock.now = 10.2 + JSON_INTERVAL
    lines = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert lines[0]["format_version"] == "1"
    assert "format_version" not in lines[1]
    assert lines[1]["type"] == "batch_submitted"
    assert lines[1]["@message"] == "Batch batch_7 submitted."
    assert lines[1]["event"]["remote_id"] == "batch_7"
    assert (lines[2]["type"], lines[2]["@level"], lines[2]["@message"]) == ("log", "warn", "Größe")
    assert [line["@message"] for line in lines[3:]] == [
        "1 of 10 items final.",
        "3 of 10 items final.",
    ]
    assert lines[-1]["@timestamp"] == "1970-01-01T00:00:12.200Z"


def test_json_progress_is_told_when_it_moves(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    clock = _Clock()
    batch = BatchRecord(id=ID, lane=LaneId(1), phase="submitted", members=10, status="in_progress")
    with JsonEvents(clock) as view:
        for answered, final in ((3, 1), (3, 1), (4, 1), (4, 1), (4, 2), (4, 2)):
            clock.now += JSON_INTERVAL
            # When it is looked at next moves with every look.
            counts = RequestCounts(10, answered, 0)
            seen = replace(batch, counts=counts, next_at=clock.now + 60)
            view.progress([_job(final)], [seen])
    lines = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert [(line["batches"][0]["completed"], line["jobs"][0]["final"]) for line in lines] == [
        (3, 1),
        (4, 1),
        (4, 2),
    ]


class _Gone(io.RawIOBase):
    tried = 0

    def writable(self) -> bool:
        return True

    def write(self, _data: Any, /) -> int:
        self.tried += 1
        raise BrokenPipeError


@pytest.mark.parametrize(("name", "view"), [("stdout", JsonEvents), ("stderr", PlainProgress)])
def test_a_reader_that_goes_away_does_not_stop_the_work(
    monkeypatch: pytest.MonkeyPatch, name: str, view: Any
) -> None:
    """Batches that are paid for are collected, whoever watches."""
    gone = _Gone()
    stream = io.TextIOWrapper(io.BufferedWriter(gone, 1), write_through=True)
    monkeypatch.setattr(sys, name, stream)
    with view() as hook:
        hook.event(SUBMITTED)
        hook.warning("x")
        hook.progress([_job(1)], [])
    monkeypatch.undo()
    assert gone.tried > 0
    with suppress(BrokenPipeError):
        stream.close()


def test_the_view_follows_the_output() -> None:
    """Without a terminal nothing moves."""
    events = JsonEvents()
    assert watching(events) is events
    assert isinstance(watching(None), PlainProgress)
