"""1,319 real word problems: a calculator over several turns, a grade, and deaths on both sides."""

import json
from typing import Any

import pytest

from acceptance.conftest import Bench, Service
from acceptance.gsm8k_answers import Behaviour
from acceptance.proxy import Trap
from acceptance.rig import HERE, ProjectOnDisk

ROWS = 1319

Reference = tuple[ProjectOnDisk, Service, list[dict[str, Any]]]


def _service(bench: Bench, name: str) -> Service:
    answers = f"{HERE / 'gsm8k_answers.py'}:answer"
    problems = str(bench.problems())
    return bench.service(name, "--pace", "0.02", "--answers", answers, PROBLEMS=problems)


def _expected(item: dict[str, Any]) -> Behaviour:
    return Behaviour(item["row"]["question"], item["row"]["answer"])


@pytest.fixture(scope="module")
def undisturbed(bench: Bench) -> Reference:
    """A project that was applied once, by a process that nobody killed."""
    service = _service(bench, "gsm8k-calm")
    project = bench.gsm8k("gsm8k-calm", service)
    project.apply()
    results = project.results()
    bench.count("gsm8k", results, service.executed(), "0")
    return project, service, results


def test_every_problem_takes_its_turns_and_no_line_ran_twice(undisturbed: Reference) -> None:
    """Tool calls alone and in pairs, misspelt arguments and an answer that is asked for again."""
    _, service, results = undisturbed
    done = service.executed()
    assert len({item["key"] for item in results}) == len(results) == ROWS
    assert {item["outcome"] for item in results} == {"succeeded"}
    assert [item["turns"] for item in results] == [_expected(item).turns for item in results]
    assert {item["turns"] for item in results} == {2, 3, 4, 5}
    assert (done.total, done.doubled) == (sum(_expected(i).turns for i in results), 0)


def test_the_mean_grade_is_the_share_of_right_answers(undisturbed: Reference) -> None:
    """Known beforehand, item by item."""
    project, _, results = undisturbed
    right = [_expected(item).is_right for item in results]
    assert [item["grade"] for item in results] == [float(known) for known in right]
    assert 0.78 < sum(right) / ROWS < 0.82
    assert project.run("status") == 0


def test_what_is_sent_again_follows_the_request_alone(undisturbed: Reference) -> None:
    """Nothing on a second apply or for a corrected reference; one row for a changed question."""
    project, service, results = undisturbed
    before, lines = service.proxy.counts.copy(), service.executed().total
    project.apply()
    assert service.proxy.counts == before

    file = project.folder / "data" / "problems.jsonl"
    problems = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    problems[3]["answer"] += "\n#### 1"  # no part of the prompt
    file.write_text("".join(f"{json.dumps(p)}\n" for p in problems), encoding="utf-8")
    project.apply()
    assert service.proxy.counts == before

    problems[7]["question"] += " Think twice."
    file.write_text("".join(f"{json.dumps(p)}\n" for p in problems), encoding="utf-8")
    project.apply()
    done, changed = service.executed(), project.results()
    assert changed[7]["row"]["question"].endswith("Think twice.")
    assert (done.total - lines, done.doubled) == (changed[7]["turns"], 0)
    assert len(changed) == ROWS
    answered = zip(changed, results, strict=True)
    assert [a["key"] for a, b in answered if a["output"] != b["output"]] == [results[7]["key"]]


def test_killed_on_both_sides_each_turn_runs_once(bench: Bench, undisturbed: Reference) -> None:
    """SIGKILL between turns, inside tool calls, and of the server with lines in progress."""
    service = _service(bench, "gsm8k-killed")
    project = bench.gsm8k("gsm8k-killed", service)

    def kill(trap: Trap) -> None:
        project.apply_and_kill(service.proxy, trap)

    kill(Trap("create", "after", nth=3))
    kill(Trap("download", "inside", nth=2))
    project.apply_and_die("tool:1")
    project.apply_and_die("tool:300")
    kill(Trap("upload", "after"))
    project.apply_and_die("tool:700")
    kill(Trap("create", "before"))
    kill(Trap("delete", "before"))
    service.server.run_at(0.1)  # so that whoever looks finds lines in progress
    project.apply_through(service.proxy, Trap("poll", "after", 2, service.restart, _in_progress))

    done, results = service.executed(), project.results()
    kills = f"{project.kills} + {service.server.deaths} of the server"
    bench.count("gsm8k, killed", results, done, kills)
    assert (done.total, done.doubled) == (sum(_expected(i).turns for i in results), 0)
    assert results == undisturbed[2]
    before = service.proxy.counts.copy()
    project.apply()
    assert service.proxy.counts == before


def test_the_server_dies_after_it_took_a_batch(bench: Bench, undisturbed: Reference) -> None:
    """The answer to a create is lost; the batch is found again, not paid twice."""
    service = _service(bench, "gsm8k-lost")
    project = bench.gsm8k("gsm8k-lost", service)
    project.apply_through(service.proxy, Trap("create", "after", 2, service.restart))
    done, results = service.executed(), project.results()
    bench.count("gsm8k, answer lost", results, done, "1 of the server")
    assert (done.total, done.doubled) == (sum(_expected(i).turns for i in results), 0)
    assert service.proxy.counts["list"] >= 1
    assert results == undisturbed[2]


def _in_progress(batch: dict[str, Any]) -> bool:
    return bool(batch["status"] == "in_progress")
