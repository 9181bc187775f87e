"""Behaviours 32 to 45: odd lines, and odd answers of the model in batches and live."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from batchspec.simulator.jobs.database import Database
from batchspec.simulator.jobs.engine import Engine

from .conftest import Simulation, request_line
from .faulty import look, raw

pytestmark = pytest.mark.anyio
NAMES = [str(number) for number in range(10)]
TOOL = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
CHAT_TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": TOOL, "strict": True}}
    for name in ("weather", "news")
]
RESPONSES_TOOLS = [
    {"type": "function", "name": name, "parameters": TOOL, "strict": True}
    for name in ("weather", "news")
]


async def content(simulation: Simulation, file_id: str | None) -> bytes:
    assert file_id
    return (await raw(simulation, "GET", f"/files/{file_id}/content")).content


async def finish(simulation: Simulation, *lines: object) -> dict[str, Any]:
    done = await simulation.finish(*(lines or map(request_line, NAMES)))
    return await look(simulation, done.id)


async def output(simulation: Simulation, *lines: object) -> list[dict[str, Any]]:
    return await simulation.lines((await finish(simulation, *lines))["output_file_id"])


async def errors(simulation: Simulation, *lines: object) -> list[dict[str, Any]]:
    return await simulation.lines((await finish(simulation, *lines))["error_file_id"])


def counts(batch: dict[str, Any]) -> tuple[int, int, int]:
    found = batch["request_counts"]
    return found["total"], found["completed"], found["failed"]


# --- lines


async def test_32_lines_are_shuffled(start: Callable[..., Simulation]) -> None:
    simulation = start(shuffle=False)
    simulation.engine.faults.add("odd_files", shuffled=True, nth=2)
    orders = [[line["custom_id"] for line in await output(simulation)] for _ in range(2)]
    assert orders[0] == NAMES
    assert orders[1] != NAMES
    assert sorted(orders[1]) == NAMES


async def test_32_lines_are_doubled_and_missing(simulation: Simulation) -> None:
    simulation.engine.faults.add("doubled_line", custom_id="3")
    simulation.engine.faults.add("lost_line", custom_id="[45]")
    found = Counter(line["custom_id"] for line in await output(simulation))
    assert found == Counter({name: 2 if name == "3" else 1 for name in NAMES if name not in "45"})


@pytest.mark.parametrize("form", ["unknown", "null"])
async def test_32_a_line_has_another_custom_id(simulation: Simulation, form: str) -> None:
    simulation.engine.faults.add("wrong_custom_id", custom_id="3", form=form)
    found = {line["custom_id"] for line in await output(simulation)}
    (odd,) = found - set(NAMES)
    assert odd is None if form == "null" else odd.startswith("unknown-")
    assert set(NAMES) - found == {"3"}


@pytest.mark.parametrize("status", [400, 404, 408, 429, 500, 503])
async def test_33_a_line_has_an_http_error(simulation: Simulation, status: int) -> None:
    simulation.engine.faults.add("line_error", status=status, custom_id="3")
    done = await finish(simulation)
    (line,) = await simulation.lines(done["error_file_id"])
    assert (line["custom_id"], line["error"]) == ("3", None)
    assert line["response"]["status_code"] == status
    assert line["response"]["body"]["error"]["message"]
    assert counts(done) == (10, 9, 1)


async def test_34_a_line_has_the_status_zero(simulation: Simulation) -> None:
    simulation.engine.faults.add("status_zero", custom_id="3")
    (line,) = await errors(simulation)
    assert line["response"] == {"status_code": 0, "request_id": "", "body": {}}


@pytest.mark.parametrize("form", ["empty", "error"])
async def test_35_a_line_says_200_and_nothing(simulation: Simulation, form: str) -> None:
    simulation.engine.faults.add("hollow_body", form=form, custom_id="3")
    lines = {line["custom_id"]: line["response"] for line in await output(simulation)}
    assert lines["3"]["status_code"] == 200
    assert set(lines["3"]["body"]) == (set() if form == "empty" else {"error"})


async def test_36_a_line_is_no_json(simulation: Simulation) -> None:
    simulation.engine.faults.add("broken_line", form="cut", times=1)
    done = await finish(simulation)
    lines = (await content(simulation, done["output_file_id"])).split(b"\n")
    whole = [line for line in lines if line.endswith(b"}")]
    assert (len(whole), len(lines)) == (9, 11)


async def test_36_a_line_is_no_utf8(simulation: Simulation) -> None:
    simulation.engine.faults.add("broken_line", form="invalid_utf8", custom_id="3")
    data = await content(simulation, (await finish(simulation))["output_file_id"])
    bad = [line for line in data.split(b"\n") if b"\xff\xfe" in line]
    assert len(bad) == 1
    with pytest.raises(UnicodeDecodeError):
        data.decode()


async def test_36_a_string_holds_a_line_separator(simulation: Simulation) -> None:
    simulation.engine.faults.add("broken_line", form="line_separator", custom_id="3")
    data = await content(simulation, (await finish(simulation))["output_file_id"])
    assert len(data.decode().splitlines()) == 11
    lines = [json.loads(line) for line in data.split(b"\n") if line]
    assert sorted(line["custom_id"] for line in lines) == NAMES


@pytest.mark.parametrize(
    ("options", "start_", "between", "end"),
    [
        ({"bom": True}, b"\xef\xbb\xbf{", b"}\n{", b"}\n"),
        ({"crlf": True}, b"{", b"}\r\n{", b"}\r\n"),
        ({"final_newline": False}, b"{", b"}\n{", b"}"),
        ({"blank_lines": True}, b"{", b"}\n\n{", b"}\n"),
    ],
)
async def test_36_files_are_written_in_another_manner(
    simulation: Simulation, options: dict[str, Any], start_: bytes, between: bytes, end: bytes
) -> None:
    simulation.engine.faults.add("odd_files", **options)
    done = await finish(simulation)
    data = await content(simulation, done["output_file_id"])
    assert data.startswith(start_)
    assert data.endswith(end)
    assert data.count(between) == 9
    file = (await raw(simulation, "GET", f"/files/{done['output_file_id']}")).json()
    assert file["bytes"] == len(data)
    assert file["filename"] == f"{done['id']}_output.jsonl"


async def test_36_files_are_written_again_after_a_crash(
    start: Callable[..., Simulation], monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = start()
    simulation.engine.faults.add("odd_files", bom=True, crlf=True)
    batch = await simulation.after(123, await simulation.submit(*map(request_line, NAMES)))
    original = Database.replace_batch

    def dying(*_: Any, **__: Any) -> bool:
        raise KeyboardInterrupt

    simulation.clock.advance(2)
    monkeypatch.setattr(Database, "replace_batch", dying)
    with pytest.raises(KeyboardInterrupt):
        simulation.engine.advance(simulation.clock())
    monkeypatch.setattr(Database, "replace_batch", original)
    simulation = start()
    done = await look(simulation, batch.id)
    data = await content(simulation, done["output_file_id"])
    assert (data.count(b"\xef\xbb\xbf"), data.count(b"\r\n"), data.count(b"\n")) == (1, 10, 10)
    left = {path.name for path in simulation.engine.database.files.iterdir()}
    assert left == {done["input_file_id"], done["output_file_id"]}


async def test_37_a_request_times_out(simulation: Simulation) -> None:
    simulation.engine.faults.add("request_timeout", custom_id="3")
    done = await finish(simulation)
    (line,) = await simulation.lines(done["error_file_id"])
    assert (line["response"], line["error"]["code"]) == (None, "request_timeout")
    assert counts(done) == (10, 9, 1)


async def test_38_an_error_stands_in_the_output(simulation: Simulation) -> None:
    simulation.engine.faults.add("error_in_output", custom_id="3", status=400)
    done = await finish(simulation)
    lines = {line["custom_id"]: line for line in await simulation.lines(done["output_file_id"])}
    assert lines["3"]["response"]["status_code"] == 400
    assert done["error_file_id"] is None
    assert counts(done) == (10, 9, 1)


async def test_39_a_body_is_text(simulation: Simulation) -> None:
    simulation.engine.faults.add("body_as_text", custom_id="3")
    lines = {line["custom_id"]: line["response"] for line in await output(simulation)}
    assert json.loads(lines["3"]["body"])["object"] == "chat.completion"
    assert lines["4"]["body"]["object"] == "chat.completion"


# --- rules of lines


async def test_a_request_fails_once_and_then_succeeds(simulation: Simulation) -> None:
    simulation.engine.faults.add("line_error", nth=1, per="custom_id")
    assert counts(await finish(simulation)) == (10, 0, 10)
    assert counts(await finish(simulation)) == (10, 10, 0)


async def test_the_nth_request_of_a_model(simulation: Simulation) -> None:
    simulation.engine.faults.add("line_error", nth=[2, 3], model="gpt-5-*")
    found = {line["custom_id"] for line in await errors(simulation)}
    assert found == {"1", "2"}
    others = [request_line(name, model="other") for name in NAMES]
    assert counts(await finish(simulation, *others)) == (10, 10, 0)


async def test_usage_counts_what_is_left(simulation: Simulation) -> None:
    simulation.engine.faults.add("line_error", every=2)
    done = await finish(simulation)
    lines = await simulation.lines(done["output_file_id"])
    sums = sum(line["response"]["body"]["usage"]["total_tokens"] for line in lines)
    assert len(lines) == 5
    assert done["usage"]["total_tokens"] == sums


async def test_51_draws_go_on_where_a_killed_server_stopped(
    start: Callable[..., Simulation], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(*, killed: bool) -> set[str]:
        simulation = start()
        simulation.engine.faults.clear()
        simulation.engine.faults.add("line_error", id="one", probability=0.5)
        batch = await simulation.submit(*map(request_line, NAMES))
        if killed:
            simulation.clock.advance(70)
            original = Engine._commit

            def dying(*_: Any) -> bool:
                raise KeyboardInterrupt

            monkeypatch.setattr(Engine, "_commit", dying)
            with pytest.raises(KeyboardInterrupt):
                simulation.engine.advance(simulation.clock())
            monkeypatch.setattr(Engine, "_commit", original)
            simulation = start()
        done = await look(simulation, (await simulation.after(1_000, batch)).id)
        return {line["custom_id"] for line in await simulation.lines(done["error_file_id"])}

    quiet = await run(killed=False)
    assert 0 < len(quiet) < 10
    assert await run(killed=True) == quiet


# --- answers of the model, in batches and live, for both endpoints


def chat_line(custom_id: str, **body: Any) -> dict[str, Any]:
    return request_line(custom_id, "What about Oslo?", **body)


def responses_line(custom_id: str, **body: Any) -> dict[str, Any]:
    content_ = {"model": "gpt-5-mini", "input": "What about Oslo?", **body}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/responses", "body": content_}


async def answered(simulation: Simulation, line: dict[str, Any], fault: str, **options: Any) -> Any:
    """Return the response of a line and of a live call, which must be alike."""
    simulation.engine.faults.add(fault, **options)
    file = await simulation.upload(line)
    batch = await simulation.client.batches.create(
        input_file_id=file, endpoint=line["url"], completion_window="24h"
    )
    done = await simulation.after(1_000, batch)
    (found,) = await simulation.lines(done.output_file_id or done.error_file_id)
    live = await raw(simulation, "POST", line["url"].removeprefix("/v1"), json=line["body"])
    assert live.status_code == found["response"]["status_code"]
    assert set(live.json()) == set(found["response"]["body"])
    return found["response"]


async def chat_message(simulation: Simulation, fault: str, **options: Any) -> dict[str, Any]:
    tools = options.pop("tools", [])
    line = chat_line("a", **({"tools": tools} if tools else {}))
    response = await answered(simulation, line, fault, **options)
    (choice,) = response["body"]["choices"]
    return {**choice["message"], "finish_reason": choice["finish_reason"]}


async def items(simulation: Simulation, fault: str, **options: Any) -> list[dict[str, Any]]:
    tools = options.pop("tools", [])
    line = responses_line("a", **({"tools": tools} if tools else {}))
    return (await answered(simulation, line, fault, **options))["body"]["output"]


FORMS = ["single", "parallel", "unknown_tool", "invalid_json", "wrong_types", "repeated_ids"]


def check_calls(form: str, calls: list[tuple[str, str, str]]) -> None:
    identities, names, arguments = zip(*calls, strict=True)
    assert len(calls) == 1 if form == "single" else len(calls) == 2
    assert len(set(identities)) == (1 if form == "repeated_ids" else len(calls))
    assert (names[0] == "no_such_tool") == (form == "unknown_tool")
    if form == "invalid_json":
        with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
            json.loads(arguments[0])
        return
    given = json.loads(arguments[0])
    assert isinstance(given["city"], list if form == "wrong_types" else str)


@pytest.mark.parametrize("form", FORMS)
async def test_40_tools_are_called_oddly_in_chat(simulation: Simulation, form: str) -> None:
    message = await chat_message(simulation, "odd_tool_calls", form=form, tools=CHAT_TOOLS[:1])
    assert message["finish_reason"] == "tool_calls"
    calls = [
        (c["id"], c["function"]["name"], c["function"]["arguments"]) for c in message["tool_calls"]
    ]
    check_calls(form, calls)


@pytest.mark.parametrize("form", FORMS)
async def test_40_tools_are_called_oddly_in_responses(simulation: Simulation, form: str) -> None:
    found = await items(simulation, "odd_tool_calls", form=form, tools=RESPONSES_TOOLS[:1])
    calls = [item for item in found if item["type"] == "function_call"]
    check_calls(form, [(c["call_id"], c["name"], c["arguments"]) for c in calls])


async def test_40_a_tool_is_called_that_nobody_offered(simulation: Simulation) -> None:
    message = await chat_message(simulation, "odd_tool_calls", form="unknown_tool")
    assert message["tool_calls"][0]["function"]["name"] == "no_such_tool"


async def test_41_the_model_refuses(simulation: Simulation) -> None:
    message = await chat_message(simulation, "refusal", text="No.")
    assert (message["content"], message["refusal"]) == (None, "No.")
    (item,) = [i for i in await items(simulation, "refusal", text="No.") if i["type"] == "message"]
    assert item["content"] == [{"type": "refusal", "refusal": "No."}]


async def test_41_a_stream_tells_what_went_wrong_too(simulation: Simulation) -> None:
    simulation.engine.faults.add("refusal", text="No.")
    stream = await simulation.client.chat.completions.create(
        model="gpt-5-mini", messages=[{"role": "user", "content": "Oslo?"}], stream=True
    )
    parts = [chunk.choices[0].delta async for chunk in stream if chunk.choices]
    assert "".join(part.refusal or "" for part in parts) == "No."
    assert not any(part.content for part in parts)


@pytest.mark.parametrize("probability", [0, 1])
async def test_a_live_answer_keeps_what_it_says_besides(
    simulation: Simulation, probability: float
) -> None:
    """Of what it used, and so of the rates that are left."""
    line = request_line("a")

    async def rates() -> dict[str, str]:
        answer = await raw(simulation, "POST", "/chat/completions", json=line["body"])
        return {n: text for n, text in answer.headers.items() if n.startswith("x-ratelimit-")}

    before = await rates()
    simulation.engine.faults.add("refusal", probability=probability)
    assert await rates() == before
    assert before["x-ratelimit-remaining-tokens"] < before["x-ratelimit-limit-tokens"]


@pytest.mark.parametrize("form", ["length", "content_filter", "failed"])
async def test_42_an_answer_is_cut(simulation: Simulation, form: str) -> None:
    message = await chat_message(simulation, "cut_answer", form=form)
    assert message["finish_reason"] == ("length" if form == "length" else "content_filter")
    simulation.engine.faults.clear()
    response = await answered(simulation, responses_line("a"), "cut_answer", form=form)
    body = response["body"]
    assert response["status_code"] == 200
    if form == "failed":
        assert (body["status"], body["error"]["code"]) == ("failed", "server_error")
    else:
        reason = {"length": "max_output_tokens"}.get(form, form)
        assert (body["status"], body["incomplete_details"]) == ("incomplete", {"reason": reason})


SCHEMA = {
    "type": "object",
    "properties": {"mood": {"type": "string"}},
    "required": ["mood"],
    "additionalProperties": False,
}
FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
}


async def test_43_the_content_is_not_what_was_asked_for(simulation: Simulation) -> None:
    line = chat_line("a", response_format=FORMAT)
    texts: list[str] = []
    for form in ("schema_violation", "fenced", "empty"):
        simulation.engine.faults.clear()
        response = await answered(simulation, line, "odd_content", form=form)
        texts.append(response["body"]["choices"][0]["message"]["content"])
    assert set(json.loads(texts[0])) == {"not_mood"}
    assert "```json\n{" in texts[1]
    assert texts[2] == ""


async def test_43_text_stands_beside_a_tool_call(simulation: Simulation) -> None:
    message = await chat_message(
        simulation, "odd_content", form="text_beside_tool_call", tools=CHAT_TOOLS
    )
    assert message["content"] == "Let me look that up."
    assert message["tool_calls"]
    simulation.engine.faults.clear()
    found = await items(
        simulation, "odd_content", form="text_beside_tool_call", tools=RESPONSES_TOOLS
    )
    kinds = {item["type"] for item in found}
    assert {"message", "function_call"} <= kinds


async def test_44_reasoning_is_shown(simulation: Simulation) -> None:
    response = await answered(simulation, responses_line("a"), "reasoning_items", summary="Hm.")
    assert [item["type"] for item in response["body"]["output"]][:1] == ["reasoning"]
    simulation.engine.faults.clear()
    response = await answered(simulation, chat_line("a"), "reasoning_items", summary="Hm." * 8)
    assert response["body"]["usage"]["completion_tokens_details"]["reasoning_tokens"] >= 6


async def test_44_a_follow_up_without_its_tool_message_is_refused(simulation: Simulation) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "Oslo?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "user", "content": "Well?"},
    ]
    (line,) = await errors(simulation, request_line("a", messages=messages))
    assert line["response"]["status_code"] == 400
    assert "call_1" in line["response"]["body"]["error"]["message"]


async def test_44_a_follow_up_without_its_reasoning_is_refused(simulation: Simulation) -> None:
    line = responses_line("a", tools=RESPONSES_TOOLS[:1], model="o4-mini")
    found = (await raw(simulation, "POST", "/responses", json=line["body"])).json()["output"]
    kinds = [item["type"] for item in found]
    assert "reasoning" in kinds
    assert "function_call" in kinds
    told = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": "sunny"}
        for item in found
        if item["type"] == "function_call"
    ]
    asked = [{"role": "user", "content": "What about Oslo?"}]
    whole = {**line["body"], "input": [*asked, *found, *told]}
    lacking = [item for item in found if item["type"] != "reasoning"]
    less = {**line["body"], "input": [*asked, *lacking, *told]}
    statuses = [
        (await raw(simulation, "POST", "/responses", json=body)).status_code
        for body in (whole, less)
    ]
    assert statuses == [200, 400]


async def test_45_a_schema_is_refused(simulation: Simulation) -> None:
    loose = {"type": "object", "properties": {"mood": {"type": "string"}}, "required": ["mood"]}
    asked = {"type": "json_schema", "json_schema": {**FORMAT["json_schema"], "schema": loose}}
    (natural,) = await errors(simulation, chat_line("a", response_format=asked))
    response = await answered(simulation, chat_line("a", response_format=FORMAT), "schema_refused")
    assert natural["response"]["status_code"] == response["status_code"] == 400
    assert natural["response"]["body"]["error"]["param"] == "response_format"
    assert response["body"]["error"]["param"] == "response_format"
    assert "additionalProperties" in response["body"]["error"]["message"]
