"""The turns of one item, read back: each request with its reply and its tool calls."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import zip_longest
from typing import Any

from pydantic_core import from_json

from batchspec.ids import JobAddress, RemoteId, RowKey
from batchspec.messages import JsonObject, LineError, Reply, ToolCall, Usage
from batchspec.ports import Reader, Wire
from batchspec.spec.feedback import FEEDBACK, for_people
from batchspec.state.stored import CallRecord, StoredTurn


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRun:
    """A call the model asked for, and what came of it here.

    Attributes:
        name: Of the tool, as the model wrote it.
        arguments: A JSON object; the text as it came where it is none.
        result: What the model was told, or why it failed; None: it has not ended.
        failed: Whether it cost the item.
        attempts: How often the function was called; 0: never, for example an unknown tool.
        started_at: When it last began, in unix seconds; None: it did not.
        seconds: It took, all attempts together; None: the function was not called.
        reused: Whether the answer is that of an equal call of a pure tool.
    """

    name: str
    arguments: Any
    result: str | None = None
    failed: bool = False
    attempts: int = 0
    started_at: float | None = field(default=None, compare=False)
    seconds: float | None = field(default=None, compare=False)
    reused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One request and what came back.

    A turn that was sent more than once has one of these for each reply or error that came back.

    Attributes:
        number: From 1.
        request: The body as the provider got it.
        reply: The reply, why there is none, or None: it is not answered yet, or its line never
            came.
        line: The line of the result file it stood in, as it came.
        batch: The provider's id of the batch that carried it; None: of the last reply.
        tool_calls: What the reply asked for and a function answered, or was to, in order.
        other_calls: Calls of the reply that no function was asked to answer: what gave the output,
            accepted or not, calls beside an accepted one, and those of the last turn.
        usage: Tokens of this reply.
        cost: US dollars of this reply; None: its price is unknown.
        answer: Which answer it is of, from 1: after `--replace` an item has turns of several.
        replaced: Whether the item has another answer now, or waits for one and keeps none.
        feedback: Why the output was not accepted, as the next request tells the model; None: it
            was accepted, there was none, or nothing was asked after it.
    """

    number: int
    request: JsonObject
    reply: Reply | LineError | None
    line: bytes | None
    batch: RemoteId | None
    tool_calls: tuple[ToolRun, ...] = ()
    other_calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage()
    cost: Decimal | None = None
    answer: int = 1
    replaced: bool = False
    feedback: str | None = None


def turns(
    reader: Reader, wires: Mapping[str, Wire], job: JobAddress, key: RowKey
) -> tuple[Turn, ...]:
    """Return the turns of an item in the order of their replies; none: there is no such item."""
    recorded = reader.turns(job, key)
    return tuple(
        _turn(reader, wires, stored, following)
        for stored, following in zip_longest(recorded, recorded[1:])
        if stored is not None
    )


def _turn(
    reader: Reader, wires: Mapping[str, Wire], stored: StoredTurn, following: StoredTurn | None
) -> Turn:
    contract = reader.contract(stored.contract)
    wire = wires[contract.endpoint]
    reply = None if stored.line is None else wire.decode(stored.line).result
    kept = {call.call_id for call in stored.calls}
    asked = reply.tool_calls if isinstance(reply, Reply) else ()
    others = tuple(call for call in asked if call.id not in kept)
    return Turn(
        number=stored.turn,
        request=wire.body(contract.at(stored.turn), from_json(stored.messages_json)),
        reply=reply,
        line=stored.line,
        batch=stored.batch,
        tool_calls=tuple(_tool_run(call) for call in stored.calls),
        other_calls=others,
        usage=stored.usage,
        cost=None if stored.cost is None else Decimal(repr(stored.cost)),
        answer=stored.answer,
        replaced=stored.replaced,
        feedback=_feedback(stored, following, {call.id for call in others}),
    )


def _feedback(
    stored: StoredTurn, following: StoredTurn | None, calls: Collection[str]
) -> str | None:
    """Return what the request after a reply says of its output: by itself, or to its call."""
    if following is None or (following.answer, following.turn) != (stored.answer, stored.turn + 1):
        return None
    before: list[JsonObject] = from_json(stored.messages_json)
    after: list[JsonObject] = from_json(following.messages_json)
    for message in after[len(before) :]:
        call = message.get("tool_call_id") or message.get("call_id")
        said = message.get("output") if "call_id" in message else message.get("content")
        if not isinstance(said, str):
            continue
        if call in calls or (message.get("role") == "user" and said.startswith(FEEDBACK)):
            return for_people(said)
    return None


def _tool_run(call: CallRecord) -> ToolRun:
    try:
        arguments: Any = from_json(call.arguments)
    except ValueError:
        arguments = call.arguments
    return ToolRun(
        name=call.name,
        arguments=arguments,
        result=call.result,
        failed=call.status == "failed",
        attempts=call.attempts,
        started_at=call.started_at,
        seconds=call.seconds,
        reused=call.reused,
    )
