"""The front door: help, unknown words, exit codes, endings."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from batchspec.cli import endings
from batchspec.cli.endings import Terminated, exit_code, record_crash
from batchspec.cli.main import COMMANDS, main
from batchspec.cli.scope import Scope
from batchspec.errors import (
    ConfigurationError,
    DeclinedError,
    Diagnostic,
    ExitCode,
    LockedError,
    RefusedError,
    Source,
    SpecError,
    StalePlanError,
)
from batchspec.redaction import redacted

Run = Callable[..., Any]


def test_help_lists_every_command(run: Run) -> None:
    """Each with its line."""
    ended = run("--help")
    assert ended.code == 0
    for name, words in COMMANDS.items():
        assert f"  {name}" in ended.out
        assert words in ended.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(run: Run, name: str) -> None:
    """Help of a command needs no project."""
    ended = run(name, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"Usage: batchspec {name}")


@pytest.mark.parametrize("arguments", [["--help"], ["plan", "--help"], ["--version"]])
def test_help_imports_neither_sdk_nor_server(arguments: list[str], tmp_path: Path) -> None:
    """Listing commands loads click and little more."""
    code = (
        "import sys\nfrom batchspec.cli.main import main\n"
        f"assert main({arguments!r}) == 0\n"
        "heavy = {'openai', 'genai_prices', 'starlette', 'httpx2', 'batchspec.project'}\n"
        "sys.exit(','.join(heavy & set(sys.modules)) or 0)"
    )
    source = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_records_nothing_imports_no_server(tmp_path: Path) -> None:
    """An apply at a provider loads the SDK; the embedded server would cost it as much again."""
    code = (
        "import sys\nfrom contextlib import ExitStack\nfrom pathlib import Path\n"
        "from batchspec.project import Project\n"
        "from batchspec.project.recording import open_recordings\n"
        "settings = Project('.').settings\n"
        "with ExitStack() as stack:\n"
        "    assert open_recordings(settings, Path('.'), stack, adding=True) == {}\n"
        "heavy = {'starlette', 'batchspec.simulator', 'batchspec.project.state'}\n"
        "sys.exit(','.join(heavy & set(sys.modules)) or 0)"
    )
    (tmp_path / "batchspec.toml").touch()
    source = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["plann"], "There is no command 'plann'. Did you mean 'plan'?"),
        (["plan", "--jason"], "No such option"),
        (["results"], "Missing argument 'ADDRESS'"),
        (["results", "a.b", "--format", "xml"], "'xml' is not one of"),
        (["apply", "--max-cost", "much"], "'much' is no amount of US dollars"),
        (["apply", "--max-cost", "nan"], "is no amount of US dollars"),
        (["apply", "saved.plan"], "There is no saved plan at 'saved.plan'"),
        (["plan", "--refresh-only", "--no-refresh"], "looks at batches alone"),
        (["results", "a.b", "--format", "parquet"], "parquet is no text: say where it goes"),
        (["--env", "prod", "plan", "--simulate"], "leave out `--env prod`"),
        (["plan", "--project", "nowhere"], "There is no folder 'nowhere'"),
        ([], "Usage: batchspec"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_command_line_that_does_not_fit_ends_with_64(
    run: Run, arguments: list[str], told: str
) -> None:
    """Never with 2, which means that there are changes."""
    ended = run(*arguments)
    assert ended.code == ExitCode.USAGE
    assert told in ended.err
    assert ended.out == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (click.UsageError("x"), 64),
        (click.ClickException("x"), 1),
        (click.Abort(), 130),
        (KeyboardInterrupt(), 130),
        (Terminated(), 143),
        (SpecError([]), 1),
        (ConfigurationError("x"), 1),
        (LockedError("x"), 5),
        (StalePlanError("x"), 6),
        (RefusedError("x"), 7),
        (DeclinedError("x"), 8),
        (ZeroDivisionError("x"), 70),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_every_ending_has_its_exit_code(error: BaseException, code: int) -> None:
    """One function knows them all."""
    assert exit_code(error) == code


def test_an_end_of_input_at_a_question_is_no_yes() -> None:
    """Click wraps it in the same exception as Ctrl-C."""
    abort = click.Abort()
    abort.__cause__ = EOFError()
    assert exit_code(abort) == ExitCode.DECLINED


def test_diagnostics_are_numbered_and_counted(capfd: pytest.CaptureFixture[str]) -> None:
    """Each with file and line, what is wrong and what to do; then the sum."""
    error = SpecError(
        [
            Diagnostic(
                summary="Unknown template field",
                detail="`{custmer}` is no field of the rows.\nDid you mean `{customer}`?",
                source=Source("specs/tickets.py", 12),
                address="tickets.triage",
            ),
            Diagnostic(summary="Slow data", detail="It is large.", severity="warning"),
        ]
    )
    assert endings.end(error, Scope()) == ExitCode.ERROR
    assert capfd.readouterr() == (
        "",
        """\
1. Error: Unknown template field
   specs/tickets.py:12, in tickets.triage
   `{custmer}` is no field of the rows.
   Did you mean `{customer}`?

2. Warning: Slow data
   It is large.

1 error, 1 warning; nothing was sent.
""",
    )


def test_our_bug_is_told_and_recorded_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The traceback is for its owner's eyes, in the state of the environment."""
    monkeypatch.setenv("MY_SERVICE_TOKEN", "hunter2hunter2")
    (tmp_path / "state").mkdir()
    message = "hunter2hunter2 sk-abcdef1234 https://me:pw@host"
    code = endings.end(RuntimeError(message), Scope(tmp_path, env="prod"))
    (record,) = (tmp_path / "state" / "prod").iterdir()
    err = capfd.readouterr().err
    assert code == ExitCode.INTERNAL
    assert "This is a bug in batchspec" in err
    assert str(record) in err
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    for text in (record.read_text(), err):
        assert "RuntimeError" in text
        assert not any(secret in text for secret in ("hunter2", "abcdef1234", "me:pw"))


def test_a_crash_outside_of_a_project_leaves_no_state_behind(tmp_path: Path) -> None:
    """A folder that is no project does not become one by a crash."""
    record = record_crash(RuntimeError(), Scope(tmp_path))
    assert record is not None
    assert list(tmp_path.iterdir()) == []
    record.unlink()


def test_redaction_leaves_plain_words_alone() -> None:
    """Short values and ordinary text stay readable."""
    text = "key-value pairs in task-list, the key-points, key-value-pairs and sk-learning"
    assert redacted(text) == text


@pytest.mark.parametrize(
    "key",
    ["sk-abcdef1234", "sk-proj-abcdefgh", "sk-live-ABCDEF", f"key-{'0af' * 10}", f"sk-{'aB' * 24}"],
)
def test_redaction_knows_the_forms_of_keys(key: str) -> None:
    assert redacted(f"401 for {key}.") == "401 for [redacted]."


def test_version_is_told_both_ways(run: Run) -> None:
    """As an option for people, as a command for bug reports and programs."""
    assert run("--version").out.startswith("batchspec ")
    assert set(json.loads(run("version", "--json").out)) >= {"format_version", "python", "openai"}
    assert "pydantic" in run("version").out


def test_main_can_run_in_any_thread(capfd: pytest.CaptureFixture[str]) -> None:
    """Signals cannot be handled outside of the main one, and need not be."""
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(main(["--version"])))
    thread.start()
    thread.join()
    assert codes == [0]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert capfd.readouterr().err == ""


def test_sigterm_ends_with_143(start: Callable[..., "subprocess.Popen[str]"]) -> None:
    """The server is the one command that runs until it is told to stop."""
    process = start("simulator", "serve", "--port", "0")
    assert process.stderr is not None
    process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode in {0, ExitCode.TERMINATED}
