"""The codec of chat completions: every shape a line was seen in, and any other bytes."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchspec.messages import (
    Contract,
    LineError,
    OutputContract,
    Reply,
    ToolCall,
    ToolContract,
    Usage,
)
from batchspec.providers.openai.wire import ChatCompletionsWire

WIRE = ChatCompletionsWire()
SAMPLES = Path(__file__).parents[3] / "shared" / "reference" / "openai_sample_bodies.json"
USAGE = {
    "prompt_tokens": 22,
    "completion_tokens": 12,
    "total_tokens": 34,
    "prompt_tokens_details": {"cached_tokens": 5, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 7, "audio_tokens": 0},
}
CALL = {"id": "call_a", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}


def completion(finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-5-mini-2025-08-07",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": None, "refusal": None, **message},
                "finish_reason": finish,
            }
        ],
        "usage": USAGE,
    }


def line(body: Any, status: Any = 200, **more: Any) -> bytes:
    response = {"status_code": status, "request_id": "r", "body": body}
    return json.dumps({"id": "b", "custom_id": "k", "response": response, **more}).encode()


def decoded(raw: bytes) -> Reply | LineError:
    return WIRE.decode(raw).result


def error(raw: bytes) -> LineError:
    found = decoded(raw)
    assert isinstance(found, LineError)
    return found


def reply(raw: bytes) -> Reply:
    found = decoded(raw)
    assert isinstance(found, Reply)
    return found


# --- replies


def test_a_text_comes_with_its_usage_and_model() -> None:
    found = WIRE.decode(line(completion(content="Hello."), error=None))
    assert found.custom_id == "k"
    assert found.result == Reply(
        "Hello.", "stop", None, (), Usage(22, 5, 12, 7), "gpt-5-mini-2025-08-07"
    )


def test_parallel_tool_calls_keep_their_order_and_their_text() -> None:
    """Arguments may be broken JSON: that is for the tool to say."""
    broken = {"id": "call_b", "type": "function", "function": {"name": "g", "arguments": '{"c":"'}}
    found = reply(line(completion("tool_calls", tool_calls=[CALL, broken])))
    assert found.tool_calls == (
        ToolCall("call_a", "f", '{"a":1}'),
        ToolCall("call_b", "g", '{"c":"'),
    )
    assert (found.finish, found.text) == ("tool_calls", None)


def test_arguments_that_are_no_text_become_json() -> None:
    """Some compatible servers send an object, or nothing."""
    calls = [
        {"id": 1, "function": {"name": "f", "arguments": {"a": 1}}},
        {"id": 2, "function": {"name": "f", "arguments": None}},
    ]
    found = reply(line(completion(tool_calls=calls)))
    assert found.tool_calls == (ToolCall("1", "f", '{"a":1}'), ToolCall("2", "f", "{}"))


@pytest.mark.parametrize(
    ("told", "finish"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("content_filter", "content_filter"),
        ("eos_token", "unknown"),
        (None, "unknown"),
    ],
)
def test_why_a_reply_ended(told: str | None, finish: str) -> None:
    assert reply(line(completion(told, content="x"))).finish == finish


def test_a_refusal_is_told() -> None:
    assert reply(line(completion(refusal="I can't."))).refusal == "I can't."
    assert reply(line(completion(refusal="", content="x"))).refusal is None


def test_content_in_parts_is_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]
    assert reply(line(completion(content=parts))).text == "ab"


def test_a_body_that_is_encoded_twice_is_read() -> None:
    raw = line(json.dumps(completion(content="twice")))
    assert reply(raw).text == "twice"
    assert WIRE.assistant(raw) == [{"role": "assistant", "content": "twice"}]


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"prompt_tokens": None, "completion_tokens": None},
        {"prompt_tokens": "many", "completion_tokens": [3]},
        {"prompt_tokens": -5, "completion_tokens": 2**80},
        {"prompt_tokens": True, "completion_tokens": 1.5},
        {"prompt_tokens": float("nan")},
        {"prompt_tokens_details": None, "completion_tokens_details": []},
    ],
)
def test_usage_that_makes_no_sense_counts_nothing_and_costs_no_answer(usage: Any) -> None:
    found = reply(line({**completion(content="x"), "usage": usage}))
    assert (found.text, found.usage) == ("x", Usage())


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
@pytest.mark.parametrize("end", [b"", b"\r", b"  "])
def test_a_byte_order_mark_and_the_end_of_a_line_do_not_matter(mark: bytes, end: bytes) -> None:
    raw = mark + line(completion(content="x")) + end
    assert WIRE.decode(raw).custom_id == "k"
    assert reply(raw).text == "x"
    assert WIRE.assistant(raw)[0]["content"] == "x"


def test_the_assistant_s_message_is_what_the_next_turn_needs() -> None:
    """Tool calls unchanged, and nothing the API would refuse in a request."""
    (found,) = WIRE.assistant(line(completion("tool_calls", tool_calls=[CALL], annotations=[])))
    assert found == {"role": "assistant", "content": None, "tool_calls": [CALL]}


def test_a_call_that_could_be_read_can_be_sent_back() -> None:
    """NaN is no JSON, and the service wants texts where the model wrote something else."""
    odd = {"id": 7, "type": math.nan, "extra": {"n": math.inf}, "function": {"name": "f"}}
    assert WIRE.assistant(line(completion(tool_calls=[odd])))[0]["tool_calls"] == [
        {
            "id": "7",
            "type": "function",
            "extra": {"n": None},
            "function": {"name": "f", "arguments": "{}"},
        }
    ]


@pytest.mark.parametrize("calls", [None, []])
def test_an_assistant_s_message_without_anything_has_an_empty_text(calls: Any) -> None:
    """The service takes null only beside tool calls."""
    (found,) = WIRE.assistant(line(completion(tool_calls=calls)))
    assert found == {"role": "assistant", "content": ""}


def test_a_status_written_as_text_is_read() -> None:
    assert reply(line(completion(content="x"), "200")).text == "x"
    assert error(line({"error": {"message": "m"}}, "400")).kind == "rejected"
    assert error(line({"error": {"message": "m"}}, "429")).kind == "retryable"
    assert error(line({"error": {"message": "m"}}, "²00")).kind == "retryable"


def test_a_key_in_the_message_of_a_line_is_not_told() -> None:
    body = {"error": {"message": "Wrong key sk-live-ABCDEF.", "code": "c"}}
    assert error(line(body, 401)).message == "Wrong key sk-…."
    beside = {"custom_id": "k", "response": None, "error": body["error"]}
    assert error(json.dumps(beside).encode()).message == "Wrong key sk-…."


# --- no replies


@pytest.mark.parametrize(
    ("raw", "kind", "code"),
    [
        (line({"error": {"message": "m", "code": "c"}}, 400), "rejected", "c"),
        (line({"error": {"message": "m", "type": "t", "code": None}}, 401), "rejected", "t"),
        (line({"error": {"message": "m"}}, 404), "rejected", "http_404"),
        (line({"error": "just words"}, 422), "rejected", "http_422"),
        (line({}, 400), "rejected", "http_400"),
        (line({"error": {"message": "m", "code": "c"}}, 408), "retryable", "c"),
        (line({"error": {"message": "m", "code": "c"}}, 409), "retryable", "c"),
        (line({"error": {"message": "m", "code": "c"}}, 429), "retryable", "c"),
        (line({"error": {"message": "m", "code": None}}, 500), "retryable", "http_500"),
        (line({}, 503), "retryable", "http_503"),
        (line({}, 0), "retryable", "http_0"),
        (line({}, None), "retryable", "http_None"),
        (line({}, "ok"), "retryable", "http_ok"),
        (line({}), "unreadable", "empty_body"),
        (line(None), "unreadable", "empty_body"),
        (line({"choices": []}), "unreadable", "empty_body"),
        (line({"error": {"message": "m", "code": "c"}}), "retryable", "c"),
        (line(["x"]), "unreadable", "unknown_shape"),
        (line("no JSON"), "unreadable", "unknown_shape"),
        (line({"choices": [{}]}), "unreadable", "unknown_shape"),
        (line({"choices": [{"message": None}]}), "unreadable", "unknown_shape"),
        (line({"choices": {"a": 1}}), "unreadable", "unknown_shape"),
        (b'{"custom_id":"k","response":7}', "unreadable", "unknown_shape"),
        (b'{"custom_id":"k"}', "retryable", "unknown_error"),
        (b'{"custom_id":"k","response":null,"error":null}', "retryable", "unknown_error"),
        (b'{"custom_id":"k","response":null,"error":"no"}', "unreadable", "unknown_shape"),
    ],
)
def test_a_line_without_a_reply_says_what_it_is(raw: bytes, kind: str, code: str) -> None:
    found = WIRE.decode(raw)
    assert found.custom_id == "k"
    assert isinstance(found.result, LineError)
    assert (found.result.kind, found.result.code) == (kind, code)
    assert found.result.message


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("batch_expired", "never_ran"),
        ("batch_cancelled", "never_ran"),
        ("request_timeout", "retryable"),
        ("another_day_another_code", "retryable"),
    ],
)
def test_an_error_beside_the_response_says_whether_the_request_ran(code: str, kind: str) -> None:
    raw = {"custom_id": "k", "response": None, "error": {"code": code, "message": "why"}}
    found = error(json.dumps(raw).encode())
    assert (found.kind, found.code, found.message) == (kind, code, "why")


@pytest.mark.parametrize("raw", [b"", b"no", b"[1]", b"7", b'{"custom_id":"\xff"}', b"[" * 9000])
def test_a_line_that_cannot_be_read_belongs_to_nobody(raw: bytes) -> None:
    found = WIRE.decode(raw)
    assert found.custom_id is None
    assert isinstance(found.result, LineError)
    assert found.result.kind == "unreadable"


@pytest.mark.parametrize("custom_id", [None, 7, ["k"], {}])
def test_a_custom_id_that_is_no_text_belongs_to_nobody(custom_id: Any) -> None:
    raw = json.dumps({"custom_id": custom_id, "response": None, "error": {"code": "c"}}).encode()
    assert WIRE.decode(raw).custom_id is None


# --- anything at all

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
KEYS = [
    "status_code", "body", "choices", "message", "content", "refusal", "tool_calls", "id",
    "function", "name", "arguments", "finish_reason", "usage", "prompt_tokens",
    "prompt_tokens_details", "cached_tokens", "error", "code",
]  # fmt: skip
NEAR = st.recursive(
    JSON,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=2)
        | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=12,
)


def check_storable(result: Reply | LineError) -> None:
    """Everything that is kept in a column has the type of its column."""
    if isinstance(result, LineError):
        assert isinstance(result.code, str)
        assert isinstance(result.message, str)
        return
    assert result.text is None or isinstance(result.text, str)
    assert result.refusal is None or isinstance(result.refusal, str)
    assert all(type(n) is int and 0 <= n < 2**63 for n in result.usage)
    for call in result.tool_calls:
        assert all(isinstance(part, str) for part in (call.id, call.name, call.arguments))


@given(st.binary())
def test_any_bytes_are_judged(raw: bytes) -> None:
    check_storable(decoded(raw))


@given(JSON)
def test_any_json_is_judged(value: Any) -> None:
    check_storable(decoded(json.dumps(value).encode()))


@given(NEAR)
def test_any_response_is_judged(response: Any) -> None:
    check_storable(decoded(json.dumps({"custom_id": "k", "response": response}).encode()))


@given(NEAR, NEAR)
def test_any_message_and_usage_are_judged(message: Any, usage: Any) -> None:
    """Close to a good line, where a wrong type would get furthest."""
    body = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}
    check_storable(decoded(line(body)))


@given(st.dictionaries(st.sampled_from(["content", "refusal", "tool_calls"]), NEAR))
def test_what_is_read_as_a_reply_can_be_continued(message: dict[str, Any]) -> None:
    raw = line(completion(**message))
    if isinstance(decoded(raw), Reply):
        assert WIRE.assistant(raw)[0]["role"] == "assistant"


# --- requests

TEXTS = st.text(st.characters(codec="utf-8"))
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user"]), "content": TEXTS})
)
SETTINGS = st.dictionaries(
    st.sampled_from(["temperature", "seed", "max_tokens", "service_tier"]), st.integers(0, 9)
)
TOOL = ToolContract("f", 'Does "f".', {"type": "object", "properties": {}}, strict=False)
OUTPUT = OutputContract("T", {"type": "object"}, "A thing.")


@given(MESSAGES, SETTINGS, st.booleans(), st.booleans())
def test_a_line_put_together_from_parts_is_the_whole_request(
    messages: Any, settings: Any, tools: bool, output: bool
) -> None:
    contract = Contract(
        provider="openai",
        endpoint=WIRE.endpoint,
        model='odd "model"',
        tools=(TOOL,) if tools else (),
        output=OUTPUT if output else None,
        settings=settings,
    )
    first, second = WIRE.line_parts(contract)
    raw = b'{"custom_id":"k' + first + json.dumps(messages).encode() + second
    assert b"\n" not in raw
    assert json.loads(raw) == {
        "custom_id": "k",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": WIRE.body(contract, messages),
    }


def test_the_body_has_the_provider_s_words() -> None:
    contract = Contract(
        provider="openai",
        endpoint=WIRE.endpoint,
        model="m",
        tools=(TOOL,),
        output=OUTPUT,
        settings={"max_tokens": 5, "service_tier": "flex"},
    )
    assert WIRE.body(contract, [{"role": "user", "content": "u"}]) == {
        "model": "m",
        "messages": [{"role": "user", "content": "u"}],
        "max_completion_tokens": 5,
        "service_tier": "flex",
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "f",
                    "description": 'Does "f".',
                    "parameters": {"type": "object", "properties": {}},
                    "strict": False,
                },
            }
        ],
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "T",
                "schema": {"type": "object"},
                "strict": True,
                "description": "A thing.",
            },
        },
    }


# --- the samples of the reference, where they are at hand

EXPECTED = {
    "chat_text": ("stop", "Hello."),
    "chat_tool_calls_parallel": ("tool_calls", None),
    "chat_tool_call_bad_json": ("tool_calls", None),
    "chat_refusal": ("stop", None),
    "chat_length": ("length", '{"answer":"trunc'),
    "chat_content_filter": ("content_filter", ""),
    "chat_native_json": ("stop", '{"city":"Paris","population":2100000}'),
    "err_400_schema": ("rejected", "invalid_request_error"),
    "err_400_min_tokens": ("rejected", "integer_below_min_value"),
    "err_400_context": ("rejected", "context_length_exceeded"),
    "err_429": ("retryable", "rate_limit_exceeded"),
    "err_500": ("retryable", "server_error"),
    "err_status0": ("retryable", "http_0"),
    "err_200_empty": ("unreadable", "empty_body"),
    "batch_expired": ("never_ran", "batch_expired"),
    "batch_cancelled": ("never_ran", "batch_cancelled"),
    "request_timeout": ("retryable", "request_timeout"),
    # Lines of another endpoint: no answer for this codec, and no exception either.
    "responses_text": ("unreadable", "empty_body"),
    "responses_function_call": ("unreadable", "empty_body"),
    "responses_refusal": ("unreadable", "empty_body"),
    "responses_incomplete": ("unreadable", "empty_body"),
    "responses_failed_in_200": ("retryable", "server_error"),
}


@pytest.mark.skipif(not SAMPLES.exists(), reason="the sample bodies are not at hand")
@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_line_is_judged(name: str) -> None:
    raw = json.loads(SAMPLES.read_bytes())["lines"][name]
    found = WIRE.decode(json.dumps(raw).encode())
    assert found.custom_id == raw["custom_id"]
    result = found.result
    if isinstance(result, Reply):
        assert (result.finish, result.text) == EXPECTED[name]
        assert result.usage.input_tokens == 22
    else:
        assert (result.kind, result.code) == EXPECTED[name]


@pytest.mark.skipif(not SAMPLES.exists(), reason="the sample bodies are not at hand")
def test_every_sample_line_is_expected() -> None:
    assert set(json.loads(SAMPLES.read_bytes())["lines"]) == set(EXPECTED)


def test_json_of_any_shape_is_asked_for() -> None:
    contract = Contract(provider="openai", endpoint=WIRE.endpoint, model="m", json_mode=True)
    assert WIRE.body(contract, [])["response_format"] == {"type": "json_object"}
    assert Contract.from_json(contract.to_json()) == contract


@pytest.mark.parametrize("half", [chr(0xD83D), chr(0xDC00), chr(0xD83D) * 2, "\udc00 \ud83d"])
@pytest.mark.parametrize("nested", [False, True])
def test_half_an_emoji_costs_no_answer(half: str, nested: bool) -> None:
    """A reply that was cut in one: valid JSON, and paid."""
    body = completion(content=f"ä cut {half}")
    raw = line(json.dumps(body) if nested else body)
    found = WIRE.decode(raw)
    told = half.encode("utf-8", "replace").decode()
    assert found.custom_id == "k"
    assert isinstance(found.result, Reply)
    assert found.result.text == f"ä cut {told}"
    assert WIRE.assistant(raw) == [{"role": "assistant", "content": f"ä cut {told}"}]


def test_half_an_emoji_is_no_excuse_for_what_is_no_json() -> None:
    assert error(b'{"custom_id": "\\ud83d').kind == "unreadable"
    assert error(b'{"a": "\\ud83d", "b": ' + b"[" * 100_000).kind == "unreadable"
