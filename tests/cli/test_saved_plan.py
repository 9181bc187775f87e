"""`plan -o`, `plan --read` and `apply FILE` as people and CI use them."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchspec.errors import ExitCode

Run = Callable[..., Any]

SPEC = """
from batchspec import Job, rows
j = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}, {"id": "b"}]), prompt="say {id}",
        settings={"max_tokens": 500})
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "m.py").write_text(SPEC)
    return tmp_path


def test_a_plan_is_saved_reviewed_and_applied_without_a_question(project: Path, run: Run) -> None:
    saved = run("plan", "--simulate", "-o", "my review.plan", "--detailed-exitcode")
    assert saved.code == ExitCode.CHANGES
    assert "Saved to my review.plan: it can be applied once" in saved.out
    assert "Next: batchspec apply 'my review.plan' --simulate  (asks no question)" in saved.out
    assert stat.S_IMODE((project / "my review.plan").stat().st_mode) == 0o600

    shown = run("plan", "--read", "my review.plan", "--detailed-exitcode")
    assert shown.code == ExitCode.CHANGES
    assert shown.out.startswith("Saved plan of ")
    assert "2 rows in the file." in shown.out
    assert "  # m.j will be submitted (2 rows)" in shown.out

    applied = run("apply", "my review.plan", "--simulate")
    assert (applied.code, "Done: 2 items succeeded." in applied.out) == (ExitCode.DONE, True)
    again = run("apply", "my review.plan", "--simulate")
    assert again.code == ExitCode.STALE_PLAN
    assert "was applied before" in again.err


def test_a_saved_plan_as_json(project: Path, run: Run) -> None:
    made = json.loads(run("plan", "--simulate", "-o", "x.plan", "--json").out)
    read = json.loads(run("plan", "--read", "x.plan", "--json").out)
    assert read["saved"].pop("created") > 0
    assert read.pop("saved") == {
        "batchspec": read_version(run),
        "rows": 2,
        "sha256": read_sum(project / "x.plan", run),
        "targets": [],
        "excludes": [],
        "ceiling_usd": made["cost_at_most_usd"],
        "prices": {"openai:gpt-5-mini": {"input_usd": 0.125, "output_usd": 1.0}},
    }
    assert read == made
    (project / "specs" / "m.py").write_text(SPEC.replace("say", "tell"))
    events = [
        json.loads(line) for line in run("apply", "x.plan", "--simulate", "--json").out.splitlines()
    ]
    (warning,) = [e for e in events if e["type"] == "log"]
    assert "m.j: 2 rows changed since this plan was made" in warning["@message"]


def read_version(run: Run) -> str:
    return str(json.loads(run("version", "--json").out)["batchspec"])


def read_sum(file: Path, run: Run) -> str:
    return str(json.loads(run("plan", "--read", str(file), "--json").out)["saved"]["sha256"])


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["apply", "x.plan", "--target", "m.j"], 64, "`--target` cannot be used here"),
        (["apply", "x.plan", "--failed", "--allow-empty"], 64, "`--failed`, `--allow-empty`"),
        (["apply", "none.plan"], 64, "There is no saved plan at 'none.plan'"),
        (["apply", "specs/m.py"], 1, "It is damaged, or no saved plan. Make a new one."),
        (["apply", "x.plan"], 6, "apply it with `--simulate`"),
        (["plan", "--read", "x.plan", "--replace", "m.j"], 64, "`--replace` cannot be used here"),
        (["plan", "--read", "x.plan", "-o", "y.plan"], 64, "`-o` cannot be used here"),
        (["plan", "-o", "specs/m.py", "--simulate"], 64, "it was not overwritten"),
        (["plan", "-o", "-", "--simulate"], 64, "give `-o` the name of a file"),
        (["apply", "x.plan", "--env", "typo"], 6, "made for environment 'simulation'"),
        (["apply", "cut.plan", "--simulate"], 1, "It is damaged or cut off, or no saved plan."),
        (["apply", "empty.plan", "--simulate"], 1, "It is empty. Make a new one."),
    ],
)
def test_what_does_not_fit_is_told(
    project: Path, run: Run, arguments: list[str], code: int, told: str
) -> None:
    run("plan", "--simulate", "-o", "x.plan")
    (project / "cut.plan").write_bytes((project / "x.plan").read_bytes()[:100])
    (project / "empty.plan").touch()
    ended = run(*arguments)
    assert {folder.name for folder in (project / "state").iterdir()} == {"simulation"}
    assert not (project / "-").exists()
    assert ended.code == code
    assert told in " ".join(ended.err.split())
    assert (project / "specs" / "m.py").read_text() == SPEC


def test_an_empty_file_gives_way_to_a_plan(project: Path, run: Run) -> None:
    """As one that `mktemp` made; anything else that is no plan stays."""
    (project / "x.plan").touch()
    assert run("plan", "--simulate", "-o", "x.plan").code == ExitCode.DONE
    assert run("apply", "x.plan", "--simulate").code == ExitCode.DONE
    assert run("plan", "--simulate", "-o", "/dev/null").code == ExitCode.USAGE
