"""What fails above is told below by name: which rows are not there, and why."""

import json
from pathlib import Path
from typing import Any

import pytest
from worlds import World

from batchspec.cli.main import main
from batchspec.cli.views.missing import missing_sentences
from batchspec.errors import ExitCode
from batchspec.ids import JobAddress
from batchspec.project import ApplyResult
from batchspec.state.missing import Absence, Missing

from .chains import Asked, chain, staggered

ROOT_CAUSE = 'm.up["b"] refused: not that'
JOBS = {
    "down": "rows=rows.outputs_of(up), prompt='sum {output}'",
    "last": "rows=rows.outputs_of(down, where=lambda i: i['key'] != 'a'), prompt='end {output}'",
    "whole": "rows=rows.collect(last, where=lambda i: i['key'] != 'c'), prompt='{outputs}'",
}


def told(world: World) -> list[str]:
    """Return what every job lacks."""
    with world.open() as project:
        return [f"{m.job}: {words}" for m in project.missing() for words in missing_sentences(m)]


@pytest.fixture
def failing(world: World) -> Asked:
    """Five rows, of which the model refuses one."""
    world.model = asked = Asked()
    asked.refused = {"say b"}
    chain(world, *"abcde", **JOBS)
    result = world.apply()
    assert result.exit_code == ExitCode.FAILED_ITEMS
    assert [missing.job for missing in result.missing] == ["m.down", "m.last", "m.whole"]
    return asked


@pytest.mark.usefixtures("failing")
def test_the_root_cause_is_named_at_every_stage(world: World) -> None:
    assert told(world) == [
        f"m.down: 1 row is missing: {ROOT_CAUSE}",
        f"m.last: 1 row is missing: {ROOT_CAUSE}",
        "m.last: `where` left out 1 answer of m.down",
        f"m.whole: its row lacks 1 answer: {ROOT_CAUSE}",
        "m.whole: `where` left out 1 answer of m.last",
    ]


def test_what_fails_at_two_stages_is_told_of_both(world: World) -> None:
    world.model = asked = Asked()
    asked.refused = {"say b", "sum SAY D", "sum SAY E"}
    chain(world, *"abcde", **JOBS)
    world.apply()
    assert next(text for text in told(world) if "m.whole" in text) == (
        'm.whole: its row lacks 3 answers: m.down["d"] refused: not that; '
        f'm.down["e"] refused: not that; {ROOT_CAUSE}'
    )


def test_what_comes_right_is_not_missing_any_more(world: World, failing: Asked) -> None:
    failing.refused.clear()
    with world.open() as project:
        result = project.apply(project.plan(failed=True), hook=world.hook)
        assert result.exit_code == ExitCode.DONE
    assert told(world) == [
        "m.last: `where` left out 1 answer of m.down",
        "m.whole: `where` left out 1 answer of m.last",
    ]


def test_a_row_with_an_older_answer_is_not_missing(world: World, failing: Asked) -> None:
    """What is shown of it is what rows are made of."""
    failing.refused |= {"tell a"}
    chain(world, *"abcde", up="tell {id}", **JOBS)
    failing.refused |= {"tell b"}
    world.apply()
    assert told(world)[0] == 'm.down: 1 row is missing: m.up["b"] refused: not that'


def test_nothing_is_told_of_where_before_it_was_asked_about_all(world: World) -> None:
    world.model = Asked()
    staggered(world, 0, 5_000)
    where = "where=lambda item: item['key'] != 'a'"
    chain(
        world, *"abcd", down=f"rows=rows.outputs_of(up, {where}, eager=True), prompt='{{output}}'"
    )
    world.apply(detach=True)
    world.clock.advance(600)
    with world.open() as project:
        project.refresh(hook=world.hook)
    world.apply(detach=True)
    assert told(world) == []
    world.apply()
    assert told(world) == ["m.down: `where` left out 1 answer of m.up"]


def test_no_answer_at_all_makes_no_row_of_all_answers(world: World) -> None:
    world.model = asked = Asked()
    asked.refused = {"say a"}
    chain(
        world,
        "a",
        whole="rows=rows.collect(up), prompt='{outputs}'",
        after="rows=rows.outputs_of(whole), prompt='{output}'",
    )
    world.apply()
    assert told(world) == [
        'm.whole: its row lacks 1 answer: m.up["a"] refused: not that',
        'm.after: 1 row is missing: m.up["a"] refused: not that',
    ]


def test_one_answer_less_costs_what_is_made_of_all_no_row(world: World) -> None:
    world.model = asked = Asked()
    asked.refused = {"say a"}
    chain(
        world,
        *"ab",
        whole="rows=rows.collect(up), prompt='{outputs}'",
        after="rows=rows.outputs_of(whole), prompt='{output}'",
    )
    world.apply()
    assert [text.partition(":")[0] for text in told(world)] == ["m.whole"]


@pytest.mark.usefixtures("failing")
def test_every_command_tells_it(
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """`status`, `plan` and `results`, for people and for machines."""
    monkeypatch.chdir(tmp_path)
    world.close()
    line = f"m.last: 1 row is missing: {ROOT_CAUSE}"

    def run(*arguments: str) -> tuple[str, str]:
        main(arguments)
        return capfd.readouterr()

    assert line in run("status")[0]
    one = run("status", "m.last")[0]
    assert line in one
    assert "m.down: 1 row is missing" not in one
    documents = json.loads(run("status", "--json")[0])["missing"]
    assert documents[1] == {
        "address": "m.last",
        "made_of": ["m.down"],
        "collected": False,
        "missing": 1,
        "outcomes": {"m.up": {"refused": 1}},
        "first": [{"address": 'm.up["b"]', "outcome": "refused", "reason": "not that"}],
        "left_out": 1,
    }
    assert line in run("plan", "--no-refresh")[0]
    assert json.loads(run("plan", "--no-refresh", "--json")[0])["missing"] == documents
    for option in ([], ["--failed"], ["--format", "jsonl"]):
        out, err = run("results", "m.last", *option)
        assert line in err
        assert line not in out
        assert "All of them: batchspec results m.up --failed" in err
    assert "missing" not in "".join(run("results", "m.up"))


def _missing(**more: Any) -> Missing:
    up = JobAddress("m.up")
    first = tuple(Absence(up, f"r{n}", "failed", None) for n in range(3))
    given: dict[str, Any] = {"outcomes": {up: {"failed": 7, "refused": 2}}, "first": first} | more
    return Missing(job=JobAddress("m.down"), sources=(up,), **given)


def test_of_many_the_first_are_named_and_the_rest_is_counted() -> None:
    (sentence,) = missing_sentences(_missing())
    assert sentence == (
        '9 rows are missing: m.up["r0"] failed; m.up["r1"] failed; m.up["r2"] failed; '
        "and 6 more (in all 7 failed, 2 refused)"
    )
    assert missing_sentences(_missing(outcomes={}, first=(), left_out=3)) == [
        "`where` left out 3 answers of m.up"
    ]


VARIED = """
up = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a,b"}, {"id": "c"}]),
         prompt="SAY {id}", variants={"x": {}, "y,z": {"instructions": "be brief"}}, samples=2)
down = Job(model="openai:gpt-5-mini", rows=rows.outputs_of(up), prompt="sum {key}", samples=2)
last = Job(model="openai:gpt-5-mini", rows=rows.outputs_of(down), prompt="end {key}")
"""


def test_variants_and_samples_are_named(world: World) -> None:
    """What still has a row is not missing, whatever became of the answer it was made of."""

    def applied(*excludes: str) -> ApplyResult:
        with world.open() as project:
            return project.apply(project.plan(excludes=excludes), hook=world.hook)

    world.model = asked = Asked()
    world.spec(VARIED.replace("SAY", "say"))
    world.apply()
    assert told(world) == []
    with world.open() as project:
        project.state.forget(['m.up["a,b","y,z",2]'])
    world.spec(VARIED.replace("SAY", "tell"))
    asked.refused = {"tell a,b"}
    assert applied("m.down", "m.last").exit_code == ExitCode.FAILED_ITEMS
    assert told(world) == []
    applied("m.last")
    lost = '1 row is missing: m.up["a,b","y,z",2] refused: not that'
    assert told(world) == [f"m.down: {lost}", f"m.down#2: {lost}"]
    world.apply()
    assert [text.partition(":")[0] for text in told(world)] == ["m.down", "m.down#2", "m.last"]
    assert len(world.texts("m.last")) == 2 * 7
