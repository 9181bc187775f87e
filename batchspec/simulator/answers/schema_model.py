"""Answers made up from what the request itself says: its schemas, its tools, its words."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b

from pydantic_core import from_json, to_json

from batchspec.simulator.answers.conform import Schema
from batchspec.simulator.answers.port import EMBEDDINGS, Answer, Question, Replay, ToolCall
from batchspec.simulator.answers.schema import make_instance
from batchspec.simulator.answers.vectors import unit_vector
from batchspec.simulator.answers.voice import Voice
from batchspec.simulator.endpoints.models import embedding_size
from batchspec.simulator.wire import Json, is_object

_SENDING = ("stream", "stream_options")
_MAX_ROUNDS = 3
_OUTPUT_TOOL = "final_result"
"""Tools whose name starts so carry the final answer; they are called when all else is done."""


class SchemaModel:
    """Answers any request with something valid; the same request gets the same answer.

    Tools are called before the first answer, sometimes two at once, and in one of four cases
    again, for three rounds at most.
    """

    def answer(self, question: Question) -> Answer | Replay:
        body = question.chat
        if question.endpoint == EMBEDDINGS:
            return Answer(vectors=_vectors(question))
        if "stream" in body:
            # How an answer is sent does not change it.
            body = {name: value for name, value in body.items() if name not in _SENDING}
        salt = b"%d" % question.choice if question.choice else b""
        digest = blake2b(to_json(body), digest_size=24, salt=salt).digest()
        voice = Voice(digest, _prompt(body["messages"]))
        offer = _offer(body)
        if offer.tools and (chosen := _choose(offer, body, voice)):
            return Answer(tool_calls=_calls(chosen, voice, digest))
        return Answer(content=_content(body, voice))


def _vectors(question: Question) -> list[list[float]]:
    size = question.body.get("dimensions") or embedding_size(question.body["model"])[0]
    return [unit_vector(message["content"], size) for message in question.chat["messages"]]


@dataclass(frozen=True, slots=True)
class _Offer:
    """The tools a request allows."""

    tools: Sequence[Json]
    must: bool
    """Whether one has to be called."""


def _offer(body: Json) -> _Offer:
    functions = [
        tool["function"] for tool in body.get("tools") or () if tool.get("type") == "function"
    ]
    choice = body.get("tool_choice") or "auto"
    if choice == "none":
        return _Offer((), must=False)
    if isinstance(choice, str):
        return _Offer(functions, must=choice == "required")
    if choice.get("type") == "allowed_tools":
        # The service nests the list; clients were seen to send it flat.
        allowed = choice.get("allowed_tools") or choice
        names = [(tool.get("function") or tool).get("name") for tool in allowed.get("tools") or ()]
        return _Offer(_named(functions, names), must=allowed.get("mode") == "required")
    function: Json = choice.get("function") or {}
    return _Offer(_named(functions, [function.get("name")]), must=True)


def _named(functions: Sequence[Json], names: Sequence[str | None]) -> list[Json]:
    return [function for function in functions if function.get("name") in names]


def _choose(offer: _Offer, body: Json, voice: Voice) -> Sequence[Json]:
    """The tools to call in this turn; none when it is time for an answer."""
    finals = [tool for tool in offer.tools if tool["name"].startswith(_OUTPUT_TOOL)]
    others = [tool for tool in offer.tools if tool not in finals]
    rounds = sum(1 for message in body["messages"] if message.get("tool_calls"))
    again = rounds < _MAX_ROUNDS and voice.random.random() < 0.25
    if offer.must and not finals and rounds and len(others) > 1:
        # Tools are listed first: where one has to be called, the last may be what ends it.
        finals = others[-1:]
    only_way = offer.must and not finals
    if others and (rounds == 0 or again or only_way):
        several = body.get("parallel_tool_calls") is not False and voice.random.random() < 0.3
        return [voice.random.choice(others) for _ in range(2 if several else 1)]
    return [voice.random.choice(finals)] if finals else []


def _calls(tools: Sequence[Json], voice: Voice, digest: bytes) -> list[ToolCall]:
    calls: list[ToolCall] = []
    for index, tool in enumerate(tools):
        # The digest covers the conversation so far, so that no turn repeats another one's ids.
        identity = f"call_{digest[:11].hex()}{index:02x}"
        parameters: Schema = tool.get("parameters") or {"type": "object", "properties": {}}
        arguments = make_instance(parameters, voice)
        calls.append(ToolCall(identity, tool["name"], to_json(arguments).decode()))
    return calls


def _content(body: Json, voice: Voice) -> str:
    response_format: Json = body.get("response_format") or {}
    kind = response_format.get("type")
    if kind == "json_schema":
        schema: Schema = response_format["json_schema"].get("schema") or {}
        return to_json(make_instance(schema, voice)).decode()
    if (told := _told_schema(body["messages"])) is not None:
        return to_json(make_instance(told, voice)).decode()
    if kind == "json_object":
        return to_json({"answer": voice.sentence()}).decode()
    last = body["messages"][-1]
    if last["role"] == "tool":
        return f"The tool says: {_text(last)[:200]}. {voice.sentence()}"
    return voice.answer()


def _told_schema(messages: Sequence[Json]) -> Schema | None:
    """The schema of an object that a system message has in a line of its own, if one does."""
    for message in messages:
        if message["role"] not in {"system", "developer"}:
            continue
        for line in _text(message).splitlines():
            if line.startswith("{"):
                with suppress(ValueError):
                    found = from_json(line)
                    if is_object(found) and found.get("type") == "object":
                        return found
    return None


def _prompt(messages: Sequence[Json]) -> str:
    """The last thing the user said, or the first message where nobody did."""
    said = next((m for m in reversed(messages) if m["role"] == "user"), messages[0])
    return _text(said)


def _text(message: Json) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content or ()
    return " ".join(str(part.get("text") or "") for part in parts if is_object(part))
