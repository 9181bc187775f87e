"""`batchspec cancel` on the command line."""

import json
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


def test_there_is_nothing_to_stop(run: Run) -> None:  # noqa: F811
    assert run("cancel", "m.j", "--simulate").code == ExitCode.ERROR
    run("apply", "--simulate", "--auto-approve")
    done = run("cancel", "m.j", "--simulate")
    assert (done.code, done.out) == (
        ExitCode.DONE,
        "Nothing is under way that could be stopped.\n",
    )
    told = json.loads(run("cancel", "--all", "--simulate", "--json").out)
    assert (told["stopped"], told["batches"], told["progress"]) == (0, [], [])
    assert told["jobs"] == [
        {
            "address": "m.j",
            "items": 2,
            "final": 2,
            "pending": 0,
            "tools": 0,
            "batched": 0,
            "shared": 0,
        }
    ]


def test_it_wants_a_name(run: Run) -> None:  # noqa: F811
    run("apply", "--simulate", "--auto-approve")
    for arguments in ((), ("m.j", "--all")):
        refused = run("cancel", *arguments, "--simulate")
        assert refused.code == ExitCode.USAGE
        assert "or everything: `--all`" in refused.err
    unknown = run("cancel", "m.k", "--simulate", "--json")
    assert unknown.code == ExitCode.USAGE
    assert json.loads(unknown.out)["error"]["exit_code"] == ExitCode.USAGE


def test_it_stops(run: Run) -> None:  # noqa: F811
    run("apply", "--simulate", "--auto-approve", "--detach")
    told = run("cancel", "--all", "--simulate", "--json", "--auto-approve")
    assert told.code in {ExitCode.DONE, ExitCode.IN_PROGRESS}
