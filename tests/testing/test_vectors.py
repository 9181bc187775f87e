"""Answers for embedding jobs: vectors, failures, and what is none."""

from collections.abc import Callable
from typing import Any

import pytest

from batchspec import EmbeddingJob, rows
from batchspec.testing import Request, Run, ScriptError, fail, made_up, script

RunJob = Callable[..., Run]
vectors = EmbeddingJob(
    model="openai:text-embedding-3-small",
    rows=rows.inline([{"id": "a", "text": "one"}, {"id": "b", "text": "three"}]),
    input="{text}",
    dimensions=3,
)


def test_vectors_by_key_and_made_up(run_job: RunJob) -> None:
    run = run_job(vectors, answers={"a": (1, 0.5, 0), ...: made_up})
    assert run["a"].output == [1.0, 0.5, 0.0]
    assert len(run["b"].output) == 3
    assert run.requests == 2


def test_a_function_sees_what_is_embedded(run_job: RunJob) -> None:
    def answer(request: Request) -> list[float]:
        assert request.messages == []
        return [float(len(request.text)), 0.0, 1.0]

    assert run_job(vectors, answers=answer).outputs == {"a": [3.0, 0.0, 1.0], "b": [5.0, 0.0, 1.0]}


def test_failures_and_vectors_of_another_length(run_job: RunJob) -> None:
    run = run_job(vectors, answers={"a": script(fail(503), [0, 0, 1]), "b": [1, 2]})
    assert run.outcomes == {"a": "succeeded", "b": "failed"}
    assert "The vector has 2 components; 3 were asked for." in run["b"].told()
    assert "input: three" in run["b"].told()


@pytest.mark.parametrize("answer", ["text", [], ["x"], {"x": 1}, None])
def test_what_is_no_vector_is_told(run_job: RunJob, answer: Any) -> None:
    with pytest.raises((ScriptError, TypeError)) as caught:
        run_job(vectors, answers={"a": answer, "b": [0, 0, 1]})
    assert "is no vector" in str(caught.value) or "There is no answer" in str(caught.value)
