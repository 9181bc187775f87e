"""The examples in `specs/`: they load, run offline to the last item, and stay the same."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from batchspec import ModelRetry, Project
from batchspec.ids import JobAddress
from batchspec.testing import SimulatedProject, call, script
from batchspec.testing.fixtures import RunJob

ROOT = Path(__file__).parents[2]
JOBS = {
    "ab_test.replies@terse,mini": 6,
    "ab_test.replies@terse,nano": 6,
    "ab_test.replies@warm,mini": 6,
    "ab_test.replies@warm,nano": 6,
    "analysis.reviews": 12,
    "content.pages": 8,
    "content.posts": 8,
    "evaluation.sums": 10,
    "report.summaries": 6,
    "report.weekly": 1,
    "translation.texts": 21,
}


def run(folder: Path, *arguments: str, seed: str) -> "subprocess.CompletedProcess[str]":
    """Run `batchspec …` in a process whose sets are ordered by a seed, without any key."""
    clean = {n: v for n, v in os.environ.items() if not n.startswith(("BATCHSPEC_", "OPENAI_"))}
    return subprocess.run(
        [sys.executable, "-m", "batchspec.cli", *arguments, "--simulate"],
        cwd=folder,
        env=clean | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the examples, applied once."""
    folder = tmp_path_factory.mktemp("examples")
    shutil.copytree(ROOT / "specs", folder / "specs", ignore=shutil.ignore_patterns("__pycache__"))
    ended = run(folder, "apply", "--auto-approve", seed="1")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder


def test_every_module_opens_with_a_sentence_and_holds_a_job() -> None:
    """The examples are the first thing a newcomer reads."""
    desired = Project(ROOT, simulate=True).load()
    assert set(desired.addresses) == set(JOBS)
    assert desired.warnings == ()
    for path in (ROOT / "specs").glob("*.py"):
        assert path.read_text().startswith('"""'), path
        assert any(address.startswith(f"{path.stem}.") for address in JOBS)


def test_every_row_is_right() -> None:
    """Rows, schemas and templates have nothing to complain about."""
    checked = Project(ROOT, simulate=True).validate()
    assert checked.diagnostics == ()


@pytest.mark.parametrize("address", sorted(JOBS))
def test_every_item_succeeds_offline(applied: Path, address: str) -> None:
    """Each row has one answer of the declared type."""
    with Project(applied, simulate=True) as project:
        items = list(project.results(address))
        assert [item.outcome for item in items] == ["succeeded"] * JOBS[address]
        assert len({item.key for item in items}) == JOBS[address]
        assert all(item.output is not None for item in items)
        graded = project.desired[JobAddress(address)].job.grade is not None
        assert all((item.grade is not None) == graded for item in items)


def test_a_second_apply_under_another_hash_seed_sends_nothing(applied: Path) -> None:
    """Prompts are the same in every process."""
    planned = run(applied, "plan", "--detailed-exitcode", seed="2")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    again = run(applied, "apply", "--auto-approve", seed="3")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "submitted" not in again.stderr


def test_tools_were_called_over_several_turns(applied: Path) -> None:
    """The evaluation uses its tools."""
    with Project(applied, simulate=True) as project:
        assert all(item.turns >= 2 for item in project.results("evaluation.sums"))


@pytest.fixture(scope="module")
def evaluation() -> ModuleType:
    """The module of the evaluation example."""
    spec = importlib.util.spec_from_file_location("evaluation", ROOT / "specs" / "evaluation.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("expression", "value"),
    [("2 + 3 * 4", 14), ("(2 + 3) * -4", -20), ("12 * 1.40 * 0.9", 15.12), (" 7 / 2 ", 3.5)],
)
def test_the_calculator_computes(evaluation: ModuleType, expression: str, value: float) -> None:
    """Precedence, parentheses, signs and decimals."""
    assert evaluation.calculator(expression) == pytest.approx(value)


@pytest.mark.parametrize(
    "expression",
    ["", "1 / 0", "2 ** 99", "__import__('os')", "(1).real", "'a' * 9", "1 if 1 else 2", "1 +"],
)
def test_the_calculator_refuses_anything_else(evaluation: ModuleType, expression: str) -> None:
    """What is not arithmetic goes back to the model, and never runs."""
    with pytest.raises(ModelRetry, match="cannot be computed"):
        evaluation.calculator(expression)


@pytest.mark.parametrize(("total", "grade"), [(5.2, 1.0), (5.0, 0.0)])
def test_a_sum_is_worked_out_with_both_tools(
    run_job: RunJob, evaluation: ModuleType, total: float, grade: float
) -> None:
    """A model that looks the price up, mistypes the sum, and corrects itself."""
    run = run_job(
        evaluation.sums,
        rows=[{"id": "s", "question": "Two coffees: what do I pay?", "expected": 5.2}],
        answers=script(
            [call("price_of", product="coffee"), call("price_of", product="tee")],
            call("calculator", expression="2 x 2.60"),
            call("calculator", expression="2 * 2.60"),
            evaluation.Solution(steps=["Two coffees."], total=total),
        ),
    )
    item = run["s"]
    found, missing, mistyped, computed = (ran.result for ran in item.tool_calls)
    assert (found, computed) == ("2.6", "5.2")
    assert "Not on the list. There are: " in (missing or "")
    assert "cannot be computed" in (mistyped or "")
    assert (item.turns, item.grade) == (4, grade)


def test_the_weekly_report_names_every_branch(batch_project: SimulatedProject) -> None:
    """The last job of the example gets what the first one made of every letter."""

    def summary(request: Any) -> dict[str, Any]:
        return {"branch": request.key, "mood": "calm", "news": [], "asks": []}

    batch_project.answer("report.summaries", summary)
    run = batch_project.apply(targets=["report.*"])
    letters = [path.name for path in (ROOT / "specs" / "data" / "branches").glob("*.txt")]
    assert set(run.of("report.summaries").outcomes) == set(letters)
    (report,) = run.of("report.weekly")
    asked = report.conversation[0].request["messages"][-1]["content"]
    assert asked.startswith(f"Here is what our {len(letters)} branches report:")
    assert all(f'"{name}"' in asked for name in letters)
