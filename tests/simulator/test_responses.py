"""`/v1/responses`, live and in batches."""

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import openai
import pytest
from openai.lib import pydantic_responses_function_tool
from openai.types.responses import Response
from pydantic import BaseModel

from batchspec.simulator import Answer, CallableModel, Replay, ToolCall

from .conftest import Scripted, Simulation, response_line
from .strictly import conforms, has_id

pytestmark = pytest.mark.anyio
Body = dict[str, Any]
OPEN = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
CLOSED = {**OPEN, "additionalProperties": False}
TOOL = {"type": "function", "name": "look", "parameters": CLOSED, "strict": True}
CALL = {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "84"}
NOT_FOUND = (
    "Item with id '{}' not found. Items are not persisted when `store` is set to false. "
    "Try again with `store` set to true, or remove this item from your input."
)
ASK = {"role": "user", "content": "Look it up"}


def schema(value: Body, *, strict: bool = True) -> Body:
    return {"format": {"type": "json_schema", "name": "City", "schema": value, "strict": strict}}


async def test_a_text_is_a_message_after_a_thought(simulation: Simulation) -> None:
    body = (await simulation.answers(response_line("a")))["a"]
    conforms(Response, body)
    assert has_id("resp_", 48, body["id"])
    thought, message = body["output"]
    assert thought.keys() == {"id", "type", "summary", "encrypted_content"}
    assert has_id("rs_", 50, thought["id"])
    assert has_id("msg_", 50, message["id"])
    assert message["content"][0]["type"] == "output_text"
    assert (body["status"], body["model"]) == ("completed", "gpt-5-mini-2025-08-07")
    usage = body["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert 0 < usage["output_tokens"] - usage["output_tokens_details"]["reasoning_tokens"] < 200


async def test_models_that_do_not_reason_have_no_thoughts(simulation: Simulation) -> None:
    body = (await simulation.answers(response_line("a", model="gpt-4.1-mini")))["a"]
    conforms(Response, body)
    assert [item["type"] for item in body["output"]] == ["message"]
    assert body["usage"]["output_tokens_details"]["reasoning_tokens"] == 0


async def test_a_conversation_with_tools_comes_to_an_end(simulation: Simulation) -> None:
    items: list[Body] = [ASK]
    kinds: list[str] = []
    while "message" not in kinds:
        line = response_line(f"t{len(items)}", items, tools=[TOOL])
        body = (await simulation.answers(line))[line["custom_id"]]
        conforms(Response, body)
        kinds = [item["type"] for item in body["output"]]
        calls = [item for item in body["output"] if item["type"] == "function_call"]
        for call in calls:
            assert has_id("fc_", 50, call["id"])
            jsonschema.validate(json.loads(call["arguments"]), CLOSED)
        items += body["output"]
        items += [{**OUTPUT, "call_id": call["call_id"]} for call in calls]
    assert len(items) >= 5
    assert "84" in body["output"][-1]["content"][0]["text"]


async def test_both_endpoints_ask_in_the_same_words(start: Callable[..., Simulation]) -> None:
    model = Scripted(Answer(content="{}"))
    simulation = start(model=model)
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "Look"},
                                     {"type": "input_image", "image_url": "data:x"}]},
        {"type": "message", "role": "assistant",
         "content": [{"type": "output_text", "text": "I do"}]},
        CALL,
        {**CALL, "call_id": "call_2"},
        OUTPUT,
        {**OUTPUT, "call_id": "call_2", "output": [{"type": "input_text", "text": "85"}]},
    ]  # fmt: skip
    await simulation.answers(
        response_line(
            "a", items, instructions="Be brief.", tools=[TOOL], max_output_tokens=90,
            tool_choice={"type": "function", "name": "look"}, reasoning={"effort": "low"},
            temperature=0.5, text=schema(CLOSED), model="gpt-5.4-mini",
        )
    )  # fmt: skip
    (question,) = model.asked
    function = {"name": "look", "arguments": "{}"}
    assert question.endpoint == "/v1/responses"
    assert question.chat == {
        "model": "gpt-5.4-mini",
        "temperature": 0.5,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look"},
                    {"type": "image_url", "image_url": {"url": "data:x"}},
                ],
            },
            {
                "role": "assistant",
                "content": "I do",
                "tool_calls": [
                    {"id": "call_1", "type": "function", "function": function},
                    {"id": "call_2", "type": "function", "function": function},
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "84"},
            {"role": "tool", "tool_call_id": "call_2", "content": "85"},
        ],
        "max_completion_tokens": 90,
        "reasoning_effort": "low",
        "tools": [
            {
                "type": "function",
                "function": {"name": "look", "parameters": CLOSED, "strict": True},
            }
        ],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "City", "schema": CLOSED, "strict": True},
        },
    }


async def test_a_function_sees_what_was_sent(start: Callable[..., Simulation]) -> None:
    simulation = start(model=CallableModel(lambda body: body["input"].upper()))
    body = (await simulation.answers(response_line("a", "hello")))["a"]
    assert body["output"][-1]["content"][0]["text"] == "HELLO"


@pytest.mark.parametrize(
    ("answer", "status", "reason", "kinds"),
    [
        (Answer(refusal="No."), "completed", None, ["reasoning", "message"]),
        (
            Answer(content="{", finish_reason="length"),
            "incomplete",
            "max_output_tokens",
            ["reasoning", "message"],
        ),
        (Answer(finish_reason="length"), "incomplete", "max_output_tokens", ["reasoning"]),
        (Answer(finish_reason="content_filter"), "incomplete", "content_filter", ["reasoning"]),
        (Answer(error={"code": "server_error", "message": "It failed."}), "failed", None, []),
        (
            Answer(tool_calls=[ToolCall("call_1", "look", "{bad")]),
            "completed",
            None,
            ["reasoning", "function_call"],
        ),
        (
            Answer(content="Wait.", tool_calls=[ToolCall("call_1", "look", "{}")]),
            "completed",
            None,
            ["reasoning", "message", "function_call"],
        ),
        (Answer(content=""), "completed", None, ["reasoning", "message"]),
    ],
)
async def test_every_ending_has_its_status(
    start: Callable[..., Simulation],
    answer: Answer,
    status: str,
    reason: str | None,
    kinds: list[str],
) -> None:
    body = (await start(model=Scripted(answer)).answers(response_line("a")))["a"]
    conforms(Response, body)
    assert (body["status"], [item["type"] for item in body["output"]]) == (status, kinds)
    assert body["incomplete_details"] == (reason and {"reason": reason})
    assert body["error"] == answer.error


async def test_a_long_answer_is_cut_at_the_limit(start: Callable[..., Simulation]) -> None:
    simulation = start(model=Scripted(Answer(content="word " * 100)))
    body = (await simulation.answers(response_line("a", max_output_tokens=16)))["a"]
    assert body["status"] == "incomplete"
    assert body["output"][-1]["status"] == "incomplete"
    assert body["usage"]["output_tokens"] == 16


async def test_thoughts_are_told_when_asked_for(start: Callable[..., Simulation]) -> None:
    simulation = start(model=Scripted(Answer(content="42", reasoning="Six times seven.")))
    silent, loud = response_line("a"), response_line("b", reasoning={"summary": "auto"})
    bodies = await simulation.answers(silent, loud)
    assert bodies["a"]["output"][0]["summary"] == []
    summary = {"type": "summary_text", "text": "Six times seven."}
    assert bodies["b"]["output"][0]["summary"] == [summary]


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"model": None}, "model", "missing_required_parameter"),
        ({"input": None}, "input", "missing_required_parameter"),
        ({"messages": []}, "messages", "unknown_parameter"),
        ({"input": 3}, "input", "invalid_type"),
        ({"input": ["a"]}, "input[0]", "invalid_type"),
        ({"input": [{"role": "boss", "content": "a"}]}, "input[0].role", "invalid_value"),
        ({"input": [{"role": "user"}]}, "input[0].content", "missing_required_parameter"),
        ({"input": [{"type": "song"}]}, "input[0]", "invalid_value"),
        ({"input": [ASK, {**CALL, "arguments": {}}]}, "input[1].arguments", "invalid_type"),
        (
            {"input": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]},
            "input[0].content[0].type",
            "invalid_value",
        ),
        ({"temperature": 3}, "temperature", "decimal_above_max_value"),
        ({"temperature": 0.5}, "temperature", "unsupported_parameter"),
        ({"max_output_tokens": 5}, "max_output_tokens", "integer_below_min_value"),
        ({"truncation": "maybe"}, "truncation", "invalid_value"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort", "invalid_value"),
        ({"include": ["everything"]}, "include[0]", "invalid_value"),
        ({"tools": [{"type": "function", "function": {"name": "a"}}]}, "tools[0].name",
         "missing_required_parameter"),
        ({"tools": [{**TOOL, "parameters": OPEN}]}, "tools[0].parameters",
         "invalid_function_parameters"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "unsupported_parameter"),
        ({"tools": [{"type": "magic"}]}, "tools[0].type", "invalid_value"),
        ({"tool_choice": "required"}, "tool_choice", None),
        ({"tool_choice": {"type": "function", "name": "x"}, "tools": [TOOL]}, "tool_choice", None),
        ({"text": schema(OPEN)}, "text.format.schema", "invalid_json_schema"),
        ({"text": {"format": {"type": "json_schema", "name": "A"}}}, "text.format.schema",
         "missing_required_parameter"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", "invalid_value"),
        ({"text": {"format": {"type": "json_object"}}}, "input", None),
        ({"background": True}, "background", "unsupported_parameter"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt", "unsupported_parameter"),
        ({"previous_response_id": "resp_none"}, "previous_response_id",
         "previous_response_not_found"),
    ],
)  # fmt: skip
async def test_a_bad_request_is_refused(
    simulation: Simulation, body: Body, param: str, code: str | None
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await simulation.client.post(
            "/responses", cast_to=object, body=response_line("a")["body"] | body
        )
    error = refused.value.body
    assert isinstance(error, dict)
    assert (error["param"], error["code"]) == (param, code)
    assert error["type"] == "invalid_request_error"
    if body.get("model", "") is None or body.get("input", "") is None:
        return
    line = response_line("a")
    line["body"] |= body
    assert (await simulation.answers(line))["a"]["error"] == error


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([ASK, CALL], "No tool output found for function call call_1."),
        ([ASK, OUTPUT], "No tool call found for function call output with call_id call_1."),
        (
            [ASK, {"type": "reasoning", "id": "rs_1", "summary": []}, CALL, OUTPUT],
            NOT_FOUND.format("rs_1"),
        ),
        (
            [ASK, {"type": "item_reference", "id": "msg_1"}],
            NOT_FOUND.format("msg_1"),
        ),
    ],
)
async def test_a_conversation_with_holes_is_refused(
    simulation: Simulation, items: list[Body], message: str
) -> None:
    error = (await simulation.answers(response_line("a", items)))["a"]["error"]
    assert error == {
        "message": message,
        "type": "invalid_request_error",
        "param": "input",
        "code": None,
    }


async def first_turn(simulation: Simulation, **body: Any) -> list[Body]:
    """The question, the thought, and one answered call."""
    line = response_line("a", [ASK], tools=[TOOL], parallel_tool_calls=False, **body)
    thought, call = (await simulation.answers(line))["a"]["output"]
    return [ASK, thought, call, {**OUTPUT, "call_id": call["call_id"]}]


def edited(item: Body, **changes: Any) -> Body:
    return {key: value for key, value in (item | changes).items() if value is not None}


async def test_a_follow_up_needs_its_thoughts(simulation: Simulation) -> None:
    ask, thought, call, output = await first_turn(simulation)
    unsealed = edited(thought, encrypted_content=False)
    good = {
        "whole": [ask, thought, call, output],
        "stored": [ask, unsealed, call, output],
        "anonymous": [ask, edited(call, id=None), output],
    }
    lines = [response_line(name, items, tools=[TOOL]) for name, items in good.items()]
    assert all("error" not in b or b["error"] is None
               for b in (await simulation.answers(*lines)).values())  # fmt: skip
    bad = {
        "thoughtless": [ask, call, output],
        "alone": [ask, thought],
        "forged": [ask, edited(thought, encrypted_content="gAAAAABx"), call, output],
    }
    lines = [response_line(name, items, tools=[TOOL]) for name, items in bad.items()]
    errors = {n: b["error"] for n, b in (await simulation.answers(*lines)).items()}
    assert errors["thoughtless"]["message"] == (
        f"Item '{call['id']}' of type 'function_call' was provided without its required "
        f"'reasoning' item: '{thought['id']}'."
    )
    assert errors["alone"]["message"] == (
        f"Item '{thought['id']}' of type 'reasoning' was provided without its required following "
        "item."
    )
    assert errors["forged"]["code"] == "invalid_encrypted_content"


async def test_what_is_not_stored_must_come_sealed(simulation: Simulation) -> None:
    ask, thought, call, output = await first_turn(simulation, store=False)
    unsealed = edited(thought, encrypted_content=False)
    bodies = await simulation.answers(
        response_line("whole", [ask, thought, call, output]),
        response_line("unsealed", [ask, unsealed, call, output]),
    )
    assert bodies["whole"]["error"] is None
    assert bodies["unsealed"]["error"]["message"].startswith(f"Item with id '{thought['id']}'")


async def test_a_live_response_can_be_built_upon(simulation: Simulation) -> None:
    client = simulation.client.responses
    first = await client.create(model="gpt-5-mini", input="Who is Marianne?")
    assert "Marianne" in first.output_text
    assert await client.retrieve(first.id) == first
    with pytest.raises(openai.BadRequestError, match="told at once"):
        await client.retrieve(first.id, stream=True)
    second = await client.create(
        model="gpt-5-mini", input="And her age?", previous_response_id=first.id
    )
    assert second.usage is not None
    assert first.usage is not None
    assert second.usage.input_tokens > first.usage.input_tokens
    items = [item.type async for item in client.input_items.list(second.id, order="asc")]
    assert items == ["message", "reasoning", "message", "message"]
    reference: Any = {"type": "item_reference", "id": first.output[-1].id}
    with pytest.raises(openai.BadRequestError, match="without its required 'reasoning'"):
        await client.create(model="gpt-5-mini", input=[reference])
    await client.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        await client.retrieve(first.id)
    unstored = await client.create(model="gpt-5-mini", input="Who?", store=False)
    with pytest.raises(openai.BadRequestError, match="not found"):
        await client.create(model="gpt-5-mini", input="?", previous_response_id=unstored.id)


class City(BaseModel):
    name: str
    population: int


async def test_the_sdk_parses_what_it_asked_for(simulation: Simulation) -> None:
    response = await simulation.client.responses.parse(
        model="gpt-5-mini", input="Paris?", text_format=City
    )
    assert isinstance(response.output_parsed, City)
    called = await simulation.client.responses.parse(
        model="gpt-5-mini",
        input="Paris?",
        tools=[pydantic_responses_function_tool(City)],
        tool_choice="required",
    )
    (call, *_) = [item for item in called.output if item.type == "function_call"]
    assert isinstance(call.parsed_arguments, City)


async def test_a_recorded_response_is_counted(start: Callable[..., Simulation]) -> None:
    recorded = (await start().answers(response_line("a")))["a"]
    replay = Replay(response={"status_code": 200, "body": recorded})
    simulation = start(model=Scripted(replay))
    batch = await simulation.finish(response_line("b"), endpoint="/v1/responses")
    assert batch.usage is not None
    assert batch.usage.total_tokens == recorded["usage"]["total_tokens"] > 0


async def test_a_stream_is_no_line_of_a_batch(simulation: Simulation) -> None:
    batch = await simulation.finish(response_line("a", stream=True), endpoint="/v1/responses")
    assert batch.errors is not None
    assert batch.errors.data is not None
    (error,) = batch.errors.data
    assert (error.code, error.param) == ("streaming_unsupported", "body.stream")
    assert error.message == "Responses: Streaming is not supported in the Batch API."
