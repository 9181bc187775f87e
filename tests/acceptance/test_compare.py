"""1,319 real word problems in two variants: shares known beforehand, by function and by judge."""

import json
from statistics import fmean
from typing import Any

import pytest

from acceptance.compare_answers import is_right
from acceptance.conftest import Bench
from acceptance.proxy import Trap
from acceptance.rig import HERE
from batchspec.results.statistics import wilson

ROWS = 1319


def test_variants_compare_as_they_were_answered_though_the_process_died(bench: Bench) -> None:
    """What both jobs ask is paid once, and so is a judgement of one answer in two variants."""
    answers = f"{HERE / 'compare_answers.py'}:answer"
    problems = str(bench.problems())
    service = bench.service(
        "compare",
        "--pace",
        "0.02",
        "--answers",
        answers,
        PROBLEMS=problems,
        PYTHONPATH=str(HERE.parent),
    )
    project = bench.compare("compare", service)
    project.apply_and_kill(service.proxy, Trap("create", "after", nth=1))
    project.apply_and_kill(service.proxy, Trap("download", "inside", nth=2))
    project.apply()

    results = project.results("ab.solved")
    questions = [item["row"]["question"] for item in results[:ROWS]]
    quick = [is_right(question, careful=False) for question in questions]
    careful = [is_right(question, careful=True) for question in questions]
    assert [item["variant"] for item in results] == ["quick"] * ROWS + ["careful"] * ROWS
    assert [item["grade"] for item in results] == [float(right) for right in quick + careful]
    assert project.results("ab.judged")[0]["grade"] == float(quick[0])

    differing = sum(a != b for a, b in zip(quick, careful, strict=True))
    done = service.executed()
    bench.count("gsm8k, compared", results, done, str(project.kills))
    assert (done.total, done.doubled) == (2 * ROWS + ROWS + differing, 0)

    for address in ("ab.solved", "ab.judged"):
        assert project.run("compare", address, "--json") == 0, project.said()
        one, other = json.loads(project.said())["compared"]
        _is_estimate(one["grade"], quick)
        _is_estimate(other["grade"], careful)
        assert other["grade_difference"]["mean"] == pytest.approx(fmean(careful) - fmean(quick))
        assert other["grade_difference"]["low"] > 0, "the better one is told"
        assert other["agreement"] == pytest.approx(1 - differing / ROWS)
        assert (one["items"], one["outcomes"]) == (ROWS, {"succeeded": ROWS})


def _is_estimate(told: dict[str, Any], values: list[bool]) -> None:
    assert told["mean"] == pytest.approx(fmean(values))
    assert (told["low"], told["high"]) == pytest.approx(wilson(sum(values), ROWS))
