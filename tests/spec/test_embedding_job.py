"""What `EmbeddingJob` accepts, what it says about what it does not, and what it makes of a row."""

import dataclasses
import inspect
from typing import Any

import pytest

from batchspec.desired.render import encoder, renderer
from batchspec.errors import SpecError
from batchspec.fingerprint import canonical_json
from batchspec.spec import rows
from batchspec.spec.embedding import EmbeddingJob
from batchspec.spec.job import Job
from batchspec.spec.prompt import PromptInvalid

GOOD: dict[str, Any] = {
    "model": "openai:text-embedding-3-small",
    "rows": rows.inline([{"id": 1}]),
    "input": "{id}",
}


async def waits(row: Any) -> str:
    return ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"inputs": "x"}, "EmbeddingJob has no argument 'inputs'. Did you mean 'input'?"),
        ({"prompt": "x"}, "'prompt'. What is embedded is `input`"),
        ({"instructions": "x"}, "'instructions'. An embedding model takes no instructions"),
        ({"output": str}, "'output'. The output is a vector"),
        ({"tools": []}, "'tools'. An embedding model calls none."),
        ({"max_turns": 3}, "'max_turns'. An item has one turn."),
        ({"samples": 2}, "'samples'. Equal inputs have equal vectors."),
        ({"output_validators": []}, "'output_validators'. A vector is not asked for again"),
        ({"input": 3}, "`input` is a template or a function of a row; got 3."),
        ({"input": "{"}, "`input`: The template cannot be read"),
        ({"input": waits}, "`input` must be a plain function"),
        ({"dimensions": 0}, "`dimensions` is a whole number from 1; got 0."),
        ({"dimensions": True}, "`dimensions` is a whole number from 1; got True."),
        ({"dimensions": 1537}, "text-embedding-3-small gives vectors of 1536 components at most"),
        (
            {"model": "openai:text-embedding-ada-002", "dimensions": 256},
            "text-embedding-ada-002 gives vectors of 1536 components only",
        ),
        ({"settings": 1}, "`settings` is a dict such as"),
        ({"settings": {"usr": "x"}}, "'usr' is not a known setting of embeddings. Did you mean"),
        ({"settings": {"temperature": 0}}, "'temperature' is not a known setting of embeddings."),
        ({"settings": {"dimensions": 8}}, "set `dimensions` of the EmbeddingJob"),
        ({"settings": {"extra_body": {"input": 8}}}, "set `input` of the EmbeddingJob"),
        ({"settings": {"extra_body": 8}}, "extra_body is a dict of body parameters; got 8."),
        ({"settings": {"extra_body": {"a": float("nan")}}}, "extra_body.a cannot be sent as JSON"),
        ({"settings": {"user": 8}}, "user is a text; got 8."),
        ({"settings": {"encoding_format": "int8"}}, 'encoding_format is "base64" or "float"'),
        ({"ignore_changes": ["prompt"]}, "names no part of a request: 'prompt'."),
        ({"ignore_changes": "input"}, '`ignore_changes` is a list such as ["input"]'),
        ({"max_cost": -1}, "`max_cost` is an amount in US dollars"),
    ],
)
def test_a_wrong_argument_is_told_with_its_line(arguments: dict[str, Any], told: str) -> None:
    line = inspect.currentframe().f_lineno + 2  # type: ignore[union-attr]
    with pytest.raises(SpecError) as caught:
        EmbeddingJob(**(GOOD | arguments))
    diagnostic = caught.value.diagnostics[0]
    assert told in diagnostic.detail
    assert diagnostic.summary == "EmbeddingJob is not valid"
    assert diagnostic.source is not None
    assert diagnostic.source.line == line


def test_what_is_missing_is_told() -> None:
    with pytest.raises(SpecError) as caught:
        EmbeddingJob()  # type: ignore[call-arg]
    told = [diagnostic.detail for diagnostic in caught.value.diagnostics]
    assert told == [f"EmbeddingJob needs `{name}`." for name in ("model", "rows", "input")]


def test_every_argument_of_a_job_is_accepted_or_refused_with_a_sentence() -> None:
    """A new argument of `Job` has to be thought of here too."""
    signature = EmbeddingJob.signature
    taken = {each.name for each in dataclasses.fields(EmbeddingJob) if each.init}
    assert taken == signature.checks.keys()
    of_jobs = {each.name for each in dataclasses.fields(Job) if each.init}
    assert of_jobs - taken == signature.foreign.keys()


def test_a_job_can_be_made_anew_with_other_rows() -> None:
    job = EmbeddingJob(**GOOD, dimensions=8, settings={"user": "u"})
    other = dataclasses.replace(job, rows=rows.inline([{"id": 2}]))
    assert (other.dimensions, other.input, other.prompt) == (8, "{id}", "{id}")
    assert other.body() == {"user": "u", "dimensions": 8}


def test_an_input_is_a_text_or_token_ids() -> None:
    text = EmbeddingJob(**(GOOD | {"input": "{title}\n{text}"}))
    row = {"title": "Ünïcode \U0001f600", "text": 'a "quoted"\ttext'}
    assert renderer(text)(row) == 'Ünïcode \U0001f600\na "quoted"\ttext'
    tokens = EmbeddingJob(**(GOOD | {"input": lambda row: row["ids"]}))
    assert renderer(tokens)({"ids": (1, 2, 3)}) == [1, 2, 3]
    for job, given in ((text, row), (tokens, {"ids": [1, 2, 3]})):
        assert encoder(job)(given) == canonical_json(renderer(job)(given))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("", "The input came out empty"),
        ([], "the ids of its tokens as a list of whole numbers, at least one; got []"),
        (["a", "b"], "A row has one vector: make a row of each text."),
        ([1, True], "got [1, True]"),
        ([-1], "got [-1]"),
        (None, "`input` gives a text, or the ids of its tokens"),
        ("word " * 8193, "The input has 8_193 words, and an input may have 8_192 tokens"),
        ([7] * 8193, "The input has 8_193 tokens, and an input may have 8_192."),
    ],
)
def test_an_input_the_provider_would_refuse_is_refused(value: Any, told: str) -> None:
    job = EmbeddingJob(**(GOOD | {"input": lambda _: value}))
    with pytest.raises(PromptInvalid) as caught:
        encoder(job)({})
    assert told in str(caught.value)


@pytest.mark.parametrize("value", ["word " * 8192, "w" * 100_000, [7] * 8192])
def test_an_input_that_may_fit_is_left_to_the_provider(value: Any) -> None:
    assert encoder(EmbeddingJob(**(GOOD | {"input": lambda _: value})))({})


def test_models_of_ones_own_have_limits_of_their_own() -> None:
    job = EmbeddingJob(model="laptop:qwen3", rows=GOOD["rows"], input=lambda _: "word " * 9000)
    assert encoder(job)({})


@pytest.mark.parametrize(
    ("job", "doubt"),
    [
        (EmbeddingJob(**GOOD), None),
        (EmbeddingJob(**(GOOD | {"model": "openai:gpt-5-mini"})), "model answers with text"),
        (EmbeddingJob(**(GOOD | {"model": "laptop:gemini-embedding-1"})), None),
        (Job(model="openai:text-embedding-3-small", rows=GOOD["rows"], prompt="x"), "vectors"),
        (Job(model="openai:gpt-5-mini", rows=GOOD["rows"], prompt="x"), None),
    ],
)
def test_a_model_of_the_other_kind_is_doubted(job: Job, doubt: str | None) -> None:
    found = [summary for summary, _ in job.doubts()]
    assert len(found) == (doubt is not None)
    assert doubt is None or doubt in found[0]
