"""The commands on real projects, against the embedded server."""

import csv
import io
import json
import os
import pty
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from watchfiles import watch

from batchspec.cli.init import NAMES
from batchspec.errors import ExitCode

Run = Callable[..., Any]
Start = Callable[..., "subprocess.Popen[str]"]

SPEC = """
from typing import Literal
from pydantic import BaseModel
from batchspec import Job, rows

print("specs may print")

class Triage(BaseModel):
    queue: Literal["billing", "bug"]

triage = Job(
    model="openai:gpt-5-mini",
    rows=rows.inline([{"id": "a", "text": "good"}, {"id": "b", "text": "bad"}]),
    prompt="Route: {text}",
    output=Triage,
    output_retries=0,
    grade=lambda row, output: output.queue == "bug",
)
digest = Job(model="openai:gpt-5-mini", rows=rows.collect(triage), prompt="Sum up {count} answers")
"""
ANSWERS = """
def answer(body):
    text = body["messages"][-1]["content"]
    if text == "Route: bad":
        return {"role": "assistant", "content": None, "refusal": "no"}
    return {"queue": "bug"} if text.startswith("Route") else "A summary."
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one row that is answered and one that is refused."""
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "tickets.py").write_text(SPEC)
    (tmp_path / "answers.py").write_text(ANSWERS)
    (tmp_path / "batchspec.toml").write_text('[simulator]\nanswers = "answers.py:answer"\n')
    return tmp_path


@pytest.mark.parametrize(
    ("scenario", "told"),
    [
        ("hostil", "Did you mean 'hostile'?"),
        ("mine.toml", "mine.toml:1: there is no fault 'denid'. Did you mean 'denied'?"),
        ("none.toml", "none.toml"),
    ],
)
def test_a_scenario_that_is_not_right(run: Run, project: Path, scenario: str, told: str) -> None:
    (project / "mine.toml").write_text('[[faults]]\nfault = "denid"\n')
    (project / "batchspec.toml").write_text(f'[simulator]\nscenario = "{scenario}"\n')
    refused = run("apply", "--simulate", "--auto-approve")
    assert refused.code == ExitCode.ERROR
    assert "simulator.scenario is not right" in refused.err
    assert told in refused.err


def test_a_scenario_holds_in_a_simulation(run: Run, project: Path) -> None:
    (project / "mine.toml").write_text('[[faults]]\nfault = "refusal"\n')
    (project / "batchspec.toml").write_text('[simulator]\nscenario = "mine.toml"\n')
    assert run("apply", "--simulate", "--auto-approve").code == ExitCode.FAILED_ITEMS
    assert run("results", "tickets.triage", "--simulate").out.count("refused") == 2


def test_what_can_go_wrong_is_listed(run: Run) -> None:
    assert "flaky-network" in run("simulator", "scenarios").out
    listed = run("simulator", "faults").out
    assert "rate_limited" in listed
    one = run("simulator", "faults", "rate_limited").out
    assert 'form = "seconds"' in one
    assert json.loads(run("simulator", "faults", "--json").out)["faults"]
    assert json.loads(run("simulator", "scenarios", "--json").out)["scenarios"]
    assert "Did you mean 'rate_limited'?" in run("simulator", "faults", "rate_limted").err


@pytest.mark.parametrize("template", NAMES)
def test_every_template_works_offline(run: Run, template: str) -> None:
    """The two commands that `init` prints, and what they lead to."""
    assert run("init", "--template", template).code == 0
    assert run("validate").code == 0
    planned = run("plan", "--simulate", "--detailed-exitcode")
    assert (planned.code, planned.err) == (ExitCode.CHANGES, "")
    applied = run("apply", "--simulate", "--auto-approve")
    assert applied.code == 0, applied
    shown = next(line for line in applied.out.splitlines() if line.startswith("Next: "))
    assert run(*shown.removeprefix("Next: batchspec ").split()).code == 0
    again = run("apply", "--simulate", "--auto-approve")
    assert (again.code, "No changes." in again.out) == (0, True)
    assert run("plan", "--simulate", "--detailed-exitcode").code == 0


@pytest.mark.usefixtures("project")
def test_an_apply_with_failed_items_says_so_everywhere(run: Run) -> None:
    """Exit code, summary, status and the next command agree."""
    applied = run("apply", "--simulate", "--auto-approve")
    assert applied.code == ExitCode.FAILED_ITEMS
    assert "tickets.triage: 1 item without an answer: 1 refused" in applied.out
    assert "tickets.triage: mean grade 1 [0.207, 1] of 1 item" in applied.out
    assert "Next: batchspec results tickets.triage --failed --simulate" in applied.out
    assert "specs may print" in applied.err
    assert "specs may print" not in applied.out
    assert run("status", "--simulate").code == ExitCode.FAILED_ITEMS
    assert run("status", "tickets.digest", "--simulate").code == 0
    failed = run("results", "tickets.triage", "--failed", "--simulate").out.splitlines()
    assert len(failed) == 2
    assert "refused: no" in failed[1]
    again = run("apply", "--simulate")
    assert (again.code, "1 refused" in again.out) == (ExitCode.FAILED_ITEMS, True)
    events = run("apply", "--simulate", "--auto-approve", "--json").out.splitlines()
    last = json.loads(events[-1])
    assert (last["type"], last["nothing"], last["exit_code"]) == ("apply_summary", True, 4)


@pytest.mark.usefixtures("project")
def test_results_come_in_every_format(run: Run, tmp_path: Path) -> None:
    """Standard output carries the answers and nothing else."""
    run("apply", "--simulate", "--auto-approve")
    lines = run("results", "tickets.triage", "--simulate", "--format", "jsonl").out.splitlines()
    assert [json.loads(line)["output"] for line in lines] == [{"queue": "bug"}, None]
    document = json.loads(run("results", "tickets.triage", "--json", "--simulate").out)
    assert [item["grade"] for item in document["items"]] == [1.0, None]
    text = run("results", "tickets.triage", "--format", "csv", "--simulate").out
    table = list(csv.DictReader(io.StringIO(text)))
    assert [(row["row.text"], row["output.queue"]) for row in table] == [
        ("good", "bug"),
        ("bad", ""),
    ]
    written = run("results", "tickets.triage", "--simulate", "-o", "out.csv")
    assert (written.out, (tmp_path / "out.csv").read_text()) == ("", text)
    assert "2 items written to out.csv." in written.err
    one = run("results", 'tickets.triage["b"]', "--json", "--simulate").out
    assert [item["key"] for item in json.loads(one)["items"]] == ["b"]


@pytest.mark.usefixtures("project")
def test_a_long_table_says_what_is_left(run: Run, tmp_path: Path) -> None:
    """Fifty rows are for eyes, the rest for a file."""
    (tmp_path / "specs" / "many.py").write_text(
        "from batchspec import Job, rows\n"
        'many = Job(model="openai:gpt-5-mini", prompt="{id}",'
        ' rows=rows.inline([{"id": str(n)} for n in range(60)]))\n'
    )
    run("apply", "--simulate", "--auto-approve", "--target", "many.many")
    lines = run("results", "many.many", "--simulate").out.splitlines()
    assert len(lines) == 52
    assert lines[-1] == (
        "… and 10 more; all of them: batchspec results many.many --simulate -o FILE --format jsonl"
    )


@pytest.mark.usefixtures("project")
def test_an_empty_text_and_null_are_told_apart_in_a_table(run: Run, tmp_path: Path) -> None:
    (tmp_path / "specs" / "some.py").write_text(
        "from batchspec import Job, rows\n"
        'some = Job(model="openai:gpt-5-mini", prompt="{id}",'
        ' rows=rows.inline([{"id": "a", "none": None, "empty": ""}], key="id"))\n'
    )
    run("apply", "--simulate", "--auto-approve", "--target", "some.some")
    assert 'none=null empty=""' in run("results", "some.some", "--simulate").out


@pytest.mark.usefixtures("project")
def test_json_is_one_document_or_one_event_per_line(run: Run) -> None:
    """Each names its format version; every event has a sentence for people."""
    plan = json.loads(run("plan", "--json", "--simulate").out)
    assert (plan["format_version"], plan["counts"]) == ("1", {"submit": 2})
    applied = run("apply", "--json", "--auto-approve", "--simulate")
    events = [json.loads(line) for line in applied.out.splitlines()]
    assert events[0]["format_version"] == "1"
    assert all({"@level", "@message", "@timestamp", "type"} <= set(event) for event in events)
    kinds = [event["type"] for event in events]
    assert kinds[0] == "version"
    assert {"planned_change", "change_summary", "batch_submitted", "progress"} <= set(kinds)
    last = events[-1]
    assert (last["type"], last["exit_code"]) == ("apply_summary", 4)
    assert last["mean_grades"] == {"tickets.triage": 1.0}
    status = json.loads(run("status", "--json", "--simulate").out)
    assert status["format_version"] == "1"
    assert [job["final"] for job in status["jobs"]] == [2, 1]
    grade = {"mean": 1.0, "items": 1, "low": pytest.approx(0.2065, abs=1e-3), "high": 1.0}
    assert [job["mean_grade"] for job in status["jobs"]] == [grade, None]
    assert "grade\n" in run("status", "--simulate").out
    assert status["lease"] is None


def test_errors_are_json_too(run: Run, project: Path) -> None:
    """A program that asked for JSON gets it, and people the same on stderr."""
    (project / "specs" / "broken.py").write_text("from batchspec import Job\nx = Job(mode='a')\n")
    ended = run("plan", "--json")
    error = json.loads(ended.out)["error"]
    assert (ended.code, error["exit_code"]) == (1, 1)
    assert error["diagnostics"][0]["file"] == "specs/broken.py"
    assert error["diagnostics"][0]["line"] == 2
    assert "1. Error: " in ended.err
    events = run("apply", "--json", "--auto-approve").out.splitlines()
    assert [json.loads(event)["type"] for event in events][-1] == "error"
    assert json.loads(events[0])["diagnostic"]["file"] == "specs/broken.py"
    assert run("validate").code == 1


@pytest.mark.usefixtures("project")
def test_a_program_that_did_not_agree_is_told_as_json(run: Run) -> None:
    """`--json` alone agrees to nothing, and stdout says so."""
    ended = run("apply", "--json", "--simulate")
    event = json.loads(ended.out)
    assert (ended.code, event["type"], event["error"]["exit_code"]) == (8, "error", 8)


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["apply"], 8, "run `batchspec apply --auto-approve`"),
        (["apply", "--simulate"], 8, "run `batchspec apply --auto-approve --simulate`"),
        (["init", "p 1"], 64, "`batchspec init --project 'p 1'`"),
        (["apply", "--json"], 8, "add `--auto-approve`"),
        (["apply", "--auto-approve"], 1, "set OPENAI_API_KEY in the environment"),
        (["apply", "--auto-approve", "--max-cost", "0.0000001"], 7, "Nothing was sent"),
        (["results", "tickets.nope"], 1, "There is no state"),
        (["status", "tickets.nope", "--simulate"], 1, "There is no state"),
        (["render", "tickets.nope"], 64, "There is no job 'tickets.nope'"),
        (["plan", "--target", "nope.*"], 64, "No job matches 'nope.*'"),
        (["--env", "a/b", "plan"], 1, "env: String should match pattern"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_refusal_has_its_code_and_says_what_to_do(
    run: Run, arguments: list[str], code: int, told: str
) -> None:
    """Nothing is sent without a key, a budget and somebody who agrees."""
    ended = run(*arguments)
    assert (ended.code, told in ended.err) == (code, True), ended.err


@pytest.mark.usefixtures("project")
def test_validate_render_and_graph_look_without_touching(run: Run, tmp_path: Path) -> None:
    """They leave no state behind."""
    valid = run("validate")
    assert valid.code == 0
    assert "tickets.triage" in valid.out
    assert "Valid: 2 jobs, 2 rows; nothing was sent." in valid.out
    rendered = run("render", 'tickets.triage["b"]')
    assert json.loads(rendered.out)["body"]["messages"][-1]["content"] == "Route: bad"
    assert 'tickets.triage["b"], fingerprint ' in rendered.err
    assert run("graph").out == "tickets.triage\n└─ collect ─ tickets.digest\n"
    assert "job0 -->|collect| job1" in run("graph", "--format", "mermaid").out
    assert '"tickets.triage" -> "tickets.digest"' in run("graph", "--format", "dot").out
    assert not (tmp_path / "state").exists()


def test_detach_returns_before_the_end_and_apply_goes_on(run: Run, project: Path) -> None:
    """Exit code 3 until everything is final; what was agreed is not paid again."""
    with (project / "batchspec.toml").open("a") as file:
        file.write("pace = 10\n")
    detached = run("apply", "--simulate", "--auto-approve", "--detach")
    assert detached.code == ExitCode.IN_PROGRESS
    assert "Next: batchspec apply --simulate  (to go on)" in detached.out
    status = run("status", "--simulate")
    assert status.code == ExitCode.IN_PROGRESS
    assert "Waiting\n  batch batch_" in status.out
    planned = run("plan", "--simulate", "--explain")
    assert ">> tickets.triage" in planned.out
    assert run("apply", "--simulate", "--auto-approve").code == ExitCode.FAILED_ITEMS


def _submits(process: "subprocess.Popen[str]", project: Path) -> None:
    """Return once a process that applies has a batch at the provider."""
    state, until = project / "state" / "simulation" / "batchspec.db", time.monotonic() + 120
    # The first look may come after the last change, so there is one each second as well.
    for _ in watch(project, watch_filter=None, step=10, rust_timeout=1_000, yield_on_timeout=True):
        if _batches(state):
            return
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "it hangs"


def _batches(state: Path) -> int:
    if not state.exists():
        return 0
    with closing(sqlite3.connect(f"file:{state}?mode=ro", uri=True)) as connection:
        try:
            query = "SELECT count(*) FROM batches WHERE phase = 'submitted'"
            return int(connection.execute(query).fetchone()[0])
        except sqlite3.OperationalError:
            # It is being made.
            return 0


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["int", "term"]
)
def test_an_interrupt_says_how_to_go_on(
    start: Start, run: Run, project: Path, number: signal.Signals, code: int
) -> None:
    """The next apply goes on from there."""
    with (project / "batchspec.toml").open("a") as file:
        file.write("pace = 1000\n")
    process = start("apply", "--simulate", "--auto-approve")
    _submits(process, project)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert "Interrupted. Batches at the provider go on" in out
    assert "Next: batchspec apply --simulate  (to go on)" in out
    assert run("plan", "--simulate", "--detailed-exitcode").code == ExitCode.CHANGES


def test_two_applies_do_not_run_at_once(start: Start, run: Run, project: Path) -> None:
    """The second is told who is at work; looking is never blocked."""
    with (project / "batchspec.toml").open("a") as file:
        file.write("pace = 1000\n")
    process = start("apply", "--simulate", "--auto-approve")
    _submits(process, project)
    second = run("apply", "--simulate", "--auto-approve")
    assert second.code == ExitCode.LOCKED
    assert f"process {process.pid}" in second.err
    assert f"process {process.pid}" in run("status", "--simulate").out


@pytest.mark.usefixtures("project")
def test_a_reader_that_goes_away_is_no_error(start: Start, run: Run) -> None:
    """`batchspec results … | head -1` is quiet and succeeds."""
    run("apply", "--simulate", "--auto-approve")
    process = start("results", "tickets.triage", "--simulate", "--format", "jsonl")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert err.replace("specs may print\n", "") == ""


def _on_a_terminal(project: Path, answer: str, *arguments: str, **more: str) -> tuple[int, str]:
    """Run `batchspec …` on a terminal, type a line, and return exit code and screen."""
    parent, child = pty.openpty()
    source = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(source), "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(
        [sys.executable, "-m", "batchspec.cli", *arguments],
        cwd=project,
        env=environment | more,
        stdin=child,
        stdout=child,
        stderr=child,
    )
    os.close(child)
    os.write(parent, answer.encode())
    screen = b""
    while True:
        try:
            part = os.read(parent, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not part:
            break
        screen += part
    os.close(parent)
    return process.wait(timeout=30), screen.decode()


@pytest.mark.parametrize(
    ("answer", "code"),
    [("yes\n", 4), ("y\n", 8), ("\n", 8), ("\x04", 8)],
    ids=["yes", "y", "nothing", "end of input"],
)
def test_only_yes_is_yes(project: Path, answer: str, code: int) -> None:
    """The question names the environment where it is not the default one."""
    ended, screen = _on_a_terminal(project, answer, "apply", "--simulate")
    assert ended == code, screen
    assert "Apply this plan in environment 'simulation'?" in screen
    assert ("Declined; nothing was sent." in screen) == (code == 8)


@pytest.mark.parametrize("variable", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_colour_and_movement_need_a_terminal_that_wants_them(
    project: Path, variable: dict[str, str]
) -> None:
    """`NO_COLOR` and a dumb terminal get plain lines."""
    _, screen = _on_a_terminal(project, "yes\n", "apply", "--simulate", **variable)
    assert ("\x1b[" in screen) == (not variable)
    assert ("━" in screen) == (not variable)
    if variable:  # a live display may show the sentence too, if it is drawn in that moment
        assert "collected: 2 items final." in screen


def test_a_crash_of_ours_is_recorded(run: Run, project: Path, monkeypatch: Any) -> None:
    """Its traceback lies in the state of the environment."""

    def bug(*_: object) -> None:
        raise ZeroDivisionError("sk-abcdefgh1234")

    monkeypatch.setattr("batchspec.cli.plan.plan_document", bug)
    (project / "state").mkdir()
    ended = run("plan", "--json", "--env", "prod")
    (record,) = (project / "state" / "prod").glob("crash-*.log")
    assert ended.code == ExitCode.INTERNAL
    assert str(record.relative_to(project)) in ended.err
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert "abcdefgh" not in record.read_text() + ended.err
