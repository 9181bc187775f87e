"""Order and cycles of jobs."""

# ruff: noqa: E501 - messages stay as they are seen

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchspec.desired.graph import Desired, DesiredJob, cycles, in_order
from batchspec.errors import Source
from batchspec.ids import JobAddress
from batchspec.messages import Contract
from batchspec.spec import rows
from batchspec.spec.job import Job
from batchspec.spec.output import output_mode

JOB = Job(model="openai:m", rows=rows.inline([]), prompt="x")


def job(address: str, *needs: str) -> DesiredJob:
    return DesiredJob(
        address=JobAddress(address),
        job=JOB,
        contract=Contract(provider="openai", endpoint="/v1", model="m"),
        output=output_mode(None),
        depends_on=tuple(map(JobAddress, needs)),
    )


def told(edges: dict[str, Sequence[str]]) -> list[str]:
    typed = {JobAddress(a): [JobAddress(n) for n in needs] for a, needs in edges.items()}
    return [str(d) for d in cycles(typed, {a: Source(f"{a}.py", 1) for a in typed})]


def test_dependencies_come_first_and_ties_are_by_address() -> None:
    ordered = in_order([job("z"), job("a", "m"), job("m", "z"), job("b")])
    assert [j.address for j in ordered] == ["b", "z", "m", "a"]
    desired = Desired(ordered)
    assert desired["m"].depends_on == ("z",)
    assert len(desired) == 4
    assert desired.addresses == ("b", "z", "m", "a")
    with pytest.raises(KeyError):
        desired["q"]


def test_a_cycle_is_told_with_every_place() -> None:
    assert told({"c": ["a"], "a": ["b"], "b": ["c"], "d": ["a"]}) == [
        (
            "a.py:1: a: jobs depend on each other in a circle. a needs b needs c needs a (a at a.py:1;"
            " b at b.py:1; c at c.py:1). One of them must take its rows elsewhere."
        )
    ]


def test_several_cycles_are_all_told() -> None:
    found = told({"a": ["b"], "b": ["a"], "x": ["x"], "y": []})
    assert [line.split(". ")[1].split(" (")[0] for line in found] == [
        "a needs b needs a",
        "x needs x",
    ]


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"))))
def test_no_cycle_is_told_exactly_when_there_is_an_order(edges: dict[str, list[str]]) -> None:
    edges = {name: [n for n in needs if n in edges] for name, needs in edges.items()}
    if told(edges):
        return
    ordered = [j.address for j in in_order([job(name, *needs) for name, needs in edges.items()])]
    for name, needs in edges.items():
        assert all(ordered.index(JobAddress(n)) < ordered.index(JobAddress(name)) for n in needs)
