"""Jobs with variants, samples and judges in the tests of their authors."""

from collections.abc import Callable

from batchspec import Job, rows
from batchspec.testing import Run

judge = Job(model="openai:gpt-5-mini", prompt="Good? {output}", output=bool)
named = Job(
    model="openai:gpt-5-mini",
    rows=rows.inline([{"id": "a"}, {"id": "b"}]),
    prompt="Name {id}",
    samples=2,
    variants={"plain": {}, "terse": {"instructions": "Be brief."}},
    grade=judge,
)
RunJob = Callable[..., Run]


def test_answers_by_key_are_those_of_every_variant(run_job: RunJob) -> None:
    """The judge comes with the job it grades."""
    given = {named: {"a": "Anna", "b": "Bert"}, judge: True}
    run = run_job(named, answers=given)
    assert [item.output for item in run.of(named).items] == ["Anna", "Bert"] * 4
    assert run['test_variants.named["b","terse",2]'].output == "Bert"
    assert {item.output for item in run.of(judge).items} == {True}
    told = "equal answers are judged once"
    assert (run.requests, run.of(judge).requests) == (8, 2), told


def test_one_variant_is_answered_by_itself(run_job: RunJob) -> None:
    run = run_job(named, rows=[{"id": "a"}], answers={named: {"a": "Anna"}})
    assert [item.address for item in run.of("test_variants.named@terse").items] == [
        'test_variants.named["a","terse"]',
        'test_variants.named["a","terse",2]',
    ]
