"""The codec of embeddings: lines out as the SDK would send them, vectors in, nothing raises."""

import json
import math
import struct
from base64 import b64encode
from random import Random
from typing import Any

import pytest
from fuzz.mutations import spoiled
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse, EmbeddingCreateParams
from pydantic import TypeAdapter

from batchspec.fingerprint import canonical_json
from batchspec.messages import Contract, LineError, Reply
from batchspec.ports import Wire
from batchspec.providers.openai.embeddings import EmbeddingsWire
from batchspec.reconcile.settle import Judge, settle
from batchspec.spec.output import OutputInvalid
from batchspec.spec.vectors import VectorMode, pack, raw, unpack
from batchspec.state.settlement import Answered, SendAgain

WIRE: Wire = EmbeddingsWire()
CONTRACT = Contract(
    provider="openai", endpoint="/v1/embeddings", model="text-embedding-3-small", settings={}
)
floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


def packed(*numbers: float) -> str:
    return b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def answer(embedding: Any = None, **body: Any) -> dict[str, Any]:
    """Return a result line with one vector."""
    embedding = packed(0.5, -0.25) if embedding is None else embedding
    whole = {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": embedding}],
        "model": "text-embedding-3-small",
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
        **body,
    }
    response = {"status_code": 200, "request_id": "r", "body": whole}
    return {"id": "batch_req_1", "custom_id": "a-1", "response": response, "error": None}


def decoded(line: Any) -> Any:
    return WIRE.decode(line if isinstance(line, bytes) else json.dumps(line).encode()).result


# --- out


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        ({}, {"encoding_format": "base64"}),
        (
            {"dimensions": 8, "user": "u"},
            {"encoding_format": "base64", "dimensions": 8, "user": "u"},
        ),
        ({"encoding_format": "float"}, {"encoding_format": "float"}),
        ({"task": "query"}, {"encoding_format": "base64", "task": "query"}),
    ],
)
@pytest.mark.parametrize("given", ["a text", 'of "quotes"\n\u2028', [1, 2, 3]])
def test_a_line_is_the_body_that_is_shown(
    settings: dict[str, Any], sent: dict[str, Any], given: Any
) -> None:
    contract = Contract(
        provider="openai", endpoint=WIRE.endpoint, model="text-embedding-3-small", settings=settings
    )
    first, second = WIRE.line_parts(contract)
    stored = canonical_json(given)
    assert WIRE.encode(stored) == stored
    line = json.loads(b'{"custom_id":"a-1' + first + WIRE.encode(stored) + second)
    assert line["url"] == "/v1/embeddings"
    assert line["body"] == {"model": "text-embedding-3-small", "input": given, **sent}
    assert line["body"] == WIRE.body(contract, given)
    known = {name: value for name, value in line["body"].items() if name != "task"}
    TypeAdapter(EmbeddingCreateParams).validate_python(known)


# --- in


def test_a_reply_is_its_vector_and_its_tokens() -> None:
    CreateEmbeddingResponse.model_validate(answer([0.5, -0.25])["response"]["body"])
    for line in (answer(), answer([0.5, -0.25])):
        reply = decoded(line)
        assert isinstance(reply, Reply)
        assert VectorMode(2).parse(VectorMode().read(reply)) == [0.5, -0.25]
        assert (reply.usage.input_tokens, reply.usage.output_tokens) == (8, 0)
        assert (reply.model, reply.finish, reply.tool_calls) == (
            "text-embedding-3-small",
            "stop",
            (),
        )
    assert WIRE.assistant(json.dumps(answer()).encode()) == []


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (answer(data=[]), "empty_body"),
        (answer(data=None), "empty_body"),
        (answer(data={}), "empty_body"),
        (answer(data=[{"index": 0}]), "unknown_shape"),
        (answer(data=[{"index": 1, "embedding": packed(1)}]), "unknown_shape"),
        (answer(data=[{"index": n, "embedding": packed(1)} for n in (0, 1)]), "unknown_shape"),
        (answer("not base64!"), "unknown_shape"),
        (answer("YWJj"), "unknown_shape"),
        (answer(""), "unknown_shape"),
        (answer([]), "unknown_shape"),
        (answer([[0.5]]), "unknown_shape"),
        (answer(["0.5"]), "unknown_shape"),
        (answer([None]), "unknown_shape"),
        (answer([10**400]), "unknown_shape"),
        (answer({"0": 0.5}), "unknown_shape"),
        (answer(7), "unknown_shape"),
        (b'{"custom_id": "a-1", "response": {"status_code": 200, "body": "', "unreadable_line"),
    ],
)
def test_what_is_no_vector_is_no_reply(line: Any, code: str) -> None:
    error = decoded(line)
    assert isinstance(error, LineError)
    assert (error.kind, error.code) == ("unreadable", code)


@pytest.mark.parametrize(
    ("embedding", "dimensions", "told"),
    [
        (packed(1, 2, 3), 2, "The vector has 3 components; 2 were asked for."),
        ([1.0], 2, "The vector has 1 components; 2 were asked for."),
        (packed(1, math.nan), None, "A component of the vector is not a finite number."),
        (packed(1, math.inf), 2, "A component of the vector is not a finite number."),
        ([1e300], None, "A component of the vector is not a finite number."),
        ([float("nan")], None, "A component of the vector is not a finite number."),
    ],
)
def test_a_vector_that_is_not_what_was_asked_for_fails_with_a_reason(
    embedding: Any, dimensions: int | None, told: str
) -> None:
    """It was paid for, and the next one would be the same: it is not asked for again."""
    mode = VectorMode(dimensions)
    reply = decoded(answer(embedding))
    assert isinstance(reply, Reply)
    with pytest.raises(OutputInvalid) as caught:
        mode.parse(reply.text or "")
    assert told == str(caught.value)


@given(st.lists(floats, min_size=1, max_size=50))
def test_a_vector_is_kept_bit_by_bit(vector: list[float]) -> None:
    assert unpack(pack(vector)) == vector
    assert pack(unpack(pack(vector))) == pack(vector)
    assert raw(pack(vector)) == struct.pack(f"<{len(vector)}f", *vector)


@given(st.text(max_size=60))
def test_reading_a_text_that_is_no_vector_is_told(text: str) -> None:
    try:
        vector = VectorMode().parse(text)
    except OutputInvalid:
        return
    assert vector
    assert all(map(math.isfinite, vector))


def test_no_mutated_line_raises() -> None:
    """Judged like every other line: a reply, or a reason, that can be stored."""
    random = Random(5)
    templates = [answer(), answer([0.5, -0.25]), answer(error={"message": "m"})]
    seen: dict[str, int] = {}
    for number in range(8000):
        template = random.choice(templates)
        line = spoiled(Random(number), json.dumps(template).encode())
        result = WIRE.decode(line).result
        if isinstance(result, Reply):
            told = [result.text or "", result.model or ""]
            assert 0 <= result.usage.input_tokens < 2**63
        else:
            told = [result.code, result.message]
        settlement = judged(result)
        assert isinstance(settlement, Answered | SendAgain)
        told.append(settlement.reason or "")
        for text in told:
            text.encode()
        seen[type(settlement).__name__] = seen.get(type(settlement).__name__, 0) + 1
    assert min(seen.values()) > 800


def judged(result: Reply | LineError) -> Any:
    mode = VectorMode(2)
    judge = Judge(output=mode, output_retries=0, max_turns=1)
    return settle(result, judge, turn=1, attempts=0, output_retries=0)
