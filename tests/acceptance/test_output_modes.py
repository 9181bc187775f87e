"""Real data in every output mode at both endpoints: the same answers, whatever the way."""

import os
import shutil
from typing import Any

from acceptance.conftest import Bench, Service
from acceptance.gsm8k_answers import Behaviour
from acceptance.proxy import Trap
from acceptance.rig import HERE, ProjectOnDisk

ROWS = int(os.environ.get("ACCEPTANCE_ROWS", "100"))
"""Of each job; ACCEPTANCE_ROWS=3080 takes all there are."""
MODES = ("native", "tool", "prompted")
JOBS = [f"modes.{endpoint}_{mode}" for endpoint in ("chat", "responses") for mode in MODES]


def _in_modes(project: ProjectOnDisk) -> ProjectOnDisk:
    """Add the module with a job for each mode and endpoint, which alone is applied."""
    module = HERE / "projects" / "modes" / f"{project.name}.py"
    shutil.copy(module, project.folder / "specs" / "modes.py")
    project.variables["ROWS"] = str(ROWS)
    return project


def _apply(project: ProjectOnDisk) -> None:
    code = project.run("apply", "--auto-approve", "--target", "modes.*")
    assert code == 0, project.said()


def _problems(bench: Bench, name: str) -> tuple[ProjectOnDisk, Service]:
    answers = f"{HERE / 'gsm8k_answers.py'}:answer"
    problems = str(bench.problems())
    service = bench.service(name, "--pace", "0.02", "--answers", answers, PROBLEMS=problems)
    return _in_modes(bench.gsm8k(name, service)), service


def test_word_problems_with_a_calculator_in_every_mode(bench: Bench) -> None:
    """Several turns each, misspelt arguments, answers that are asked for again, and a death."""
    project, service = _problems(bench, "modes-gsm8k")
    target = ("apply", "--auto-approve", "--target", "modes.*")
    assert project.run(*target, DIE_AT=f"tool:{2 * ROWS}") == -9, project.said()
    assert project.run(*target, DIE_AT=f"validator:{ROWS}") == -9, project.said()
    _apply(project)
    by_job = {job: project.results(job) for job in JOBS}
    done, turns = service.executed(), 0
    for job, results in by_job.items():
        known = [Behaviour(item["row"]["question"], item["row"]["answer"]) for item in results]
        assert len(results) == min(ROWS, 1319), job
        assert {item["outcome"] for item in results} == {"succeeded"}, job
        assert [item["turns"] for item in results] == [each.turns for each in known], job
        assert [item["grade"] for item in results] == [float(k.is_right) for k in known], job
        turns += sum(each.turns for each in known)
    answers = [[item["output"] for item in results] for results in by_job.values()]
    assert all(each == answers[0] for each in answers), "whatever the way, the same outputs"
    everything = [item for results in by_job.values() for item in results]
    bench.count("gsm8k, 3 modes x 2 endpoints", everything, done, "2")
    assert (done.total, done.doubled) == (turns, 0)
    before = service.proxy.counts.copy()
    _apply(project)
    assert service.proxy.counts == before


def test_an_enum_of_77_intents_in_every_mode(bench: Bench) -> None:
    """One turn each; the answers are the embedded server's own, from schema, tool or prompt."""
    service = bench.service("modes-banking77", "--pace", "0.02")
    project = _in_modes(bench.banking77("modes-banking77", service))
    trap = Trap("download", "after", nth=2)
    project.apply_and_kill(service.proxy, trap, "--target", "modes.*")
    _apply(project)
    everything: list[dict[str, Any]] = []
    jobs = [*JOBS, "modes.chat_function"]
    for job in jobs:
        results = project.results(job)
        assert len(results) == min(ROWS, 3080), job
        assert {item["outcome"] for item in results} == {"succeeded"}, job
        assert {item["turns"] for item in results} == {1}, job
        assert len({item["output"]["intent"] for item in results}) > min(ROWS, 200) // 3, job
        assert all(0 <= item["output"]["confidence"] <= 1 for item in results), job
        assert all(item["grade"] in {0.0, 1.0} for item in results), job
        everything += results
    done = service.executed()
    bench.count("banking77, 3 modes x 2 endpoints", everything, done, "1")
    assert (done.total, done.doubled) == (len(everything), 0)
