"""`batchspec destroy` on the command line."""

import json
import os
import pty
from pathlib import Path

import pytest
from cli.conftest import Run, run  # noqa: F401 - a fixture

from batchspec.errors import ExitCode

SPEC = """
from batchspec import Job, rows
j = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}, {"id": "b"}]), prompt="say {id}")
"""


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "m.py").write_text(SPEC)


def test_it_says_what_stays(run: Run) -> None:  # noqa: F811
    assert run("destroy", "--simulate").code == ExitCode.ERROR
    run("apply", "--simulate", "--auto-approve")
    asked = run("destroy", "m.j", "--simulate")
    assert asked.code == ExitCode.DECLINED
    assert "2 answers nobody else wants, paid $" in asked.out
    assert "will stay in the state: equal requests reuse them, free" in asked.out
    assert "Nobody is there to agree" in asked.err
    done = run("destroy", "m.j", "--simulate", "--auto-approve")
    assert done.code == ExitCode.DONE
    assert "Removed 2 items; files of 1 batch deleted at the provider." in done.out
    assert "2 to reuse" in run("plan", "--simulate").out


def test_json(run: Run) -> None:  # noqa: F811
    run("apply", "--simulate", "--auto-approve")
    done = run("destroy", "--simulate", "--auto-approve", "--answers", "--json")
    told = json.loads(done.out)
    assert done.code == ExitCode.DONE
    assert told.pop("cost_usd") > 0
    (job,) = told.pop("jobs")
    assert (job["address"], job["items"], job["whole"]) == ("m.j", 2, True)
    assert told == {
        "format_version": "1",
        "removed": True,
        "everything": True,
        "items": 2,
        "answers_deleted": 2,
        "answers_kept": 0,
        "batches_cleared": 1,
        "left": [],
        "open_batches": 0,
    }
    unknown = run("destroy", "m.k", "--simulate", "--auto-approve", "--json")
    assert unknown.code == ExitCode.USAGE
    assert json.loads(unknown.out)["error"]["exit_code"] == ExitCode.USAGE


def test_everything_wants_the_name_of_the_environment(
    run: Run,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run("apply", "--simulate", "--auto-approve")
    for answer, code in (("yes", ExitCode.DECLINED), ("simulation", ExitCode.DONE)):
        ours, theirs = pty.openpty()
        with open(theirs, closefd=True) as terminal:  # noqa: PTH123 - a descriptor
            monkeypatch.setattr("sys.stdin", terminal)
            os.write(ours, f"{answer}\n".encode())
            ended = run("destroy", "--simulate")
        os.close(ours)
        assert ended.code == code
        assert "Only 'simulation' is accepted" in ended.err
