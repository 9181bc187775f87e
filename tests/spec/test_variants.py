"""Variants of a job, and the matrix that makes them."""

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchspec import Job, matrix, rows
from batchspec.errors import SpecError
from batchspec.ids import JobAddress
from batchspec.spec.variants import members

JOB: dict[str, Any] = {"model": "openai:a", "rows": rows.inline([{"id": "1"}]), "prompt": "{id}"}
AT = JobAddress("m.j")


def test_a_matrix_has_every_combination_and_the_first_values_make_the_first() -> None:
    made = matrix(model=["openai:a", "openai:b"], instructions={"terse": "Brief.", "none": None})
    assert made == {
        "openai:a,terse": {"model": "openai:a", "instructions": "Brief."},
        "openai:a,none": {"model": "openai:a", "instructions": None},
        "openai:b,terse": {"model": "openai:b", "instructions": "Brief."},
        "openai:b,none": {"model": "openai:b", "instructions": None},
    }
    assert [of.variant for of, _ in members(AT, Job(**JOB, variants=made))] == list(made)


def test_numbers_are_named_by_their_argument() -> None:
    assert list(matrix(max_turns=[1, 2])) == ["max_turns=1", "max_turns=2"]


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        ({}, "needs an axis"),
        ({"model": []}, "`matrix`: `model` has no values; got \\[\\]\\."),
        ({"model": "openai:a"}, "`model` is a list of values"),
        ({"output": [int]}, "give the values of `output` names"),
        ({"instructions": ["x" * 61]}, "give the values of `instructions` names"),
        ({"settings": [{"seed": 1}]}, "give the values of `settings` names"),
        ({"model": ["openai:a", "openai:a"]}, "one name to two variants"),
        ({"model": {"a,b": "x:y", "a": "x:z"}, "prompt": {"c": "1", "b,c": "2"}}, "one name to"),
        ({"max_turns": list(range(1001))}, "at most 1000"),
    ],
)
def test_a_matrix_without_names_is_told(axes: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told) as caught:
        matrix(**axes)
    (found,) = caught.value.diagnostics
    assert found.summary == "matrix is not valid"
    assert found.source is not None
    assert found.source.file == __file__


LABELS = st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=4, unique=True)


@given(LABELS, LABELS)
def test_every_variant_of_a_matrix_has_a_name_of_its_own_or_it_is_told(
    first: list[str], second: list[str]
) -> None:
    try:
        made = matrix(model=dict.fromkeys(first, "x:y"), prompt=dict.fromkeys(second, "z"))
    except SpecError:
        names = [",".join(pair) for pair in product(first, second)]
        assert len(set(names)) < len(names)
    else:
        assert len(made) == len(first) * len(second)


def test_a_variant_changes_what_it_names_and_merges_settings() -> None:
    job = Job(
        **JOB,
        settings={"seed": 1, "temperature": 0.0},
        samples=2,
        variants={"plain": {}, "hot": {"settings": {"temperature": 1.0}, "tools": [len]}},
    )
    found = list(members(AT, job))
    assert [of.address for of, _ in found] == ["m.j@plain", "m.j@plain#2", "m.j@hot", "m.j@hot#2"]
    plain, hot = found[0][1], found[2][1]
    assert plain.settings == {"seed": 1, "temperature": 0.0}
    assert hot.settings == {"seed": 1, "temperature": 1.0}
    assert (len(plain.tools), len(hot.tools), len(job.tools)) == (0, 1, 0)
    assert (hot.source, hot.module_file) == (job.source, job.module_file)
    assert found[2][1] is found[3][1], "samples need not be put together again"
