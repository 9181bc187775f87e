from collections.abc import Callable
from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from batchspec.simulator import CallableModel, HTTPFailure

from .conftest import Simulation, request_line

pytestmark = pytest.mark.anyio
TOOL = {
    "type": "function",
    "function": {"name": "look", "parameters": {"type": "object", "properties": {}}},
}
CALLS = [{"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]
OPEN = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
CLOSED = {**OPEN, "additionalProperties": False}


def strict(schema: Any) -> dict[str, Any]:
    wrapper = {"name": "City", "strict": True, "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": wrapper}}


async def test_a_success_has_the_shape_of_the_service(simulation: Simulation) -> None:
    batch = await simulation.finish(request_line("a"))
    (line,) = await simulation.lines(batch.output_file_id)
    assert line.keys() == {"id", "custom_id", "response", "error"}
    assert line["error"] is None
    assert len(line["id"]) == len("batch_req_") + 32
    assert line["response"].keys() == {"status_code", "request_id", "body"}
    body = line["response"]["body"]
    ChatCompletion.model_validate(body, strict=True)
    assert body.keys() == {
        "id", "object", "created", "model", "choices", "usage", "service_tier",
        "system_fingerprint",
    }  # fmt: skip
    assert body["choices"][0].keys() == {"index", "message", "logprobs", "finish_reason"}
    assert body["choices"][0]["message"].keys() == {"role", "content", "refusal", "annotations"}


@pytest.mark.parametrize(
    ("body", "param", "code", "message"),
    [
        (strict(OPEN), "response_format", None,
         ("Invalid schema for response_format 'City': In context=(), 'additionalProperties' is "
         "required to be supplied and to be false.")),
        (strict({**CLOSED, "required": []}), "response_format", None,
         ("Invalid schema for response_format 'City': In context=(), 'required' is required to be "
         "supplied and to be an array including every key in properties. Missing 'a'.")),
        (strict({**CLOSED, "properties": {"a": {"type": "array", "items": OPEN}}}),
         "response_format", None,
         ("Invalid schema for response_format 'City': In context=('properties', 'a', 'items'), "
         "'additionalProperties' is required to be supplied and to be false.")),
        (strict({**CLOSED, "properties": {"a": {"type": "array", "uniqueItems": True,
                                                "items": {"type": "string"}}}}),
         "response_format", None, None),
        (strict({**CLOSED, "$defs": {"B": {"oneOf": []}}}), "response_format", None, None),
        (strict({**CLOSED, "properties": {"a": {"type": "array"}}}), "response_format", None, None),
        (strict({**CLOSED, "properties": {"a": {"type": "string", "format": "uri"}}}),
         "response_format", None, None),
        (strict({"type": "string"}), "response_format", None, None),
        (strict({**CLOSED, "anyOf": [CLOSED]}), "response_format", None, None),
        ({"tools": [{"type": "function", "function": {"name": "f", "strict": True,
                                                      "parameters": OPEN}}]},
         "tools[0].function.parameters", "invalid_function_parameters", None),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]},
         "tools[0].function.name", "invalid_value", None),
        ({"tools": [{"type": "webhook"}]}, "tools[0].type", "invalid_value", None),
        ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value", None),
        ({"response_format": {"type": "json_object"}}, "messages", None,
         ("'messages' must contain the word 'json' in some form, to use 'response_format' of type "
         "'json_object'.")),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema",
         "missing_required_parameter", None),
        ({"temperatur": 1}, "temperatur", "unknown_parameter", "Unknown parameter: 'temperatur'."),
        ({"temperature": "hot"}, "temperature", "invalid_type",
         "Invalid type for 'temperature': expected a decimal, but got a string instead."),
        ({"n": True}, "n", "invalid_type", None),
        ({"temperature": 0.7}, "temperature", "unsupported_value",
         ("Unsupported value: 'temperature' does not support 0.7 with this model. Only the default "
         "(1) value is supported.")),
        ({"max_tokens": 9}, "max_tokens", "unsupported_parameter",
         ("Unsupported parameter: 'max_tokens' is not supported with this model. Use "
         "'max_completion_tokens' instead.")),
        ({"stop": "."}, "stop", "unsupported_parameter",
         "Unsupported parameter: 'stop' is not supported with this model."),
        ({"model": "o4-mini-2025-04-16", "top_p": 0.5}, "top_p", "unsupported_parameter", None),
        ({"stop": ["a"] * 5, "model": "gpt-4o"}, "stop", "array_above_max_length", None),
        ({"stop": [3], "model": "gpt-4o"}, "stop[0]", "invalid_type", None),
        ({"logprobs": True}, "logprobs", "unsupported_parameter",
         "The simulator does not support 'logprobs': it computes no probabilities."),
        ({"functions": [{"name": "f"}]}, "functions", "unsupported_parameter", None),
        ({"modalities": ["text", "audio"]}, "modalities", "unsupported_parameter", None),
        ({"temperature": 2.5}, "temperature", "decimal_above_max_value",
         ("Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 2.5 "
         "instead.")),
        ({"max_completion_tokens": 0}, "max_completion_tokens", "integer_below_min_value", None),
        ({"tool_choice": "required"}, "tool_choice", None, None),
        ({"tool_choice": "perhaps", "tools": [TOOL]}, "tool_choice", "invalid_value", None),
        ({"tool_choice": {"type": "function", "function": {"name": "x"}}, "tools": [TOOL]},
         "tool_choice", None, None),
        ({"messages": []}, "messages", "empty_array", None),
        ({"messages": ["a"]}, "messages[0]", "invalid_type", None),
        ({"messages": [{"content": "a"}]}, "messages[0].role", "missing_required_parameter", None),
        ({"messages": [{"role": "boss", "content": "a"}]}, "messages[0].role", "invalid_value",
         None),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content", "invalid_type",
         None),
        ({"messages": [{"role": "assistant", "tool_calls": CALLS},
                       {"role": "user", "content": "go on"}]}, "messages", None,
         ("An assistant message with 'tool_calls' must be followed by tool messages responding to "
          "each 'tool_call_id'. The following tool_call_ids did not have response messages: "
          "call_1")),
        ({"messages": [{"role": "tool", "tool_call_id": "call_1", "content": "x"}]},
         "messages.[0].role", None, None),
    ],
)  # fmt: skip
async def test_a_bad_request_is_a_line_of_the_error_file(
    simulation: Simulation, body: dict[str, Any], param: str, code: str | None, message: str | None
) -> None:
    other = request_line("b", model=body.get("model", "gpt-5-mini"))
    batch = await simulation.finish(request_line("a", **body), other)
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (1, 1)
    (line,) = await simulation.lines(batch.error_file_id)
    assert (line["custom_id"], line["error"]) == ("a", None)
    assert line["response"]["status_code"] == 400
    error = line["response"]["body"]["error"]
    assert (error["param"], error["code"]) == (param, code)
    assert error["type"] == "invalid_request_error"
    assert message in {None, error["message"]}


@pytest.mark.parametrize(
    "body",
    [
        strict(CLOSED),
        strict({**CLOSED, "properties": {"a": {"$ref": "#/$defs/B"}}, "$defs": {"B": CLOSED}}),
        strict({**CLOSED, "properties": {"a": {"type": ["string", "null"], "format": "date"}}}),
        {"temperature": None, "max_completion_tokens": 5, "tools": [TOOL], "tool_choice": "auto"},
        {"temperature": 1.0, "top_p": 1, "presence_penalty": 0, "logprobs": False, "stop": None},
        {"model": "gpt-4o", "temperature": 0.7, "max_tokens": 9, "stop": ["a", "b"], "n": 3},
        {"model": "gpt-5.4", "temperature": 0.2, "modalities": ["text"]},
        {"response_format": {"type": "json_object"}, "user": "json"},
    ],
)
async def test_a_good_request_is_answered(simulation: Simulation, body: dict[str, Any]) -> None:
    batch = await simulation.finish(request_line("a", "Say it in JSON", **body))
    assert len(await simulation.lines(batch.output_file_id)) == 1


async def test_half_a_surrogate_pair_spoils_no_other_line(
    start: Callable[..., Simulation],
) -> None:
    """It is sent as the escape that JSON has for it."""
    simulation = start(model=CallableModel(lambda body: "\ud800"))
    batch = await simulation.finish(request_line("a"), request_line("b"))
    found = await simulation.lines(batch.output_file_id)
    assert [line["response"]["body"]["choices"][0]["message"]["content"] for line in found] == [
        "\ud800",
        "\ud800",
    ]


async def test_a_batch_completes_even_if_every_request_failed(simulation: Simulation) -> None:
    batch = await simulation.finish(*(request_line(str(n), bad=1) for n in range(9)))
    assert (batch.status, batch.output_file_id) == ("completed", None)
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (0, 9)
    assert batch.usage is not None
    assert batch.usage.total_tokens == 0
    assert len(await simulation.lines(batch.error_file_id)) == 9


async def test_what_the_model_raises_is_the_line_s_status(
    start: Callable[..., Simulation],
) -> None:
    def answer(_: dict[str, Any]) -> str:
        raise HTTPFailure(429, "Slow down.", code="rate_limit_exceeded", kind="requests")

    simulation = start(model=CallableModel(answer))
    batch = await simulation.finish(request_line("a"))
    (line,) = await simulation.lines(batch.error_file_id)
    assert line["response"]["status_code"] == 429
    assert line["response"]["body"] == {
        "error": {
            "message": "Slow down.",
            "type": "requests",
            "param": None,
            "code": "rate_limit_exceeded",
        }
    }


async def test_a_schema_that_is_none_does_not_stop_the_batch(simulation: Simulation) -> None:
    wrapper = {"name": "Odd", "schema": {"type": "object", "properties": 3}}
    odd = {"response_format": {"type": "json_schema", "json_schema": wrapper}}
    batch = await simulation.finish(request_line("a", **odd), request_line("b"))
    assert batch.status == "completed"
    (line,) = await simulation.lines(batch.error_file_id)
    assert line["response"]["status_code"] == 500
    assert line["response"]["body"]["error"]["type"] == "server_error"


@pytest.mark.parametrize("shuffle", [True, False])
async def test_the_order_of_results_is_not_that_of_requests(
    start: Callable[..., Simulation], *, shuffle: bool
) -> None:
    simulation = start(shuffle=shuffle)
    ids = [str(number) for number in range(50)]
    first = await simulation.finish(*map(request_line, ids))
    second = await simulation.finish(*map(request_line, ids))
    orders = [
        [line["custom_id"] for line in await simulation.lines(batch.output_file_id)]
        for batch in (first, second)
    ]
    assert sorted(orders[0]) == sorted(ids)
    assert (orders[0] == ids) is not shuffle
    assert orders[0] == orders[1]


async def test_live_answers_are_those_of_batches(simulation: Simulation) -> None:
    batch = await simulation.finish(request_line("a", "What is a glacier?"))
    (line,) = await simulation.lines(batch.output_file_id)
    live = await simulation.client.chat.completions.create(
        model="gpt-5-mini", messages=[{"role": "user", "content": "What is a glacier?"}]
    )
    assert (
        live.choices[0].message.content
        == (line["response"]["body"]["choices"][0]["message"]["content"])
    )
    assert "glacier" in (live.choices[0].message.content or "")


async def test_models_are_listed(start: Callable[..., Simulation]) -> None:
    simulation = start()
    names = {model.id async for model in simulation.client.models.list()}
    assert "gpt-5-mini" in names
    assert (await simulation.client.models.retrieve("org/any")).id == "org/any"


async def test_several_choices_are_several_answers(simulation: Simulation) -> None:
    body = (await simulation.answers(request_line("a", n=5)))["a"]
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2, 3, 4]
    assert len({choice["message"]["content"] for choice in body["choices"]}) > 2
    one = (await simulation.answers(request_line("a")))["a"]
    assert one["usage"]["prompt_tokens"] == body["usage"]["prompt_tokens"]
    assert body["usage"]["completion_tokens"] > one["usage"]["completion_tokens"]
