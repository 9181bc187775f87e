"""The codec of responses: every shape a line was seen in, any other bytes, and the SDK's types."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseInputItemParam
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from pydantic import ConfigDict, TypeAdapter

from batchspec.fingerprint import canonical_json
from batchspec.messages import (
    Contract,
    LineError,
    OutputContract,
    Reply,
    ToolCall,
    ToolContract,
    Usage,
)
from batchspec.providers.openai.responses import ResponsesWire
from providers.test_wire import JSON, SAMPLES, check_storable, line

WIRE = ResponsesWire()
USAGE = {
    "input_tokens": 22,
    "input_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 0},
    "output_tokens": 12,
    "output_tokens_details": {"reasoning_tokens": 7},
    "total_tokens": 34,
}
THOUGHTS = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAA"}
CALL = {
    "id": "fc_1", "type": "function_call", "status": "completed", "call_id": "call_a",
    "name": "f", "arguments": '{"a":1}',
}  # fmt: skip


def message(*parts: Any, **more: Any) -> dict[str, Any]:
    found = [
        {"type": "output_text", "text": part, "annotations": []} if isinstance(part, str) else part
        for part in parts
    ]
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
        "content": found, **more,
    }  # fmt: skip


def response(*output: Any, status: Any = "completed", **more: Any) -> dict[str, Any]:
    return {
        "id": "resp_1", "object": "response", "model": "gpt-5-mini-2025-08-07", "status": status,
        "output": list(output), "usage": USAGE, **more,
    }  # fmt: skip


def reply(body: Any) -> Reply:
    found = WIRE.decode(line(body)).result
    assert isinstance(found, Reply), found
    return found


def error(body: Any) -> LineError:
    found = WIRE.decode(line(body)).result
    assert isinstance(found, LineError), found
    return found


# --- replies


def test_a_text_comes_with_its_usage_and_model() -> None:
    assert reply(response(THOUGHTS, message("Hello", "."))) == Reply(
        "Hello.", "stop", None, (), Usage(22, 5, 12, 7), "gpt-5-mini-2025-08-07"
    )


def test_what_is_said_on_the_way_is_no_part_of_the_answer() -> None:
    talk = message("Let me see.", phase="commentary")
    assert reply(response(talk, message("42", phase="final_answer"))).text == "42"
    assert reply(response(talk)).text == "Let me see."


def test_parallel_calls_keep_their_order_and_their_text() -> None:
    broken = {**CALL, "call_id": "call_b", "name": "g", "arguments": '{"c":"'}
    found = reply(response(THOUGHTS, CALL, broken))
    assert found.tool_calls == (
        ToolCall("call_a", "f", '{"a":1}'),
        ToolCall("call_b", "g", '{"c":"'),
    )
    assert (found.finish, found.text) == ("tool_calls", None)


def test_a_refusal_is_told() -> None:
    refused = message({"type": "refusal", "refusal": "I can't."})
    assert reply(response(refused)).refusal == "I can't."


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("max_output_tokens", "length"),
        ("content_filter", "content_filter"),
        ("max_messages", "length"),
        (None, "length"),
    ],
)
def test_an_incomplete_response_is_no_whole_answer(reason: str | None, finish: str) -> None:
    body = response(message("trunc"), status="incomplete", incomplete_details={"reason": reason})
    assert (reply(body).finish, reply(body).text) == (finish, "trunc")
    empty = response(status="incomplete", incomplete_details={"reason": reason})
    assert reply(empty).finish == finish


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("server_error", "retryable"),
        ("rate_limit_exceeded", "retryable"),
        ("vector_store_timeout", "retryable"),
        ("failed_to_download_image", "retryable"),
        ("of_another_day", "retryable"),
        ("invalid_prompt", "rejected"),
        ("invalid_image_format", "rejected"),
        ("image_too_large", "rejected"),
        ("image_content_policy_violation", "rejected"),
        ("bio_policy", "rejected"),
        ("misalignment_policy_violation", "rejected"),
        ("data_residency_mismatch", "rejected"),
        ("unsupported_image_media_type", "rejected"),
        ("empty_image_file", "rejected"),
    ],
)
def test_a_response_that_failed_inside_of_a_200_says_whether_to_ask_again(
    code: str, kind: str
) -> None:
    body = response(status="failed", error={"code": code, "message": "Not with sk-live-ABCDEF."})
    assert error(body) == LineError(kind, code, "Not with sk-….")  # type: ignore[arg-type]


@pytest.mark.parametrize("said", [None, {}, "why", {"code": None, "message": None}])
def test_a_failure_without_a_reason_may_pass(said: Any) -> None:
    assert error(response(status="failed", error=said)).code == "response_failed"


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelled"])
def test_a_response_that_did_not_finish_is_asked_for_again(status: str) -> None:
    found = error(response(message("half"), status=status))
    assert (found.kind, found.code) == ("retryable", f"response_{status}")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"status": "completed"}, "unreadable"),
        ({"output": []}, "unreadable"),
        ({"output": None, "status": "completed"}, "unreadable"),
        ({"choices": [{"message": {"content": "x"}}]}, "unreadable"),
        (response(status=["completed"]), "unreadable"),
        (response({"type": "function_call"}), "unreadable"),
        (response({"type": "message", "content": 7}), "unreadable"),
    ],
)
def test_a_body_without_an_answer_is_unreadable(body: Any, kind: str) -> None:
    assert error(body).kind == kind


def test_a_server_that_tells_no_status_is_read() -> None:
    body = response(message("x"))
    del body["status"], body["usage"], body["model"]
    assert reply(body) == Reply("x", "unknown")


# --- what is sent back


def test_everything_goes_back_as_it_came() -> None:
    output = [THOUGHTS, message("I look.", phase="commentary"), CALL, {"type": "of_tomorrow"}]
    assert WIRE.assistant(line(response(*output))) == output


def test_thoughts_that_nothing_follows_stay_behind() -> None:
    """The service refuses them before a message of the user."""
    assert WIRE.assistant(line(response(THOUGHTS))) == []
    assert WIRE.assistant(line(response(message("x"), THOUGHTS))) == [message("x")]


def test_a_call_that_could_be_read_can_be_sent_back() -> None:
    odd = {**CALL, "call_id": 7, "arguments": {"n": math.nan}, "extra": math.inf}
    assert WIRE.assistant(line(response(odd))) == [
        {**CALL, "call_id": "7", "arguments": '{"n":null}', "extra": None}
    ]
    (call,) = reply(response(odd)).tool_calls
    assert json.loads(WIRE.assistant(line(response(odd)))[0]["call_id"]) == int(call.id)


def test_the_answer_of_a_tool_is_an_item() -> None:
    assert WIRE.tool_answer("call_a", "42") == {
        "type": "function_call_output",
        "call_id": "call_a",
        "output": "42",
    }


# --- requests

TOOL = ToolContract("f", "Does f.", {"type": "object", "properties": {}}, strict=True)
OUTPUT = OutputContract("T", {"type": "object"}, "A thing.")
CHAT: list[Any] = [
    {"role": "system", "content": "s"},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "look"},
            {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf,"}},
        ],
    },
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ],
    },
    {"role": "tool", "tool_call_id": "c", "content": "42"},
    {"role": "assistant", "content": [{"type": "text", "text": t} for t in "so"]},
    {"role": "assistant", "content": "no", "refusal": "never"},
]
ITEMS: list[Any] = [
    {"role": "system", "content": "s"},
    {
        "role": "user",
        "content": [
            {"type": "input_text", "text": "look"},
            {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
            {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "auto"},
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf,"},
        ],
    },
    {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c", "output": "42"},
    {"role": "assistant", "content": "so"},
    {"role": "assistant", "content": "nonever"},
]


def contract(model: str = "gpt-4o", **more: Any) -> Contract:
    return Contract(provider="openai-responses", endpoint=WIRE.endpoint, model=model, **more)


def test_messages_become_items() -> None:
    assert WIRE.body(contract(), CHAT)["input"] == ITEMS
    assert json.loads(WIRE.encode(canonical_json(CHAT))) == ITEMS


def test_what_came_from_the_endpoint_stays_as_it_is() -> None:
    given = [{"role": "user", "content": "u"}, THOUGHTS, CALL, WIRE.tool_answer("call_a", "1")]
    stored = canonical_json(given)
    assert WIRE.encode(stored) == stored
    assert WIRE.encode(canonical_json([*given, message("x")])) == canonical_json(
        [*given, message("x")]
    )


def test_the_body_has_the_endpoint_s_words() -> None:
    made = contract(
        tools=(TOOL,),
        output=OUTPUT,
        settings={
            "max_tokens": 50,
            "reasoning_effort": "low",
            "reasoning": {"summary": "auto"},
            "verbosity": "low",
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "parallel_tool_calls": False,
            "logprobs": True,
            "top_logprobs": 3,
            "temperature": 0.5,
        },
    )
    assert WIRE.body(made, [{"role": "user", "content": "u"}]) == {
        "model": "gpt-4o",
        "store": False,
        "input": [{"role": "user", "content": "u"}],
        "max_output_tokens": 50,
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {
            "verbosity": "low",
            "format": {
                "type": "json_schema",
                "name": "T",
                "schema": {"type": "object"},
                "strict": True,
                "description": "A thing.",
            },
        },
        "tool_choice": {"type": "function", "name": "f"},
        "parallel_tool_calls": False,
        "include": ["message.output_text.logprobs"],
        "top_logprobs": 3,
        "temperature": 0.5,
        "tools": [
            {
                "type": "function",
                "name": "f",
                "description": "Does f.",
                "parameters": {"type": "object", "properties": {}},
                "strict": True,
            }
        ],
    }


def test_json_of_any_shape_is_asked_for() -> None:
    assert WIRE.body(contract(json_mode=True), [])["text"] == {"format": {"type": "json_object"}}


def test_some_tools_may_be_allowed() -> None:
    nested = {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]}
    choice = {"type": "allowed_tools", "allowed_tools": nested}
    assert WIRE.body(contract(settings={"tool_choice": choice}), [])["tool_choice"] == {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "f"}],
    }


@pytest.mark.parametrize(
    ("model", "settings", "sealed"),
    [
        ("gpt-5-mini", {}, True),
        ("o4-mini", {}, True),
        ("gpt-6-luna", {}, True),
        ("openai/gpt-5", {}, True),
        ("gpt-5-chat-latest", {}, False),
        ("gpt-4o", {}, False),
        ("gpt-oss:20b", {}, False),
        ("gpt-5-mini", {"store": True}, False),
    ],
)
def test_models_that_think_seal_their_thoughts(
    model: str, settings: dict[str, Any], sealed: bool
) -> None:
    """Nothing is stored at the provider, so that they have to come along; others refuse it."""
    body = WIRE.body(contract(model, settings=settings), [])
    assert body["store"] is bool(settings)
    assert (body.get("include") == ["reasoning.encrypted_content"]) is sealed


TEXTS = st.text(st.characters(codec="utf-8"))
MARKED = TEXTS | st.sampled_from(['"content":[', '"role":"tool"', '\\"tool_calls":', "'\"\\"])
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user"]), "content": MARKED})
    | st.sampled_from(CHAT)
    | st.sampled_from([THOUGHTS, CALL, message("x")])
)


@given(MESSAGES, st.booleans(), st.booleans())
def test_a_line_put_together_from_parts_is_the_whole_request(
    messages: Any, tools: bool, output: bool
) -> None:
    made = contract(
        "gpt-5-mini",
        tools=(TOOL,) if tools else (),
        output=OUTPUT if output else None,
        settings={"max_tokens": 20},
    )
    stored, (first, second) = canonical_json(messages), WIRE.line_parts(made)
    raw = b'{"custom_id":"k' + first + WIRE.encode(stored) + second
    assert b"\n" not in raw
    assert len(WIRE.encode(stored)) == WIRE.size(stored)
    assert json.loads(raw) == {
        "custom_id": "k",
        "method": "POST",
        "url": "/v1/responses",
        "body": WIRE.body(made, messages),
    }


# --- the SDK's own types


def test_items_are_what_the_sdk_sends() -> None:
    """Of the parts that the SDK has types for."""
    items: TypeAdapter[Any] = TypeAdapter(
        list[ResponseInputItemParam], config=ConfigDict(extra="forbid")
    )
    items.validate_python(json.loads(WIRE.encode(canonical_json(CHAT))))
    items.validate_python(WIRE.assistant(line(response(THOUGHTS, message("x"), CALL))))
    items.validate_python([WIRE.tool_answer("call_a", "1")])


def test_a_body_is_what_the_sdk_sends() -> None:
    made = contract(
        "gpt-5-mini",
        tools=(TOOL,),
        output=OUTPUT,
        settings={"max_tokens": 20, "reasoning_effort": "low", "tool_choice": "required"},
    )
    body = WIRE.body(made, [{"role": "user", "content": "u"}])
    known = ResponseCreateParamsNonStreaming.__annotations__
    from openai.types.responses import response_create_params as params  # noqa: PLC0415

    assert set(body) <= set(known) | set(params.ResponseCreateParamsBase.__annotations__)


def test_the_sdk_reads_what_we_read() -> None:
    body = {**response(THOUGHTS, message("Hello.")), "created_at": 1, "tools": []}
    body |= {"parallel_tool_calls": True, "tool_choice": "auto"}
    theirs = Response.model_validate(body)
    assert theirs.output_text == reply(body).text
    assert theirs.usage is not None
    assert theirs.usage.output_tokens == reply(body).usage.output_tokens


# --- anything at all

KEYS = [
    "status", "output", "type", "content", "text", "refusal", "call_id", "name", "arguments",
    "incomplete_details", "reason", "usage", "input_tokens", "error", "code", "message", "phase",
]  # fmt: skip
WORDS = st.sampled_from(
    ["completed", "incomplete", "failed", "message", "function_call", "output_text", "refusal"]
)
NEAR = st.recursive(
    JSON | WORDS,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=2)
        | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=15,
)


@given(NEAR)
def test_any_body_is_judged(body: Any) -> None:
    check_storable(WIRE.decode(line(body)).result)


@given(st.lists(NEAR, max_size=3), NEAR, NEAR)
def test_any_output_is_judged_and_can_be_continued(output: Any, status: Any, usage: Any) -> None:
    raw = line({"output": output, "status": status, "usage": usage})
    result = WIRE.decode(raw).result
    check_storable(result)
    if isinstance(result, Reply):
        said = WIRE.assistant(raw)
        json.dumps(said, allow_nan=False)
        calls = [item["call_id"] for item in said if item.get("type") == "function_call"]
        assert calls == [call.id for call in result.tool_calls]


# --- the samples of the reference, where they are at hand

EXPECTED = {
    "responses_text": ("stop", "Hello."),
    "responses_function_call": ("tool_calls", None),
    "responses_refusal": ("stop", None),
    "responses_incomplete": ("length", None),
    "responses_failed_in_200": ("retryable", "server_error"),
    "err_400_schema": ("rejected", "invalid_request_error"),
    "err_429": ("retryable", "rate_limit_exceeded"),
    "batch_expired": ("never_ran", "batch_expired"),
    "chat_text": ("unreadable", "empty_body"),
}


@pytest.mark.skipif(not SAMPLES.exists(), reason="the sample bodies are not at hand")
@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_line_is_judged(name: str) -> None:
    raw = json.loads(Path(SAMPLES).read_bytes())["lines"][name]
    result = WIRE.decode(json.dumps(raw).encode()).result
    found = (
        (result.finish, result.text) if isinstance(result, Reply) else (result.kind, result.code)
    )
    assert found == EXPECTED[name]
