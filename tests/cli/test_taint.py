"""`taint` and `untaint` on a real project, with keys from arguments, a file and stdin."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchspec.errors import ExitCode

Run = Callable[..., Any]

SPEC = """
from batchspec import Job, rows
many = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": f"k {n}"} for n in range(5)]),
           prompt="say {id}")
"""


@pytest.fixture
def project(tmp_path: Path, run: Run) -> Path:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "m.py").write_text(SPEC)
    run("apply", "--simulate", "--auto-approve")
    return tmp_path


@pytest.mark.usefixtures("project")
def test_taint_tells_what_it_did_and_what_comes_next(run: Run) -> None:
    done = run("taint", "--simulate", 'm.many["k 1"]', 'm.many["k 2"]')
    assert (done.code, done.err) == (ExitCode.DONE, "")
    assert done.out == (
        "m.many: 2 items tainted.\nNext: batchspec plan --simulate  (what new answers would cost)\n"
        "      batchspec untaint ADDRESS… --simulate  (takes the marks away)\n"
    )
    plan = run("plan", "--simulate", "--detailed-exitcode")
    assert plan.code == ExitCode.CHANGES
    assert "(because its answer is tainted: 2 rows to resubmit)" in plan.out
    undone = run("untaint", "--simulate", "m.many")
    assert undone.out == "m.many: 2 items not tainted any more.\n"
    assert run("plan", "--simulate", "--detailed-exitcode").code == ExitCode.DONE


def test_keys_come_from_a_file_or_from_stdin(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "bad.txt").write_bytes(b"\xef\xbb\xbfk 0\r\n\r\nk 3\r\n")
    assert "2 items tainted" in run("taint", "m.many", "--keys", "bad.txt", "--simulate").out
    monkeypatch.setattr("sys.stdin", io.StringIO("k 3\nk 4\n"))
    assert "1 item tainted" in run("taint", "m.many", "--keys", "-", "--simulate").out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["m.may"], "Did you mean 'm.many'?"),
        (['m.many["k  1"]'], "Did you mean 'k 1'?"),
        (["m.many", "--keys", "none.txt"], "The keys in 'none.txt' cannot be read"),
        (["m.many", "--keys", "empty.txt"], "There is no key in 'empty.txt'"),
        ([], "Missing argument"),
    ],
)
def test_what_is_not_there_is_told(project: Path, run: Run, arguments: Any, told: str) -> None:
    (project / "empty.txt").write_text("\n")
    done = run("taint", "--simulate", *arguments)
    assert done.code == ExitCode.USAGE
    assert told in done.err
