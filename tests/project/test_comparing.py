"""Variants side by side: known shares, by a function and by a judge."""

import io
import json
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, cast

import pytest
from rich.console import Console
from worlds import World

from batchspec.cli.main import main
from batchspec.cli.views import compare as views
from batchspec.cli.views import results as result_views
from batchspec.cli.views.compare import show_comparison
from batchspec.errors import SpecError, UsageError
from batchspec.ids import JobAddress, RowKey
from batchspec.project.recorded import answers_of
from batchspec.results.comparing import Compared
from batchspec.results.export import ExportItem, json_line
from batchspec.results.statistics import wilson

ROWS = [{"id": str(n), "right": str(n % 7)} for n in range(20)]
BASE = f"""
def exact(row, output):
    return output == row["right"]

j = Job(model="openai:gpt-5-mini", rows=rows.inline({ROWS!r}), prompt="{{id}}",
        instructions="plain", grade=GRADE, SAMPLES
        variants={{"plain": {{}}, "terse": {{"instructions": "terse"}}}})
"""
JUDGE = """
judge = Job(model="openai:gpt-5-mini", prompt="judge {row[right]} {output} {variant}", output=bool)
"""


def answers(right: dict[str, int]) -> Callable[[dict[str, Any]], Any]:
    """Answer rows rightly below a number, by instructions; a judge says whether both are equal."""

    def answer(body: dict[str, Any]) -> Any:
        text = body["messages"][-1]["content"]
        if text.startswith("judge"):
            _, wanted, said, _ = text.split()
            return json.dumps({"response": wanted == said})
        how = body["messages"][0]["content"]
        return str(int(text) % 7) if int(text) < right[how] else "no"

    return answer


def write(world: World, grade: str = "exact", samples: str = "", more: str = "") -> None:
    world.spec(more + BASE.replace("GRADE", grade).replace("SAMPLES", samples))


def compared(world: World, address: str = "m.j", **options: Any) -> tuple[Compared, ...]:
    with world.open() as project:
        return project.compare(address, **options).compared


@pytest.mark.parametrize(("grade", "more"), [("exact", ""), ("judge", JUDGE)])
def test_grades_and_differences_are_those_of_the_answers(
    world: World, grade: str, more: str
) -> None:
    world.model = answers({"plain": 10, "terse": 14})
    write(world, grade, more=more)
    world.apply()
    plain, terse = compared(world)
    assert (plain.name, plain.rows, plain.items, plain.succeeded) == ("plain", 20, 20, 20)
    assert plain.grade is not None
    assert terse.grade is not None
    assert (plain.grade.mean, terse.grade.mean) == pytest.approx((0.5, 0.7))
    assert (plain.grade.low, plain.grade.high) == wilson(10, 20)
    assert plain.grade_difference is None
    assert terse.grade_difference is not None
    assert terse.grade_difference.mean == pytest.approx(0.2)
    assert terse.grade_difference.rows == 20
    # Rows 0 to 9 are right in both, 14 to 19 are wrong alike.
    assert terse.agreement == pytest.approx(16 / 20)
    assert plain.success is not None
    assert plain.success.mean == 1
    assert plain.cost is not None
    assert plain.cost_per(20) == plain.cost / 20
    assert plain.latency is not None
    assert plain.latency >= 0


def test_samples_of_a_row_are_one_observation(world: World) -> None:
    asked: Counter[str] = Counter()

    def odd(body: dict[str, Any]) -> str:
        """Answer every other sample of a row rightly."""
        text = json.dumps(body["messages"])
        asked[text] += 1
        return str(int(body["messages"][-1]["content"]) % 7) if asked[text] % 2 else "no"

    world.model = odd
    write(world, samples="samples=4,")
    world.apply()
    plain, _ = compared(world)
    assert plain.grade is not None
    assert (plain.rows, plain.items, plain.grade.rows) == (20, 80, 20)
    assert (plain.grade.mean, plain.grade.low, plain.grade.high) == (0.5, 0.5, 0.5)
    assert plain.consistency == pytest.approx(1 / 3), "of six pairs two are equal"
    by_sample = compared(world, by="sample")
    assert [one.name for one in by_sample[:4]] == ["plain#1", "plain#2", "plain#3", "plain#4"]


def test_a_job_without_variants_is_one_line(world: World) -> None:
    world.job("a", "b", "0")
    world.apply()
    (one,) = compared(world)
    assert (one.name, one.rows, one.grade, one.agreement) == ("m.j", 3, None, None)


def test_what_rows_share_was_paid_once(world: World) -> None:
    """Also while an answer that they share is asked for anew."""
    rows = [{"id": str(n), "text": f"t{n // 2}"} for n in range(4)]
    text = f"""
        j = Job(model="openai:gpt-5-mini", rows=rows.inline({rows!r}), prompt="say {{text}}",
                samples=2, variants={{"a": {{}}, "b": {{"instructions": "x"}}}})
        """
    world.spec(text)
    world.apply()

    def paid() -> dict[str, tuple[Any, ...]]:
        with world.open() as project:
            return {
                each.address: (each.cost, each.turns, each.usage) for each in project.status().jobs
            }

    once = paid()
    first, second = once["m.j@a"], once["m.j@a#2"]
    a, b = compared(world)
    assert (a.items, a.turns, b.turns) == (8, 4, 4)
    assert a.cost == first[0] + second[0]
    assert a.usage == tuple(map(sum, zip(first[2], second[2], strict=True)))
    assert [one.turns for one in compared(world, by="sample")] == [2, 2, 2, 2]
    world.spec(text.replace("say {text}", "tell {text}"))
    world.apply(detach=True)
    again, _ = compared(world)
    assert (again.waiting, again.turns, again.cost) == (8, 4, a.cost)


def test_what_waits_is_in_no_share(world: World) -> None:
    world.job("a", "b")
    world.apply(detach=True)
    (one,) = compared(world)
    assert (one.waiting, one.success, one.latency) == (2, None, None)


def test_a_score_is_of_the_answer_it_was_given_for(world: World) -> None:
    world.model = answers({"plain": 20, "terse": 20})
    write(world, "judge", more=JUDGE)
    world.apply()
    judged = world.lines
    with world.open() as project:
        assert [item.grade for item in project.results('m.j["3"]')] == [1.0, 1.0]
        project.taint('m.j["3","terse"]')
    world.model = answers({"plain": 20, "terse": 0})
    world.apply(targets=["m.j"])
    with world.open() as project:
        assert [item.grade for item in project.results('m.j["3"]')] == [1.0, None]
    world.apply()
    with world.open() as project:
        assert [item.grade for item in project.results('m.j["3"]')] == [1.0, 0.0]
    assert world.lines == judged + 2, "only what hangs on the new answer was judged again"


def test_scores_are_read_many_at_a_time(world: World) -> None:
    """Twenty items take no more questions to the state than one."""
    world.model = answers({"plain": 10, "terse": 14})
    write(world, "judge", more=JUDGE)
    world.apply()
    job = JobAddress("m.j@plain")

    def asked(keys: list[RowKey] | None) -> tuple[int, list[float | None]]:
        statements: list[str] = []
        with world.open() as project, project.reader() as reader:
            found = answers_of(project, job, reader)
            reader.db.set_trace_callback(statements.append)
            grades = [item.grade for item in found.items(reader.items(job, keys=keys))]
        return len(statements), grades

    few, one = asked([RowKey("3")])
    many, grades = asked(None)
    assert (one, grades) == ([1.0], [1.0] * 10 + [0.0] * 10)
    assert many == few


def test_rows_that_some_variants_lack_are_compared_where_they_are(world: World) -> None:
    world.model = answers({"plain": 20, "terse": 20})
    write(world)
    world.apply(targets=['m.j["3","plain"]', 'm.j["4"]', 'm.j["5","terse"]'])
    plain, terse = compared(world)
    assert (plain.rows, terse.rows, terse.agreement) == (2, 2, 1.0)
    with world.open() as project, project.reader() as reader:
        keys = list(reader.keys([JobAddress("m.j@plain"), JobAddress("m.j@terse")]))
    assert sorted(keys) == ["3", "4", "5"]


def test_a_judge_may_give_reasons_and_be_asked_several_times(world: World) -> None:
    verdicts = iter([0.0, 0.5, 1.0])

    def answer(body: dict[str, Any]) -> Any:
        if "judge" in body["messages"][-1]["content"]:
            return json.dumps({"score": next(verdicts), "why": "because"})
        return "yes"

    world.model = answer
    world.spec(
        """
        from pydantic import BaseModel

        class Verdict(BaseModel):
            why: str
            score: float

        judge = Job(model="openai:gpt-5-mini", prompt="judge {output}", output=Verdict, samples=3)
        j = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}]), prompt="{id}",
                grade=judge)
        """
    )
    world.apply()
    with world.open() as project:
        assert [item.grade for item in project.results("m.j")] == [0.5]


def test_the_table_of_a_judged_job_has_its_scores(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    at = ["--project", str(world.root)]
    write(world, "judge", more=JUDGE)
    world.model = answers({"plain": 10, "terse": 14})
    world.apply()
    with world.open() as project:
        read = list(project.results("m.j@terse"))
    assert [item.grade for item in read] == [1.0] * 14 + [0.0] * 6, "read after all items were"
    for address, rows in (("m.j", 40), ('m.j["3","terse"]', 1)):
        assert main(["results", address, *at]) == 0
        table = capsys.readouterr().out.splitlines()
        assert table[0].split()[-1] == "grade"
        assert len(table) == 1 + rows
        assert table[-1].split()[-1] in {"1", "0"}


@pytest.mark.parametrize(
    "score", ["exit(2)", "float('nan')", "float('inf')", "10.0**400", "'good'"]
)
def test_what_is_no_finite_number_is_no_score(
    world: World, score: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.spec(
        f"""
        def grade(output):
            return {score} if output == "SAY A" else 0.5

        j = Job(model="openai:gpt-5-mini", rows=rows.inline([{{"id": "a"}}, {{"id": "b"}}]),
                prompt="say {{id}}", grade=grade)
        """
    )
    world.apply()
    with world.open() as project:
        (one,) = project.compare("m.j").compared
        warned = [*project.warnings]
    assert one.grade is not None
    assert (one.grade.mean, one.grade.rows) == (0.5, 1)
    assert [(each.summary, each.address) for each in warned] == [("grade failed", 'm.j["a"]')]
    assert main(["results", "m.j", "--project", str(world.root)]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines()[-1].split()[-1] == "0.5"
    assert "grade failed" in shown.err


def test_a_judge_without_a_finite_number_gives_no_score(world: World) -> None:
    world.model = lambda body: (
        '{"response": NaN}' if "judge" in body["messages"][-1]["content"] else "yes"
    )
    world.spec(
        """
        judge = Job(model="openai:gpt-5-mini", prompt="judge {output}", output=float)
        j = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}]), prompt="{id}",
                grade=judge)
        """
    )
    world.apply()
    with world.open() as project:
        assert [item.grade for item in project.results("m.j")] == [None]
        assert [item.outcome for item in project.results("m.judge")] == ["succeeded"]
        lines = [json_line(cast("Any", item)) for item in project.results("m.judge")]
    assert b"NaN" not in lines[0]


def test_numbers_that_json_lacks_are_equal_to_themselves_wherever_they_are(world: World) -> None:
    world.model = lambda body: '{"w": [NaN, Infinity, 1.5]}'
    world.spec(
        """
        from pydantic import BaseModel

        class O(BaseModel):
            w: list[float]

        j = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}]), prompt="{id}",
                output=O, variants={"x": {}, "y": {"instructions": "Be brief."}})
        """
    )
    world.apply()
    with world.open() as project:
        assert [one.agreement for one in project.compare("m.j").compared] == [None, 1.0]


@pytest.mark.parametrize(
    ("judge", "graded", "told"),
    [
        ("output=str", "grade=judge", "Its output is text. A judge answers with a number"),
        ("output=list[int]", "grade=judge", "A judge answers with a number or a bool"),
        ("output=bool, variants={'a': {}}", "grade=judge", "compare judges as jobs of their own"),
        ("output=bool, rows=rows.inline([{'id': 'a'}])", "grade=judge", "leave out `rows`"),
        ("output=bool", "", "Job needs `rows`; only a job that another one names"),
        ("output=bool", "grade=judge, mdel=1", "Job has no argument 'mdel'"),
        ("output=bool, enabled=False", "grade=judge", None),
    ],
)
def test_a_job_that_cannot_judge_is_told(
    world: World, judge: str, graded: str, told: str | None
) -> None:
    world.spec(
        f"""
        judge = Job(model="openai:gpt-5-mini", prompt="say what", {judge})
        j = Job(model="openai:gpt-5-mini", rows=rows.inline([{{"id": "a"}}]), prompt="{{id}}",
                {graded})
        """
    )
    if told is None:
        world.apply()
        assert world.items()["a"].grade is None
        return
    with pytest.raises(SpecError) as caught:
        world.plan()
    (found,) = caught.value.diagnostics
    assert told in found.detail
    assert found.source is not None


def test_a_judge_of_two_jobs_is_told(world: World) -> None:
    world.spec(
        JUDGE
        + """
j = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}]), prompt="{id}", grade=judge)
k = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}]), prompt="{id}!", grade=judge)
"""
    )
    with pytest.raises(SpecError, match=r"of m\.j and m\.k; a judge is for one job"):
        world.plan()


def test_a_graded_job_made_of_its_judge_goes_in_a_circle(world: World) -> None:
    world.spec(
        """
        judge = Job(model="openai:gpt-5-mini", prompt="{output}", output=bool)
        j = Job(model="openai:gpt-5-mini", rows=rows.outputs_of("m.judge"), prompt="{key}",
                grade=judge)
        """
    )
    with pytest.raises(SpecError, match="in a circle"):
        world.plan()


def test_one_item_is_not_compared(world: World) -> None:
    world.job("a")
    world.apply()
    with pytest.raises(UsageError, match="is one item; a job is compared"):
        compared(world, 'm.j["a"]')


def test_the_command_prints_tables_and_one_document(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.model = answers({"plain": 10, "terse": 14})
    write(world)
    world.apply()
    at = ["--project", str(world.root)]
    assert main(["compare", "m.j", *at]) == 0
    out = capsys.readouterr().out
    assert "0.7 [0.481, 0.855]" in out
    assert "+0.2 [" in out
    assert "Differences and agreement are to plain" in out
    assert main(["compare", "m.j", "--json", *at]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["format_version"], document["baseline"]) == ("1", "plain")
    assert document["compared"][1]["grade"]["mean"] == pytest.approx(0.7)
    assert document["compared"][1]["outcomes"] == {"succeeded": 20}


def test_grades_have_a_table_of_their_own_where_a_line_is_too_short(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    world.model = answers({"plain": 10, "terse": 14})
    write(world)
    world.apply()
    shown: dict[int, list[str]] = {}
    for width in (80, 200):
        file = Terminal()
        console = Console(file=file, width=width, soft_wrap=True, color_system=None)
        monkeypatch.setattr(views, "stdout", lambda console=console: console)
        with world.open() as project:
            show_comparison(project.compare("m.j"))
        shown[width] = file.getvalue().splitlines()
    heads = [[line for line in lines if line.startswith("variant")] for lines in shown.values()]
    assert [len(head) for head in heads] == [3, 2]
    assert heads[0][1].split() == ["variant", "grade", "vs", "first"]
    assert not any("…" in line for line in shown[80])


@pytest.mark.parametrize("width", [80, 70])
def test_answers_show_their_cost_and_grade_in_a_narrow_terminal(
    world: World, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    world.model = answers({"plain": 10, "terse": 14})
    write(world, samples="samples=2,")
    world.apply()
    file = io.StringIO()
    monkeypatch.setattr(file, "isatty", lambda: True)
    console = Console(file=file, width=width, soft_wrap=True, color_system=None)
    monkeypatch.setattr(result_views, "stdout", lambda: console)
    with world.open() as project:
        items = cast("Iterable[ExportItem]", project.results("m.j"))
        result_views.show_table(items, total=None, command="results")
    head, *lines = file.getvalue().splitlines()
    assert head.split()[-2:] == ["cost", "grade"]
    assert len(head) <= width
    assert {line.split()[-1] for line in lines[:50]} == {"0", "1"}
    assert all("$" in line for line in lines[:50])


@pytest.mark.parametrize(
    ("difference", "told"), [(0.25, "+0.25"), (-4.2, "-4.2"), (99.4, "+99"), (1234.5, "+1,234")]
)
def test_differences_are_written_out(difference: float, told: str) -> None:
    assert views._signed(difference) == told
