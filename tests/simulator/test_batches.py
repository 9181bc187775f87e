import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx2
import openai
import pytest

from batchspec.simulator import AppTransport, create_app

from .conftest import ENDPOINT, KEY, PACE, START, Simulation, request_line

pytestmark = pytest.mark.anyio
KEYS = {
    "id", "object", "endpoint", "model", "errors", "input_file_id", "completion_window", "status",
    "output_file_id", "error_file_id", "created_at", "in_progress_at", "expires_at",
    "finalizing_at", "completed_at", "failed_at", "expired_at", "cancelling_at", "cancelled_at",
    "request_counts", "usage", "metadata",
}  # fmt: skip
TEN = [request_line(f"r{number}") for number in range(10)]


def counts(batch: Any) -> tuple[int, int, int]:
    return (
        batch.request_counts.total,
        batch.request_counts.completed,
        batch.request_counts.failed,
    )


async def test_a_batch_completes(simulation: Simulation) -> None:
    batch = await simulation.submit(*TEN, metadata={"batchspec": "t0"})
    created = int(START)
    assert len(batch.id) == len("batch_") + 32
    assert (batch.status, batch.metadata) == ("validating", {"batchspec": "t0"})
    assert (batch.created_at, batch.expires_at) == (created, created + 86_400)
    assert (batch.in_progress_at, batch.output_file_id, batch.errors) == (None, None, None)
    assert counts(batch) == (0, 0, 0)
    seen = []
    for seconds in (19, 1, 35, 65, 4, 1):
        batch = await simulation.after(seconds, batch)
        seen.append((batch.status, counts(batch)))
    assert seen == [
        ("validating", (0, 0, 0)),
        ("in_progress", (10, 0, 0)),
        ("in_progress", (10, 3, 0)),
        ("finalizing", (10, 10, 0)),
        ("finalizing", (10, 10, 0)),
        ("completed", (10, 10, 0)),
    ]
    assert (batch.in_progress_at, batch.finalizing_at) == (created + 20, created + 120)
    assert (batch.completed_at, batch.failed_at) == (created + 125, None)
    assert batch.model == "gpt-5-mini-2025-08-07"
    assert batch.error_file_id is None
    lines = await simulation.lines(batch.output_file_id)
    assert {line["custom_id"] for line in lines} == {f"r{number}" for number in range(10)}
    usages = [line["response"]["body"]["usage"] for line in lines]
    assert batch.usage is not None
    assert batch.usage.input_tokens == sum(usage["prompt_tokens"] for usage in usages) > 0
    assert batch.usage.total_tokens == sum(usage["total_tokens"] for usage in usages)


async def test_every_key_is_sent(simulation: Simulation) -> None:
    batch = await simulation.submit(*TEN)
    for seconds in (0, 30, 1_000):
        simulation.clock.advance(seconds)
        raw = await simulation.client.batches.with_raw_response.retrieve(batch.id)
        assert raw.http_response.json().keys() == KEYS
        assert raw.headers["x-request-id"]


async def test_a_clock_that_jumps_sees_what_would_have_happened(simulation: Simulation) -> None:
    batch = await simulation.after(200_000, await simulation.submit(*TEN))
    assert (batch.status, batch.completed_at) == ("completed", int(START) + 125)


async def test_results_are_files_of_their_own(simulation: Simulation) -> None:
    batch = await simulation.submit(
        *TEN, output_expires_after={"anchor": "created_at", "seconds": 3_600}
    )
    batch = await simulation.after(200, batch)
    assert batch.output_file_id is not None
    file = await simulation.client.files.retrieve(batch.output_file_id)
    assert (file.purpose, file.filename) == ("batch_output", f"{batch.id}_output.jsonl")
    assert file.created_at == batch.completed_at
    assert file.expires_at == file.created_at + 3_600
    content = await simulation.client.files.content(file.id)
    assert len(content.content) == file.bytes
    assert (await simulation.client.files.delete(file.id)).deleted


async def test_a_running_batch_does_not_need_its_input_file(simulation: Simulation) -> None:
    batch = await simulation.after(50, await simulation.submit(*TEN))
    await simulation.client.files.delete(batch.input_file_id)
    assert counts(await simulation.after(100, batch)) == (10, 10, 0)
    assert not list(simulation.engine.database.files.glob("*.input"))


@pytest.mark.parametrize(
    ("change", "message", "code", "param"),
    [
        ({"input_file_id": None}, "Missing required parameter: 'input_file_id'.",
         "missing_required_parameter", "input_file_id"),
        ({"endpoint": "/v1/invalid/endpoint"},
         ("Invalid value: '/v1/invalid/endpoint'. Supported values are: '/v1/chat/completions', "
         "'/v1/responses', '/v1/embeddings', '/v1/completions', '/v1/moderations', "
         "'/v1/images/generations', '/v1/images/edits', '/v1/videos'."),
         "invalid_value", "endpoint"),
        ({"endpoint": "/v1/moderations"}, None, "unsupported_value", "endpoint"),
        ({"completion_window": "48h"}, "Invalid value: '48h'. Supported values are: '24h'.",
         "invalid_value", "completion_window"),
        ({"metadata": {"tags": ["a"]}},
         "Invalid type for 'metadata.tags': expected a string, but got an array instead.",
         "invalid_type", "metadata.tags"),
        ({"metadata": "a"},
         "Invalid type for 'metadata': expected an object, but got a string instead.",
         "invalid_type", "metadata"),
        ({"metadata": {str(n): "" for n in range(17)}}, None, "object_above_max_properties",
         "metadata"),
        ({"metadata": {"k" * 65: ""}}, None, "property_name_above_max_length", "metadata"),
        ({"metadata": {"k": "v" * 513}}, None, "string_above_max_length", "metadata.k"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 10}}, None,
         "integer_below_min_value", "output_expires_after.seconds"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": "3600"}},
         None, "invalid_type", "output_expires_after.seconds"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 3600.0}},
         None, "invalid_type", "output_expires_after.seconds"),
        ({"output_expires_after": {"anchor": "completed_at", "seconds": 3600}}, None,
         "invalid_value", "output_expires_after.anchor"),
        ({"priority": "high"}, "Unknown parameter: 'priority'.", "unknown_parameter", "priority"),
    ],
)  # fmt: skip
async def test_create_is_refused(
    simulation: Simulation, change: dict[str, Any], message: str | None, code: str, param: str
) -> None:
    body = {"input_file_id": "file-1", "endpoint": ENDPOINT, "completion_window": "24h", **change}
    with pytest.raises(openai.BadRequestError) as refused:
        await simulation.client.post("/batches", body=body, cast_to=object)
    error: Any = refused.value.body
    assert (error["code"], error["param"]) == (code, param)
    assert error["type"] == "invalid_request_error"
    assert message in {None, error["message"]}


async def test_metadata_within_the_limits_is_kept(simulation: Simulation) -> None:
    metadata = {"k" * 64: "v" * 512, **{str(number): "" for number in range(15)}}
    assert (await simulation.submit(*TEN, metadata=metadata)).metadata == metadata


async def test_batches_are_listed_newest_first(simulation: Simulation) -> None:
    client = simulation.client
    assert (await client.batches.list()).data == []
    ids = [(await simulation.create("file-none")).id for _ in range(5)]
    assert [batch.id async for batch in client.batches.list(limit=2)] == ids[::-1]
    page = await client.batches.list(limit=2)
    assert (page.has_more, [batch.id for batch in page.data]) == (True, ids[:2:-1])
    # What is created between two pages does not move the second one.
    await simulation.create("file-none")
    page = await client.batches.list(limit=3, after=ids[3])
    assert (page.has_more, [batch.id for batch in page.data]) == (False, ids[2::-1])
    with pytest.raises(openai.NotFoundError):
        await client.batches.list(after="batch_unknown")


@pytest.mark.parametrize(
    ("limit", "message", "code"),
    [
        (101, ("Invalid 'limit': integer above maximum value. Expected a value <= 100, but got 101 "
              "instead."), "integer_above_max_value"),
        (-1, ("Invalid 'limit': integer below minimum value. Expected a value >= 0, but got -1 "
             "instead."), "integer_below_min_value"),
    ],
)  # fmt: skip
async def test_a_limit_out_of_bounds_is_refused(
    simulation: Simulation, limit: int, message: str, code: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await simulation.client.batches.list(limit=limit)
    assert refused.value.body == {
        "message": message,
        "type": "invalid_request_error",
        "param": "limit",
        "code": code,
    }


async def test_limits_at_their_bounds_are_accepted(simulation: Simulation) -> None:
    await simulation.create("file-none")
    empty = await simulation.client.batches.with_raw_response.list(limit=0)
    assert empty.http_response.json() == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": True,
    }
    for limit in (1, 100):
        assert len((await simulation.client.batches.list(limit=limit)).data) == 1


async def test_a_cancelled_batch_keeps_what_ran(simulation: Simulation) -> None:
    batch = await simulation.after(60, await simulation.submit(*TEN))
    batch = await simulation.client.batches.cancel(batch.id)
    assert (batch.status, batch.cancelling_at) == ("cancelling", int(START) + 60)
    batch = await simulation.after(59, batch)
    assert (batch.status, batch.output_file_id) == ("cancelling", None)
    batch = await simulation.after(1, batch)
    assert (batch.status, batch.cancelled_at) == ("cancelled", int(START) + 120)
    assert counts(batch) == (10, 4, 0)
    assert len(await simulation.lines(batch.output_file_id)) == 4
    errors = await simulation.lines(batch.error_file_id)
    assert len(errors) == 6
    assert errors[0]["response"] is None
    assert errors[0]["error"] == {
        "code": "batch_cancelled",
        "message": "This request was cancelled before it could be executed.",
    }
    assert await simulation.client.batches.cancel(batch.id) == batch


@pytest.mark.parametrize("seconds", [5, 122])
async def test_a_batch_is_cancelled_early_or_late(simulation: Simulation, seconds: int) -> None:
    batch = await simulation.after(seconds, await simulation.submit(*TEN))
    await simulation.client.batches.cancel(batch.id)
    batch = await simulation.after(60, batch)
    done = 10 if seconds > 20 else 0
    assert (batch.status, counts(batch)) == ("cancelled", (done, done, 0))
    assert len(await simulation.lines(batch.output_file_id)) == done


async def test_what_ended_cannot_be_cancelled(simulation: Simulation) -> None:
    done = await simulation.finish(*TEN)
    failed = await simulation.after(20, await simulation.create("file-none"))
    for batch in (done, failed):
        with pytest.raises(openai.ConflictError) as refused:
            await simulation.client.batches.cancel(batch.id)
        assert refused.value.body == {
            "message": f"Cannot cancel a batch with status '{batch.status}'.",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        }


async def test_an_unknown_batch_is_not_found(simulation: Simulation) -> None:
    for call in (simulation.client.batches.retrieve, simulation.client.batches.cancel):
        with pytest.raises(openai.NotFoundError) as refused:
            await call("batch_unknown")
        assert refused.value.type == "invalid_request_error"


async def test_a_batch_expires(start: Callable[..., Simulation]) -> None:
    simulation = start(pace=replace(PACE, in_progress=200_000))
    batch = await simulation.after(86_399, await simulation.submit(*TEN))
    assert (batch.status, counts(batch)) == ("in_progress", (10, 4, 0))
    batch = await simulation.after(1, batch)
    assert (batch.status, batch.finalizing_at) == ("finalizing", batch.expires_at)
    batch = await simulation.after(5, batch)
    assert (batch.status, batch.expired_at) == ("expired", int(START) + 86_405)
    assert (batch.completed_at, counts(batch)) == (None, (10, 4, 0))
    assert len(await simulation.lines(batch.output_file_id)) == 4
    codes = [line["error"]["code"] for line in await simulation.lines(batch.error_file_id)]
    assert codes == ["batch_expired"] * 6


async def test_enqueued_tokens_are_limited(start: Callable[..., Simulation]) -> None:
    simulation = start(enqueued_token_limit={"gpt-5-mini": 150})
    long = request_line("a", "word " * 80)
    other = request_line("a", "word " * 80, model="gpt-5-nano")
    first = await simulation.after(20, await simulation.submit(long))
    assert first.status == "in_progress"
    second = await simulation.after(20, await simulation.submit(long))
    assert second.status == "failed"
    assert second.errors is not None
    assert second.errors.data is not None
    (error,) = second.errors.data
    assert (error.code, error.line, error.param) == ("token_limit_exceeded", None, None)
    assert error.message == (
        "Enqueued token limit reached for gpt-5-mini in organization org-simulated. Limit: 150 "
        "enqueued tokens. Please try again once some in_progress batches have been completed."
    )
    assert (await simulation.after(20, await simulation.submit(other))).status == "in_progress"
    # The counter drops when a batch ends.
    await simulation.after(500, first)
    assert (await simulation.after(20, await simulation.submit(long))).status == "in_progress"


async def test_other_calls_are_refused_in_the_envelope(simulation: Simulation) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        await simulation.client.get("/threads", cast_to=object)
    assert unknown.value.body == {
        "message": "Invalid URL (GET /v1/threads)",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
    with pytest.raises(openai.APIStatusError) as refused:
        await simulation.client.delete("/batches", cast_to=object)
    assert refused.value.status_code == 405
    for content in (b"{", b"[]"):
        answer = await simulation.client._client.post(
            "http://simulator/v1/batches", content=content
        )
        assert (answer.status_code, answer.json()["error"]["type"]) == (
            400,
            "invalid_request_error",
        )


async def test_a_mistake_of_ours_is_a_500(simulation: Simulation) -> None:
    simulation.engine.close()
    app = create_app(simulation.engine.database.files.parent, clock=simulation.clock)
    app.state.engine.close()
    async with httpx2.AsyncClient(transport=AppTransport(app), headers=KEY) as client:
        request = client.build_request("GET", "http://simulator/v1/batches")
        response = await client.send(request, stream=True)
        assert response.status_code == 500
        assert response.headers["x-request-id"]
        with pytest.raises(sqlite3.ProgrammingError):
            await response.aread()


async def test_no_more_batches_an_hour_than_allowed(start: Callable[..., Simulation]) -> None:
    simulation = start(creates_per_hour=2)
    file_id = await simulation.upload(request_line("a"))
    await simulation.create(file_id)
    simulation.clock.advance(1_000)
    await simulation.create(file_id)
    simulation.clock.advance(600.5)
    with pytest.raises(openai.RateLimitError) as refused:
        await simulation.create(file_id)
    assert refused.value.code == "rate_limit_exceeded"
    assert refused.value.response.headers["retry-after"] == "2000"
    assert len([batch async for batch in simulation.client.batches.list()]) == 2
    simulation.clock.advance(1_999)
    with pytest.raises(openai.RateLimitError):
        await simulation.create(file_id)
    simulation.clock.advance(1)
    await simulation.create(file_id)
    with pytest.raises(openai.RateLimitError):
        await simulation.create(file_id)
    simulation = start(creates_per_hour=None)
    for _ in range(3):
        await simulation.create(file_id)
