"""Which source answers which request."""

from pathlib import Path

import pytest

from batchspec.simulator import (
    Answer,
    CallableModel,
    Question,
    RoutedModel,
    load_answers,
)

from .conftest import request_line

JOBS = {"c-1": "tickets.triage", "c-2": "tickets.reply", "c-3": "posts.draft"}


def source(name: str) -> CallableModel:
    return CallableModel(lambda _: name)


def who(model: object, custom_id: str | None, name: str = "gpt-5-mini") -> str | None:
    body = request_line("a", model=name)["body"]
    assert hasattr(model, "answer")
    answer = model.answer(Question("/v1/chat/completions", body, body, custom_id))
    assert isinstance(answer, Answer)
    return answer.content


ROUTED = RoutedModel(
    {
        "tickets.triage": source("triage"),
        "gpt-5-*": source("five"),
        "tickets.*": source("tickets"),
        "gpt-4o": source("four"),
    },
    source("other"),
    job_of=JOBS.get,
)


@pytest.mark.parametrize(
    ("custom_id", "model", "answered"),
    [
        ("c-1", "gpt-5-mini", "triage"),
        ("c-2", "gpt-5-mini", "five"),
        ("c-2", "gpt-4o", "tickets"),
        ("c-3", "gpt-4o", "four"),
        ("c-3", "gpt-4o-mini", "other"),
        ("c-9", "gpt-5-mini", "five"),
        (None, "gpt-5-mini", "five"),
        (None, "tickets.triage", "triage"),
    ],
)
def test_the_first_pattern_that_fits_counts(
    custom_id: str | None, model: str, answered: str
) -> None:
    assert who(ROUTED, custom_id, model) == answered


def test_without_jobs_only_models_fit() -> None:
    routed = RoutedModel({"tickets.*": source("tickets")}, source("other"))
    assert who(routed, "c-1") == "other"


def test_a_table_names_files(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "told = []\n"
        "def one(body):\n    told.append(1)\n    return 'one'\n"
        "def two(body):\n    return f'two after {len(told)}'\n"
    )
    (tmp_path / "old.jsonl").write_text('{"custom_id": "c-3", "content": "recorded"}\n')
    table = {"tickets.triage": "mine.py:one", "tickets.*": "mine.py:two", "posts.*": "old.jsonl"}
    model = load_answers(table, root=tmp_path, job_of=JOBS.get)
    assert [who(model, name) for name in JOBS] == ["one", "two after 1", "recorded"]
    assert "Marianne" in (who(model, None) or "")
    assert who(load_answers("mine.py:one", root=tmp_path), "c-3") == "one"
    with pytest.raises(ValueError, match="no function 'three'"):
        load_answers({"*": "mine.py:three"}, root=tmp_path)
