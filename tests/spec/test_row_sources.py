"""Descriptions of row sources."""

from pathlib import Path
from typing import Any

import pytest

from batchspec.errors import SpecError
from batchspec.spec import rows
from batchspec.spec.job import Job


def test_sources_are_values() -> None:
    assert rows.csv("a.csv", key="id") == rows.csv(Path("a.csv"), key="id")
    assert rows.jsonl("a.jsonl") == rows.Jsonl(path="a.jsonl")
    assert rows.files("docs/**/*.md").key == "path"
    assert rows.inline([{"id": 1}]).data == ({"id": 1},)
    assert rows.csv("a.csv").source.file == __file__


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: rows.inline("abc"), "`rows.inline` takes a list of mappings"),  # type: ignore[arg-type]
        (lambda: rows.inline({"a": 1}), "takes a list of mappings. Got {'a': 1}."),  # type: ignore[arg-type]
        (lambda: rows.inline([{"id": 1}, "b"]), "row 2 is none. Got 'b'."),  # type: ignore[list-item]
        (lambda: rows.csv(3), "`rows.csv` takes a path. Got 3."),  # type: ignore[arg-type]
        (lambda: rows.csv("a\0"), "takes a path, and no file can be called so. Got 'a\\x00'."),
        (lambda: rows.files("\ud83d"), "takes a path, and no file can be called so. Got '\\ud83d"),
        (lambda: rows.csv("a", delimiter=";;"), "`delimiter` must be one character. Got ';;'."),
        (lambda: rows.csv("a", encoding="utf-16"), "`encoding` must be a text encoding"),
        (lambda: rows.csv("a", encoding="rot13"), "that keeps ASCII, like utf-8. Got 'rot13'."),
        (lambda: rows.jsonl("a", key=""), "`key` is the name of the field"),
        (lambda: rows.files("*", key="id"), '`key` of `rows.files` is "path" or "name"'),
        (lambda: rows.iterable([1]), "`rows.iterable` takes a function without parameters"),  # type: ignore[arg-type]
        (lambda: rows.outputs_of(3), "`rows.outputs_of` takes a Job or its address. Got 3."),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_argument_is_told_with_its_line(make: Any, told: str) -> None:
    with pytest.raises(SpecError) as caught:
        make()
    assert told in str(caught.value)
    assert str(caught.value).startswith(__file__)


def test_derived_sources_refer_to_a_job() -> None:
    job = Job(model="openai:x", rows=rows.inline([{"id": 1}]), prompt="hi")
    assert rows.outputs_of(job).job is job
    assert rows.collect("a.b", where=bool).where is bool
    assert rows.known_fields(rows.outputs_of(job)) == ("key", "row", "output")
    assert rows.known_fields(rows.collect(job)) == ("key", "items", "outputs", "count")
    assert rows.known_fields(rows.files("*")) == ("path", "name", "text")
    assert rows.known_fields(rows.csv("a")) is None
