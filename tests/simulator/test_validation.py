import json
from collections.abc import Callable
from typing import Any

import pytest
from openai.types import BatchError

from batchspec.simulator.jobs import validation

from .conftest import Simulation, request_line

pytestmark = pytest.mark.anyio
GOOD = request_line("good")


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in request_line("a").items() if key != name}


def with_body(**body: Any) -> dict[str, Any]:
    line = request_line("a", **body)
    line["body"] = {key: value for key, value in line["body"].items() if value is not ...}
    return line


async def errors_of(simulation: Simulation, *lines: object) -> list[BatchError]:
    batch = await simulation.after(20, await simulation.submit(*lines))
    assert (batch.status, batch.failed_at) == ("failed", batch.created_at + 20)
    assert batch.in_progress_at is None
    assert (batch.output_file_id, batch.error_file_id) == (None, None)
    assert batch.request_counts is not None
    assert batch.request_counts.total == 0
    assert batch.errors is not None
    assert batch.errors.object == "list"
    return batch.errors.data or []


@pytest.mark.parametrize(
    ("line", "code", "message", "param"),
    [
        (b"{broken", "invalid_json_line", "This line is not parseable as valid JSON.", None),
        (b'{"a":"\xff"}', "invalid_json_line", "This line is not parseable as valid JSON.", None),
        (b"[1]", "invalid_json_line", "This line is not parseable as valid JSON.", None),
        (b'{"a":NaN}', "invalid_json_line", "This line is not parseable as valid JSON.", None),
        *(
            (without(name), "missing_required_parameter",
             f"Missing required parameter: '{name}'.", name)
            for name in ("custom_id", "method", "url", "body")
        ),
        (with_body(messages=...), "missing_required_parameter",
         "Missing required parameter: 'messages'.", "body.messages"),
        (with_body(model=...), "invalid_request", "Model parameter is required.", "body.model"),
        (request_line("a") | {"url": "/v1/embeddings"}, "invalid_url",
         "The URL provided for this request does not match the batch endpoint.", "url"),
        (request_line("a") | {"method": "GET"}, "invalid_method",
         "Invalid value: 'GET'. Supported values are: 'POST'.", "method"),
        (with_body(stream=True), "streaming_unsupported",
         "Chat Completions: Streaming is not supported in the Batch API.", "body.stream"),
        (with_body(model="gpt-5-nano"), "mismatched_model",
         ("The model 'gpt-5-nano' for this request does not match the rest of the batch. "
         "Each batch must contain requests for a single model."), "body.model"),
        (with_body(model="gpt-none"), "model_not_found",
         "The provided model 'gpt-none' is not supported by the Batch API.", "body.model"),
        (with_body(model=3), "invalid_type",
         "Invalid type for 'body.model': expected a string, but got an integer instead.",
         "body.model"),
        (request_line("good"), "duplicate_custom_id",
         ("The custom_id 'good' for this request is a duplicate of another request. The custom_id "
         "parameter must be unique for each request in a batch."), "custom_id"),
        (request_line("a") | {"custom_id": 7}, "invalid_type",
         "Invalid type for 'custom_id': expected a string, but got an integer instead.",
         "custom_id"),
        (request_line("a") | {"body": "x"}, "invalid_type",
         "Invalid type for 'body': expected an object, but got a string instead.", "body"),
    ],
)  # fmt: skip
async def test_one_bad_line_fails_the_batch(
    start: Callable[..., Simulation], line: object, code: str, message: str, param: str | None
) -> None:
    simulation = start(models=["gpt-5-mini", "gpt-5-nano"])
    (error,) = await errors_of(simulation, GOOD, line)
    assert error.model_dump() == {"code": code, "message": message, "param": param, "line": 2}


async def test_everything_wrong_is_said_at_once(simulation: Simulation) -> None:
    errors = await errors_of(simulation, GOOD, without("method"), b"", {}, GOOD)
    assert [(error.line, error.param) for error in errors] == [
        (2, "method"),
        (4, "custom_id"),
        (4, "method"),
        (4, "url"),
        (4, "body"),
        (5, "custom_id"),
    ]


async def test_no_more_lines_than_allowed(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "MAX_LINES", 3)
    (error,) = await errors_of(simulation, *(request_line(str(number)) for number in range(4)))
    assert (error.code, error.line, error.param) == ("too_many_tasks", None, None)
    batch = await simulation.submit(*(request_line(str(number)) for number in range(3)))
    assert (await simulation.after(20, batch)).status == "in_progress"


async def test_the_list_of_errors_is_bounded(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "MAX_ERRORS", 3)
    assert len(await errors_of(simulation, GOOD, *([GOOD] * 9))) == 3


async def test_a_missing_file_fails_the_batch_not_the_call(simulation: Simulation) -> None:
    batch = await simulation.after(20, await simulation.create("file-none"))
    assert batch.status == "failed"
    assert batch.errors is not None
    assert batch.errors.data is not None
    assert batch.errors.data[0].model_dump() == {
        "code": "invalid_request",
        "message": "Cannot find file file-none, or organization org-simulated does not have "
        "access to it.",
        "param": "file_id",
        "line": None,
    }


async def test_a_file_of_another_purpose_is_no_input(simulation: Simulation) -> None:
    file = await simulation.client.files.create(file=("in.jsonl", b"{}"), purpose="user_data")
    batch = await simulation.after(20, await simulation.create(file.id))
    assert batch.status == "failed"


async def test_blank_lines_and_a_missing_last_newline_do_no_harm(simulation: Simulation) -> None:
    batch = await simulation.finish(request_line("a"), b"", b"  ", request_line("b"))
    assert batch.request_counts is not None
    assert batch.request_counts.completed == 2


async def test_separators_inside_strings_do_not_cut_lines(simulation: Simulation) -> None:
    line = json.dumps(request_line("a\u2028b", "a\u0085\u2029"), ensure_ascii=False)
    batch = await simulation.finish(line.encode())
    (result,) = await simulation.lines(batch.output_file_id)
    assert result["custom_id"] == "a\u2028b"
