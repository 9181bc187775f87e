"""Messages of every kind in the form of the conventions for generative AI."""

import json
from typing import Any

import pytest

from batchspec.ids import BatchId, JobAddress
from batchspec.messages import Reply, ToolCall, Usage
from batchspec.ports import Exchange
from batchspec.telemetry.contents import answered, asked

TEXT = {"type": "text", "content": "hi"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
TOLD = {"type": "tool_call", "id": "c1", "name": "f", "arguments": {"a": 1}}


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ({"role": "system", "content": "hi"}, {"role": "system", "parts": [TEXT]}),
        ({"role": "user", "content": [{"type": "text", "text": "hi"}]}, {"parts": [TEXT]}),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:…"}}]},
            {"parts": [{"type": "image_url"}]},
        ),
        (
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "assistant", "parts": [TOLD]},
        ),
        ({"role": "assistant", "content": None, "refusal": "hi"}, {"parts": [TEXT]}),
        (
            {"role": "tool", "tool_call_id": "c1", "content": "hi"},
            {"parts": [{"type": "tool_call_response", "id": "c1", "response": "hi"}]},
        ),
        # Items of responses.
        (
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'},
            {"role": "assistant", "parts": [TOLD]},
        ),
        (
            {"type": "function_call_output", "call_id": "c1", "output": "hi"},
            {
                "role": "tool",
                "parts": [{"type": "tool_call_response", "id": "c1", "response": "hi"}],
            },
        ),
        (
            {"type": "message", "role": "assistant", "content": [{"type": "o", "text": "hi"}]},
            {"role": "assistant", "parts": [TEXT]},
        ),
        ({"type": "reasoning", "encrypted_content": "x"}, {"parts": [{"type": "reasoning"}]}),
    ],
)
def test_a_message(message: dict[str, Any], told: dict[str, Any]) -> None:
    said = Exchange(
        batch=BatchId("b"),
        job=JobAddress("m.j"),
        custom_id="c",
        messages=json.dumps([message]).encode(),
        reply=Reply("hi"),
    )
    (found,) = json.loads(asked(said)["gen_ai.input.messages"])
    assert found.items() >= told.items()
    assert found.keys() == {"role", "parts"}


def test_a_reply_whose_arguments_are_no_json() -> None:
    call = ToolCall("c1", "f", "{")
    told = answered(Reply(None, "tool_calls", None, (call,), Usage(3, 0, 2), "m-1"))
    (message,) = json.loads(told["gen_ai.output.messages"])
    assert message == {
        "role": "assistant",
        "parts": [{"type": "tool_call", "id": "c1", "name": "f", "arguments": "{"}],
        "finish_reason": "tool_call",
    }
    assert told["gen_ai.response.model"] == "m-1"
    assert told["gen_ai.response.finish_reasons"] == ("tool_calls",)
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (3, 2)


def test_a_refusal_is_told() -> None:
    (message,) = json.loads(answered(Reply(None, refusal="no"))["gen_ai.output.messages"])
    assert message["parts"] == [{"type": "text", "content": "no"}]
