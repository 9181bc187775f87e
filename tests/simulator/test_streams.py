"""Live answers that come bit by bit, read by the SDK and as they are on the wire."""

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai.lib import pydantic_responses_function_tool
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent
from pydantic import BaseModel

from batchspec.simulator import Answer, Replay, ToolCall

from .conftest import Scripted, Simulation
from .strictly import conforms

pytestmark = pytest.mark.anyio
Body = dict[str, Any]
CALLS = [ToolCall("call_1", "look", '{"a": "b c"}'), ToolCall("call_2", "look", "{}")]
ANSWERS = {
    "text": Answer(content="One two,\n  three four.", reasoning="I count to four."),
    "calls": Answer(content="Wait.", tool_calls=CALLS),
    "refusal": Answer(refusal="I will not count."),
    "cut": Answer(content="One tw", finish_reason="length"),
    "filtered": Answer(content="", finish_reason="content_filter"),
}
CHAT = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Count"}]}
RESPONSE = {"model": "gpt-5-mini", "input": "Count", "reasoning": {"summary": "auto"}}


async def events(simulation: Simulation, path: str, body: Body) -> list[tuple[str, str]]:
    """The name and data of each event on the wire."""
    answer = await simulation.client._client.post(
        f"http://simulator/v1{path}",
        json=body | {"stream": True},
    )
    assert answer.headers["content-type"].startswith("text/event-stream")
    *blocks, rest = answer.text.split("\n\n")
    assert rest == ""
    found = []
    for block in blocks:
        name, _, data = block.rpartition("data: ")
        found.append((name.removeprefix("event: ").strip(), data))
    return found


class City(BaseModel):
    name: str
    population: int


@pytest.mark.parametrize("kind", ["text", "calls", "refusal"])
async def test_a_streamed_completion_is_the_whole_one(
    start: Callable[..., Simulation], kind: str
) -> None:
    simulation = start(model=Scripted(ANSWERS[kind]))
    body: Any = CHAT
    client = simulation.client.chat.completions
    whole = await client.create(**body)
    async with client.stream(**body, stream_options={"include_usage": True}) as stream:
        streamed = await stream.get_final_completion()
    expected, got = whole.choices[0].message, streamed.choices[0].message
    assert (got.content or None, got.refusal) == (expected.content or None, expected.refusal)
    assert [
        (call.id, call.function.name, call.function.arguments) for call in got.tool_calls or ()
    ] == [
        (call.id, call.function.name, call.function.arguments)
        for call in expected.tool_calls or ()
        if call.type == "function"
    ]
    assert streamed.choices[0].finish_reason == whole.choices[0].finish_reason
    assert (streamed.id, streamed.usage) == (whole.id, whole.usage)


async def test_the_sdk_says_why_a_streamed_completion_ended(
    start: Callable[..., Simulation],
) -> None:
    body: Any = CHAT
    for kind, error in (
        ("cut", openai.LengthFinishReasonError),
        ("filtered", openai.ContentFilterFinishReasonError),
    ):
        client = start(model=Scripted(ANSWERS[kind])).client
        async with client.chat.completions.stream(**body) as stream:
            with pytest.raises(error):
                await stream.get_final_completion()


@pytest.mark.parametrize("kind", ANSWERS)
async def test_chunks_are_as_the_sdk_knows_them(
    start: Callable[..., Simulation], kind: str
) -> None:
    simulation = start(model=Scripted(ANSWERS[kind]))
    *chunks, last = await events(simulation, "/chat/completions", CHAT | {"n": 2})
    assert last == ("", "[DONE]")
    for name, data in chunks:
        assert name == ""
        conforms(ChatCompletionChunk, json.loads(data))
    indexes = {choice["index"] for _, data in chunks for choice in json.loads(data)["choices"]}
    assert indexes == {0, 1}
    assert not any("usage" in json.loads(data) for _, data in chunks)
    options = {"stream_options": {"include_usage": True}}
    *before, usage, _ = await events(simulation, "/chat/completions", CHAT | options)
    assert json.loads(usage[1])["choices"] == []
    assert json.loads(usage[1])["usage"]["total_tokens"] > 0
    assert all(json.loads(data)["usage"] is None for _, data in before)


@pytest.mark.parametrize("kind", [*ANSWERS, "failed"])
async def test_a_streamed_response_is_the_whole_one(
    start: Callable[..., Simulation], kind: str
) -> None:
    error = {"code": "server_error", "message": "It failed."}
    simulation = start(model=Scripted(ANSWERS.get(kind, Answer(error=error))))
    sent = await events(simulation, "/responses", RESPONSE)
    told = [(name, json.loads(data)) for name, data in sent]
    for number, (name, event) in enumerate(told):
        assert (event["type"], event["sequence_number"]) == (name, number)
        for response in (event, event.get("response", {})):
            response.pop("store", None)
        conforms(ResponseStreamEvent, event)
    body: Any = RESPONSE
    whole = await simulation.client.responses.create(**body)
    assert told[-1][0] == f"response.{whole.status}"
    final = told[-1][1]["response"]
    assert final == whole.model_dump(exclude_unset=True, by_alias=True, exclude={"store"})


async def test_the_sdk_collects_a_streamed_response(start: Callable[..., Simulation]) -> None:
    client = start().client.responses
    body: Any = {"model": "gpt-5-mini", "input": "Paris?"}
    async with client.stream(**body, text_format=City) as stream:
        kinds = {event.type async for event in stream}
        parsed = await stream.get_final_response()
    assert {"response.output_text.delta", "response.completed"} <= kinds
    assert isinstance(parsed.output_parsed, City)
    tool = pydantic_responses_function_tool(City)
    async with client.stream(**body, tools=[tool], tool_choice="required") as stream:
        called = await stream.get_final_response()
    (call, *_) = [item for item in called.output if item.type == "function_call"]
    assert isinstance(call.parsed_arguments, City)


async def test_the_sdk_collects_a_streamed_completion(start: Callable[..., Simulation]) -> None:
    client, body = start().client.chat.completions, dict[str, Any](CHAT)
    async with client.stream(**body, response_format=City) as stream:
        kinds = {event.type async for event in stream}
        parsed = await stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert isinstance(parsed.choices[0].message.parsed, City)
    deltas = await client.create(**body, stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in deltas])
    assert text == (await client.create(**body)).choices[0].message.content


@pytest.mark.parametrize("path", ["/chat/completions", "/responses"])
async def test_what_is_refused_is_not_streamed(simulation: Simulation, path: str) -> None:
    body = (CHAT if path != "/responses" else RESPONSE) | {"stream": True, "temperature": 7}
    with pytest.raises(openai.BadRequestError, match="temperature"):
        await simulation.client.post(path, body=body, cast_to=object)
    body = body | {"stream": False, "temperature": 1, "stream_options": {}}
    with pytest.raises(openai.BadRequestError, match="only allowed when 'stream' is enabled"):
        await simulation.client.post(path, body=body, cast_to=object)


async def test_odd_recordings_are_streamed_too(start: Callable[..., Simulation]) -> None:
    simulation = start(model=Scripted(Replay(response={"status_code": 200, "body": {}})))
    assert await events(simulation, "/chat/completions", CHAT) == [("", "[DONE]")]
    names = [name for name, _ in await events(simulation, "/responses", RESPONSE)]
    assert names == ["response.created", "response.in_progress", "response.completed"]
