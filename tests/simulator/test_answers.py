import ast
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel

from batchspec.simulator import (
    Answer,
    CallableModel,
    HTTPFailure,
    Question,
    RecordedModel,
    Recording,
    Replay,
    SchemaModel,
    load_model,
)
from batchspec.simulator.answers.functions import request_hash

from .conftest import Simulation, request_line

Body = dict[str, Any]


def body_of(text: str = "What is 12 * (3 + 4)?", **more: Any) -> Body:
    body: Body = request_line("a", text, **more)["body"]
    return body


def tool(name: str, **properties: Any) -> Body:
    parameters = {"type": "object", "properties": properties, "required": [*properties]}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def question(body: Body, custom_id: str | None) -> Question:
    return Question("/v1/chat/completions", body, body, custom_id)


def ask(body: Body) -> Answer:
    answer = SchemaModel().answer(question(body, None))
    assert isinstance(answer, Answer)
    return answer


def follow(body: Body, answer: Answer) -> Body:
    """The next turn: every call answered."""
    calls = [call.to_wire() for call in answer.tool_calls]
    replies = [
        {"role": "tool", "tool_call_id": call.id, "content": "84"} for call in answer.tool_calls
    ]
    messages = [*body["messages"], {"role": "assistant", "tool_calls": calls}, *replies]
    return {**body, "messages": messages}


CALCULATOR = tool("calculator", expression={"type": "string"})
LOOKUP = tool("lookup", city={"enum": ["Rome", "Oslo"]}, days={"type": "integer", "maximum": 9})
FINAL = tool("final_result", answer={"type": "string"})


def test_the_same_request_gets_the_same_answer() -> None:
    assert ask(body_of()) == ask(body_of())
    assert ask(body_of("Why is the sky blue?")) != ask(body_of("Why is the sea green?"))


def test_text_speaks_of_the_prompt() -> None:
    assert "Marianne" in (ask(body_of("Marianne")).content or "")
    parts = [{"type": "text", "text": "Marianne"}, {"type": "image_url", "image_url": {}}]
    assert "Marianne" in (ask({"messages": [{"role": "user", "content": parts}]}).content or "")
    assert ask({"messages": [{"role": "system", "content": "7"}]}).content


def test_answers_are_of_many_lengths() -> None:
    texts = [ask(body_of(f"Tell me about glacier number {n}")).content or "" for n in range(200)]
    sentences = sorted(text.count(".") for text in texts)
    assert sentences[0] == 1
    assert sentences[100] in {1, 2}
    assert 6 <= sentences[-1] <= 9
    assert len(set(texts)) > 100


def test_a_schema_is_fulfilled() -> None:
    schema = {"type": "object", "properties": {"a": {"enum": [3, 4]}}, "required": ["a"]}
    wrapper = {"type": "json_schema", "json_schema": {"name": "A", "schema": schema}}
    answer = ask(body_of(response_format=wrapper))
    jsonschema.validate(json.loads(answer.content or ""), schema)
    loose = ask(body_of(response_format={"type": "json_object"}))
    assert isinstance(json.loads(loose.content or ""), dict)


def test_a_calculator_gets_something_to_calculate() -> None:
    for text in ("What is 12 * (3 + 4)?", "Add 5 and 7.25", "nothing", "On 2024-05-01, 007 paid"):
        (call, *_) = ask(body_of(text, tools=[CALCULATOR])).tool_calls
        ast.parse(json.loads(call.arguments)["expression"], mode="eval")
    (call, *_) = ask(body_of(tools=[CALCULATOR])).tool_calls
    assert json.loads(call.arguments) == {"expression": "12 * (3 + 4)"}


def test_a_conversation_with_tools_ends() -> None:
    lengths, ids = set(), []
    for number in range(60):
        body = body_of(f"Weather in Oslo, please, for {number}", tools=[LOOKUP, CALCULATOR])
        answer, rounds = ask(body), 0
        assert answer.tool_calls
        while answer.tool_calls:
            rounds += 1
            for call in answer.tool_calls:
                parameters = {"lookup": LOOKUP, "calculator": CALCULATOR}[call.name]["function"]
                jsonschema.validate(json.loads(call.arguments), parameters["parameters"])
                ids.append(call.id)
            body = follow(body, answer)
            answer = ask(body)
        assert answer.content
        assert "84" in answer.content
        lengths.add(rounds)
    assert lengths == {1, 2, 3}
    assert len(set(ids)) == len(ids) > 80
    assert all(identity.startswith("call_") for identity in ids)


def test_parallel_calls_are_made_only_when_allowed() -> None:
    counts = [
        {
            len(ask(body_of(str(n), tools=[LOOKUP], parallel_tool_calls=allowed)).tool_calls)
            for n in range(40)
        }
        for allowed in (True, False)
    ]
    assert counts == [{1, 2}, {1}]


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("none", set()),
        ("required", {"lookup", "calculator"}),
        ({"type": "function", "function": {"name": "lookup"}}, {"lookup"}),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "calculator"}}],
                },
            },
            {"calculator"},
        ),
    ],
)
def test_a_tool_choice_is_honoured(choice: Any, names: set[str]) -> None:
    found: set[str] = set()
    for number in range(20):
        body = body_of(str(number), tools=[LOOKUP, CALCULATOR], tool_choice=choice)
        found |= {call.name for call in ask(body).tool_calls}
        if names:
            later = follow(body, ask(body))
            assert {call.name for call in ask(later).tool_calls} <= names
            assert ask(later).tool_calls
    assert found == names


def test_an_output_tool_comes_last() -> None:
    alone = ask(body_of(tools=[FINAL], tool_choice="required"))
    assert [call.name for call in alone.tool_calls] == ["final_result"]
    body = body_of(tools=[FINAL, LOOKUP], tool_choice="required")
    names = []
    while "final_result" not in names:
        answer = ask(body)
        names = [call.name for call in answer.tool_calls]
        assert names
        body = follow(body, answer)
    assert len(body["messages"]) > 3


@pytest.mark.anyio
async def test_an_answer_is_cut_at_the_token_limit(simulation: Simulation) -> None:
    text = "a long and winding question about everything " * 9
    batch = await simulation.finish(
        request_line("old", text, model="gpt-4o", max_tokens=4),
        request_line("new", text, model="gpt-4o", max_completion_tokens=4),
    )
    for line in await simulation.lines(batch.output_file_id):
        body = line["response"]["body"]
        assert body["choices"][0]["finish_reason"] == "length"
        assert len(body["choices"][0]["message"]["content"]) <= 16
        assert body["usage"]["completion_tokens"] <= 4


class City(BaseModel):
    name: str


@pytest.mark.parametrize(
    ("returned", "content"),
    [
        ("hello", "hello"),
        (None, None),
        (City(name="Rome"), '{"name":"Rome"}'),
        ({"name": "Rome"}, '{"name":"Rome"}'),
        ([1, None], "[1,null]"),
        (3.5, "3.5"),
        ({"role": "assistant", "content": "hello"}, "hello"),
        ({"content": {"a": 1}}, '{"a":1}'),
        (Answer(content="whole"), "whole"),
    ],
)
def test_a_function_s_result_becomes_an_answer(returned: object, content: str | None) -> None:
    answer = CallableModel(lambda _: returned).answer(question(body_of(), "a"))
    assert isinstance(answer, Answer)
    assert answer.content == content


def test_a_function_may_call_tools() -> None:
    calls = [
        {"name": "look", "arguments": {"a": 1}},
        {"id": "call_x", "type": "function", "function": {"name": "look", "arguments": "{bad"}},
    ]
    message = {"role": "assistant", "tool_calls": calls}
    answer = CallableModel(lambda _: message).answer(question(body_of(), "a"))
    assert isinstance(answer, Answer)
    first, second = answer.tool_calls
    assert (first.name, first.arguments) == ("look", '{"a":1}')
    assert (second.id, second.arguments) == ("call_x", "{bad")
    assert first.id.startswith("call_")


def test_a_function_s_mistake_is_an_answer_too() -> None:
    def answer(_: Body) -> str:
        raise KeyError("city")

    with pytest.raises(HTTPFailure, match="KeyError: 'city'") as failed:
        CallableModel(answer).answer(question(body_of(), "a"))
    assert (failed.value.status, failed.value.kind) == (500, "server_error")


def recording(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


def test_of_several_answers_to_a_request_the_last_success_counts(tmp_path: Path) -> None:
    body, path = body_of(), tmp_path / "answers.jsonl"
    growing = Recording(path, growing=True)

    def add(status: int, text: str, request_id: str = "") -> bool:
        response = {"status_code": status, "request_id": request_id, "body": {"id": text}}
        return growing.append("a", body, response, None)

    assert [add(404, "none"), add(404, "none", "again"), add(400, "odd")] == [True, False, True]
    assert [add(200, "first"), add(400, "odd"), add(200, "second")] == [True, False, True]
    assert not add(200, "second", "downloaded again")
    growing.flush()
    with path.open("a") as file:  # by another program
        late = {"custom_id": "a", "request_hash": request_hash(body), "response": None}
        file.write(json.dumps(late) + "\n")
    for found in (growing, Recording(path)):
        for custom_id in ("a", "b", None):
            line = found.find(custom_id, body)
            assert line is not None
            assert line["response"]["body"] == {"id": "second"}
    growing.close()


def test_a_recording_that_was_there_is_its_owners_alone_from_then_on(tmp_path: Path) -> None:
    path = recording(tmp_path / "shared.jsonl", {"custom_id": "a", "content": "Yes."})
    path.chmod(0o644)
    growing = Recording(path, growing=True)
    growing.claim()
    growing.close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_replayed_requests_are_counted_once(tmp_path: Path) -> None:
    path = recording(tmp_path / "one.jsonl", {"custom_id": "a", "content": "Yes."})
    model = RecordedModel(path, fallback=SchemaModel())
    for custom_id in ("a", "a", "b", "b", "b", "c"):
        model.answer(question(body_of(), custom_id))
    assert (model.replayed, model.missed) == (1, 2)


def test_recorded_answers_are_found(tmp_path: Path) -> None:
    body = body_of("by hash")
    path = recording(
        tmp_path / "answers.jsonl",
        {"custom_id": "a", "response": {"status_code": 200, "body": {"id": "x"}}, "error": None},
        {"request_hash": request_hash(body), "content": "found"},
        {"custom_id": "a", "response": None, "error": {"code": "late", "message": ""}},
    )
    model = load_model(str(path))
    assert isinstance(model, RecordedModel)
    replay = model.answer(question(body_of(), "a"))
    assert replay == Replay(response={"status_code": 200, "body": {"id": "x"}}, error=None)
    assert model.answer(question(dict(reversed(body.items())), None)) == Answer(
        content="found", tool_calls=[]
    )
    with pytest.raises(HTTPFailure, match="No answer is recorded") as missing:
        model.answer(question(body_of(), "b"))
    assert missing.value.status == 404
    lenient = load_model(str(path), fallback=SchemaModel())
    assert lenient.answer(question(body_of(), "b")) == SchemaModel().answer(
        question(body_of(), "b")
    )


@pytest.mark.anyio
async def test_a_result_file_is_a_recording(
    start: Callable[..., Simulation], tmp_path: Path
) -> None:
    simulation = start()
    batch = await simulation.finish(request_line("a"), request_line("b", bad=1))
    lines = await simulation.lines(batch.output_file_id)
    odd = {"custom_id": "c", "response": None, "error": {"code": "request_timeout", "message": ""}}
    empty = {"custom_id": "d", "response": {"status_code": 0, "body": {}}, "error": None}
    model = RecordedModel(recording(tmp_path / "out.jsonl", *lines, odd, empty))
    simulation = start(model=model)
    batch = await simulation.finish(*map(request_line, "abcd"))
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (1, 3)
    (again,) = await simulation.lines(batch.output_file_id)
    assert again["response"]["body"] == lines[0]["response"]["body"]
    assert batch.usage is not None
    assert batch.usage.total_tokens == again["response"]["body"]["usage"]["total_tokens"]
    errors = {line["custom_id"]: line for line in await simulation.lines(batch.error_file_id)}
    assert errors["b"]["response"]["status_code"] == 404
    assert (errors["c"]["response"], errors["c"]["error"]["code"]) == (None, "request_timeout")
    assert errors["d"]["response"]["status_code"] == 0


def test_answers_are_loaded_by_reference(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from dataclasses import dataclass\n"
        "@dataclass\n"
        "class City:\n"
        "    name: str\n"
        "def answer(body):\n"
        "    return City(body['model'])\n"
        "class Odd:\n"
        "    def answer(self, question):\n"
        "        return question.custom_id\n"
        "odd = Odd()\n"
    )
    answer = load_model(f"{path}:answer").answer(question(body_of(), "a"))
    assert answer == Answer(content='{"name":"gpt-5-mini"}')
    assert load_model(f"{path}:odd").answer(question(body_of(), "a")) == "a"
    for reference in (f"{path}:none", str(path), "answers.txt", "module:answer"):
        with pytest.raises(ValueError, match=r"answers|no function"):
            load_model(reference)
    with pytest.raises(FileNotFoundError):
        load_model(f"{tmp_path / 'none.py'}:answer")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("x = 1\ndef (", "mine.py:2: SyntaxError: invalid syntax"),
        ("\n\nimport nosuch", "mine.py:3: ModuleNotFoundError: No module named 'nosuch'"),
        ("def f():\n    raise KeyError('a')\nf()", "mine.py:2: KeyError: 'a'"),
        ("exit(3)", "mine.py:1: SystemExit: 3"),
    ],
)
def test_a_file_that_cannot_be_run_is_told_by_its_line(
    tmp_path: Path, code: str, told: str
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(code)
    with pytest.raises(ValueError, match=re.escape(told)):
        load_model(f"{path}:answer")


@pytest.mark.parametrize("line", ["{", "[]", '{"content": "x"}'])
def test_a_broken_recording_is_told_by_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(f"\n{line}\n")
    with pytest.raises(ValueError, match=r"answers\.jsonl:2: "):
        RecordedModel(path)
