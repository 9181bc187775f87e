"""What people and programs see of a watcher."""

import io
import json
import sys
from dataclasses import replace
from typing import Any

import pytest

from batchspec.cli.views.events import JsonEvents
from batchspec.cli.views.progress import LiveProgress, PlainProgress
from batchspec.cli.views.status import lease_line
from batchspec.ids import JobAddress
from batchspec.state.records import JobProgress, LeaseRecord
from batchspec.state.watching import ConditionChanged, PlanGranted

ASKS = "Changes wait. Agree to it with `batchspec approve 01a225d3327a`."
COMMAND = "`batchspec approve 01a225d3327a --simulate`"
HELD = ConditionChanged(
    type="Consented", status="False", reason="Consent", message=ASKS, at=5.0, before=None
)
JOB = JobProgress(
    address=JobAddress("m.j"),
    model="openai:m",
    items=2,
    phases={"final": 2},
    outcomes={"succeeded": 2},
)


class Terminal(io.StringIO):
    """A terminal of 60 columns."""

    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Let what follows be written to a terminal."""
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    return screen


def said(screen: Terminal) -> str:
    """Return what is on the screen as one line, without what moves the cursor."""
    lines = (
        line.split("\x1b")[0] if line.startswith("Watching since") else line
        for line in screen.getvalue().splitlines()
    )
    return " ".join(" ".join(lines).split())


def test_on_a_terminal_the_command_that_agrees_is_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It does not fit into the line that is redrawn, and must be there to be copied."""
    terminal = on_terminal(monkeypatch)
    with LiveProgress(flags=" --simulate", serves=True) as view:
        view.event(HELD)
        view.event(PlanGranted(plan="0123456789abcdef", by="person", at_most=None, at=6.0))
    for part in ("`batchspec approve", "01a225d3327a --simulate`"):
        assert part in said(terminal)
    assert "Plan 0123456789ab was agreed to by a person." in said(terminal)


def test_what_was_counted_stays_on_the_screen_while_it_begins_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = on_terminal(monkeypatch)
    with LiveProgress(serves=True, clock=lambda: 100.0) as view:
        view.progress([JOB], ())
        view.within(reconcile="r", serial=1, plan=None)
        view.progress((), ())
        assert "m.j" in "".join(map(str, view._draw().renderables))  # type: ignore[attr-defined]
        view.rests()
        assert "nothing to do" in str(view._draw().renderables[-1])  # type: ignore[attr-defined]
    assert "Starting" not in said(terminal)
    assert "2/2" in said(terminal), "and at the end"


def test_a_line_of_a_log_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    view = PlainProgress(stamp=lambda: 0.0, flags=" --env prod")
    view.warning("It is wrong.\n  batchspec.toml: there is no key 'x'.\n")
    view.info("Run `batchspec status`.")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("Warning: It is wrong. batchspec.toml: there is no key 'x'.")
    assert second.endswith("Run `batchspec status --env prod`.")


def test_every_plan_that_waits_is_told_however_alike(capsys: pytest.CaptureFixture[str]) -> None:
    view = PlainProgress(stamp=lambda: 0.0)
    for plan in ("01a225d3327a", "01a225d33280"):
        view.event(replace(HELD, message=HELD.message.replace("01a225d3327a", plan)))
    assert [line[-14:-2] for line in capsys.readouterr().err.splitlines()] == [
        "01a225d3327a",
        "01a225d33280",
    ]


def test_what_is_no_warning_is_none_for_programs(capfdbinary: Any) -> None:
    view = JsonEvents(flags=" --simulate")
    view.info("Specs loaded: 2 jobs.")
    view.event(HELD)
    info, event = map(json.loads, capfdbinary.readouterr().out.splitlines())
    assert (info["type"], info["@level"]) == ("log", "info")
    assert COMMAND in event["@message"]


@pytest.mark.parametrize(
    ("free", "watched", "told"),
    [
        (False, True, "At work: watch on host, process 7, since 1m 35s"),
        (True, True, "At work: watch on host, process 7; its engine, process 9, died"),
        (True, False, "No longer at work: watch on host, process 7, which died"),
    ],
)
def test_who_watches_is_the_process_to_be_told(free: bool, watched: bool, told: str) -> None:
    lease = LeaseRecord(
        holder="h",
        host="host/1",
        pid=9,
        operation="watch",
        since=90.0,
        heartbeat=95.0,
        fence=1,
        watcher=7,
        watching_since=5.0,
    )
    assert lease_line(lease, 100.0, free=free, watched=watched).plain.startswith(told)


def test_more_jobs_than_lines_leave_room_for_what_is_below(monkeypatch: pytest.MonkeyPatch) -> None:
    on_terminal(monkeypatch)
    monkeypatch.setenv("LINES", "20")
    jobs = [replace(JOB, address=JobAddress(f"m.j{n}")) for n in range(50)]
    failed = replace(JOB, address=JobAddress("m.failed"), outcomes={"failed": 2})
    with LiveProgress(serves=True) as view:
        view.progress([*jobs, failed], ())
        lines = [str(line) for line in view._draw().renderables]  # type: ignore[attr-defined]
    assert len(lines) <= 20
    assert "m.failed" in lines[0], "after what is not final yet"
    assert "more lines" in lines[-2]
    assert lines[-1].startswith("Watching since")
