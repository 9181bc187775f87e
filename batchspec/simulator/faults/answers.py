"""Faults of what a model says, in batches and live: behaviours 40 to 45."""

import json
from abc import abstractmethod
from typing import Any, ClassVar, Literal

from batchspec.simulator.faults.bodies import Body, Called, Cut
from batchspec.simulator.faults.lines import LineFault
from batchspec.simulator.faults.result import Result, text_of
from batchspec.simulator.wire import HTTPFailure, Json, is_array, is_object


class AnswerFault(LineFault):
    """A fault of a model's answer; it leaves alone what is no answer of a model."""

    def spoil(self, result: Result) -> None:
        body = result.body()
        if body is not None:
            self.twist(body, result)

    @abstractmethod
    def twist(self, body: Body, result: Result) -> None:
        """Change the answer."""


class OddToolCalls(AnswerFault):
    """The model calls tools in an odd way."""

    fault: Literal["odd_tool_calls"] = "odd_tool_calls"
    behaviours: ClassVar = (40,)
    form: Literal[
        "single", "parallel", "unknown_tool", "invalid_json", "wrong_types", "repeated_ids"
    ] = "invalid_json"
    """A call is made up when there is none, as long as a tool is offered; a tool that nobody
    offered is called in any case."""

    def twist(self, body: Body, result: Result) -> None:
        calls = body.calls() or [
            Called(f"call_{result.random.getrandbits(96):024x}", name, "{}")
            for name in body.offered()[:1]
        ]
        if self.form == "unknown_tool":
            calls = calls or [Called(f"call_{result.random.getrandbits(96):024x}", "", "{}")]
            calls = [calls[0].changed(name="no_such_tool"), *calls[1:]]
        if calls:
            body.call(self._changed(calls, result))

    def _changed(self, calls: list[Called], result: Result) -> list[Called]:
        one = calls[0]
        match self.form:
            case "single":
                return [one]
            case "parallel" if len(calls) == 1:
                return [one, one.changed(id=f"call_{result.random.getrandbits(96):024x}")]
            case "invalid_json":
                return [one.changed(arguments=one.arguments[:-1]), *calls[1:]]
            case "wrong_types":
                return [one.changed(arguments=text_of(_mistyped(one.arguments))), *calls[1:]]
            case "repeated_ids":
                others = calls[1:] or [one]
                return [one, *(call.changed(id=one.id) for call in others)]
            case _:
                return calls


def _mistyped(arguments: str) -> Any:
    try:
        given = json.loads(arguments)
    except ValueError:
        return []
    if not is_object(given) or not given:
        return []
    return {name: None if is_array(value) else [value] for name, value in given.items()}


class Refusal(AnswerFault):
    """The model refuses."""

    fault: Literal["refusal"] = "refusal"
    behaviours: ClassVar = (41,)
    text: str = "I'm sorry, but I can't help with that."

    def twist(self, body: Body, result: Result) -> None:
        _ = result
        body.refuse(self.text)


class CutAnswer(AnswerFault):
    """The answer ends before its time, inside a 200."""

    fault: Literal["cut_answer"] = "cut_answer"
    behaviours: ClassVar = (42,)
    form: Cut = "length"
    """For `/v1/responses` the first two are `incomplete` and the third is `failed`; chat
    completions cannot tell that, and are filtered."""

    def twist(self, body: Body, result: Result) -> None:
        _ = result
        body.cut(self.form)


class OddContent(AnswerFault):
    """What the model says is not what was asked for, or not in the form."""

    fault: Literal["odd_content"] = "odd_content"
    behaviours: ClassVar = (43,)
    form: Literal["schema_violation", "fenced", "text_beside_tool_call", "empty"] = (
        "schema_violation"
    )
    """`text_beside_tool_call` leaves alone an answer that calls no tool, `schema_violation` and
    `fenced` one to a request that asks for text."""

    def twist(self, body: Body, result: Result) -> None:
        if self.form == "text_beside_tool_call":
            if calls := body.calls():
                body.call(calls)
                body.say("Let me look that up.")
        elif not body.calls() and (self.form == "empty" or _asks_for_json(result.request)):
            body.say(self._changed(body.text()))

    def _changed(self, text: str) -> str:
        match self.form:
            case "fenced":
                return f"Here you are:\n\n```json\n{text}\n```"
            case "empty":
                return ""
            case _:
                return text_of(_violated(text))


def _asks_for_json(request: Json) -> bool:
    text = request.get("text")
    asked = text.get("format") if is_object(text) else request.get("response_format")
    return is_object(asked) and asked.get("type") != "text"


def _violated(text: str) -> Any:
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if not is_object(given) or not given:
        return {"unexpected": True}
    return {f"not_{name}": value for name, value in given.items()}


class ReasoningItems(AnswerFault):
    """The model thinks before it answers, and shows it where the endpoint can."""

    fault: Literal["reasoning_items"] = "reasoning_items"
    behaviours: ClassVar = (44,)
    summary: str = "The request is clear; an answer follows."

    def twist(self, body: Body, result: Result) -> None:
        _ = result
        body.reason(self.summary)


class SchemaRefused(AnswerFault):
    """The service does not accept the schema of the request."""

    fault: Literal["schema_refused"] = "schema_refused"
    behaviours: ClassVar = (45,)

    def twist(self, body: Body, result: Result) -> None:
        _ = body
        message = (
            "Invalid schema for response_format 'answer': In context=(), "
            "'additionalProperties' is required to be supplied and to be false."
        )
        responses = "input" in result.request
        param = "text.format.schema" if responses else "response_format"
        code = "invalid_json_schema" if responses else None
        result.answer(400, HTTPFailure(400, message, param=param, code=code).body)


ANSWERS = (OddToolCalls, Refusal, CutAnswer, OddContent, ReasoningItems, SchemaRefused)
