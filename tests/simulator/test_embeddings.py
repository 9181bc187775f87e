"""`/v1/embeddings`, live and in batches."""

import base64
import struct
from collections.abc import Callable
from math import hypot
from typing import Any

import openai
import pytest
from openai.types import CreateEmbeddingResponse

from batchspec.simulator import Answer, CallableModel, Replay
from batchspec.simulator.endpoints.embeddings import Embeddings
from batchspec.simulator.jobs import engine

from .conftest import Simulation
from .strictly import conforms

pytestmark = pytest.mark.anyio
MODEL = "text-embedding-3-small"
URL = "/v1/embeddings"
Body = dict[str, Any]


def line(custom_id: str, asked: object = "a text", **body: Any) -> Body:
    content = {"model": MODEL, "input": asked, **body}
    return {"custom_id": custom_id, "method": "POST", "url": URL, "body": content}


def nearness(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def vectors_of(simulation: Simulation, *texts: str, **more: Any) -> list[list[float]]:
    answer = await simulation.client.embeddings.create(model=MODEL, input=list(texts), **more)
    return [data.embedding for data in answer.data]


async def test_a_line_is_answered_with_unit_vectors(simulation: Simulation) -> None:
    bodies = await simulation.answers(line("a", ["one text", "another"]), line("b", "one text"))
    conforms(CreateEmbeddingResponse, bodies["a"])
    assert [data["index"] for data in bodies["a"]["data"]] == [0, 1]
    assert bodies["a"]["model"] == MODEL
    first, second = (data["embedding"] for data in bodies["a"]["data"])
    assert len(first) == len(second) == 1_536
    assert hypot(*first) == pytest.approx(1, abs=1e-5)
    assert bodies["b"]["data"][0]["embedding"] == first != second
    assert bodies["a"]["usage"]["prompt_tokens"] > bodies["b"]["usage"]["prompt_tokens"] > 0
    assert bodies["a"]["usage"]["total_tokens"] == bodies["a"]["usage"]["prompt_tokens"]


async def test_texts_that_share_words_are_near(simulation: Simulation) -> None:
    cat, kitten, tax = await vectors_of(
        simulation, "the cat sat on the mat", "a cat sat on a mat", "income tax is due in May"
    )
    assert nearness(cat, kitten) > 0.4
    assert abs(nearness(cat, tax)) < 0.2


async def test_the_sdk_s_own_format_is_base64(simulation: Simulation) -> None:
    """Without a format it asks for base64, and decodes it."""
    (packed,) = await vectors_of(simulation, "a text")
    (plain,) = await vectors_of(simulation, "a text", encoding_format="float")
    assert packed == pytest.approx(plain, abs=1e-6)
    body = (await simulation.answers(line("a", encoding_format="base64", dimensions=3)))["a"]
    raw = base64.b64decode(body["data"][0]["embedding"])
    assert hypot(*struct.unpack("<3f", raw)) == pytest.approx(1, abs=1e-5)


async def test_sizes_are_those_of_the_model(simulation: Simulation) -> None:
    sizes = {"text-embedding-3-large": 3_072, "text-embedding-ada-002": 1_536}
    for model, size in sizes.items():
        answer = await simulation.client.embeddings.create(model=model, input="a")
        assert len(answer.data[0].embedding) == size
    assert [len(v) for v in await vectors_of(simulation, "a", "b", dimensions=256)] == [256, 256]


async def test_tokens_are_an_input_too(simulation: Simulation) -> None:
    bodies = await simulation.answers(line("a", [1, 2, 3]), line("b", [[1, 2, 3], [4]]))
    assert [len(bodies[name]["data"]) for name in "ab"] == [1, 2]
    assert bodies["a"]["data"][0] == bodies["b"]["data"][0]
    assert [bodies[name]["usage"]["prompt_tokens"] for name in "ab"] == [3, 4]


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"input": None}, "input", "missing_required_parameter"),
        ({"input": 3}, "input", "invalid_type"),
        ({"input": ""}, "input", None),
        ({"input": ["a", ""]}, "input", None),
        ({"input": []}, "input", "empty_array"),
        ({"input": ["a", []]}, "input[1]", "empty_array"),
        ({"input": [["a"]]}, "input[0]", "invalid_type"),
        ({"input": [{}]}, "input[0]", "invalid_type"),
        ({"input": ["a"] * 2_049}, "input", "array_above_max_length"),
        ({"input": "word " * 9_000}, None, None),
        ({"input": ["word " * 6_000] * 60}, None, "max_tokens_per_request"),
        ({"dimensions": 0}, "dimensions", "integer_below_min_value"),
        ({"dimensions": 1_537}, "dimensions", None),
        ({"dimensions": 256, "model": "text-embedding-ada-002"}, None, None),
        ({"encoding_format": "hex"}, "encoding_format", "invalid_value"),
        ({"temperature": 1}, "temperature", "unknown_parameter"),
    ],
)
async def test_a_bad_request_is_refused(
    simulation: Simulation, body: Body, param: str | None, code: str | None
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await simulation.client.post(
            "/embeddings", cast_to=object, body={"model": MODEL, "input": "a"} | body
        )
    error = refused.value.body
    assert isinstance(error, dict)
    assert (error["param"], error["code"]) == (param, code)


async def test_failure_21_inputs_of_all_lines_are_counted(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Embeddings, "max_inputs", 4)
    lines = [line("a", ["1", "2"]), line("b", "3"), line("c", [4, 5])]
    batch = await simulation.finish(*lines, endpoint=URL)
    assert batch.status == "completed"
    batch = await simulation.finish(*lines, line("d", [[6]]), endpoint=URL)
    assert batch.errors is not None
    assert batch.errors.data is not None
    assert [error.code for error in batch.errors.data] == ["too_many_inputs"]


async def test_the_queue_has_a_limit_of_requests(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = engine.Rules(pace=simulation.engine.rules.pace, enqueued_request_limit=3)
    monkeypatch.setattr(simulation.engine, "rules", rules)
    first = await simulation.submit(line("a"), line("b"), endpoint=URL)
    second = await simulation.submit(line("a"), line("b"), endpoint=URL)
    assert (await simulation.after(30, first)).status == "in_progress"
    refused = await simulation.client.batches.retrieve(second.id)
    assert refused.errors is not None
    assert refused.errors.data is not None
    (error,) = refused.errors.data
    assert error.code == "request_limit_exceeded"
    assert (error.message or "").startswith(f"Enqueued request limit reached for {MODEL} in")
    again = await simulation.finish(line("a"), endpoint=URL)
    assert again.status == "completed"


@pytest.mark.parametrize(
    ("returned", "vectors"),
    [
        ([[1, 0], [0, 1]], [[1.0, 0.0], [0.0, 1.0]]),
        (Answer(vectors=[[3.0], [4.0]]), [[3.0], [4.0]]),
        (Replay(response={"body": {"data": [{"embedding": [7.0]}]}}), [[7.0]]),
    ],
)
async def test_a_function_may_give_vectors(
    start: Callable[..., Simulation], returned: object, vectors: list[list[float]]
) -> None:
    simulation = start(model=CallableModel(lambda _: returned))
    body = (await simulation.answers(line("a", ["x", "y"])))["a"]
    assert [data["embedding"] for data in body["data"]] == vectors


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        ("hello", "The answering function failed: ValidationError"),
        (Answer(content="hello"), "The source of answers gave no vectors"),
        ([[1.0]], "The source of answers gave 1 vectors for 2 inputs"),
    ],
)
async def test_what_is_no_vector_fails_the_line(
    start: Callable[..., Simulation], returned: object, told: str
) -> None:
    simulation = start(model=CallableModel(lambda _: returned))
    body = (await simulation.answers(line("a", ["x", "y"])))["a"]
    assert body["error"]["message"].startswith(told)
