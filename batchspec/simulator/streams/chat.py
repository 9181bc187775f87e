"""The chunks of a streamed chat completion."""

from collections.abc import Iterator

from batchspec.simulator.streams.events import DONE, event, pieces
from batchspec.simulator.wire import Json, object_at


def chat_stream(body: Json, completion: Json) -> Iterator[bytes]:
    """Tell a completion in chunks, with its usage at the end where that was asked for."""
    with_usage = bool(object_at(body, "stream_options").get("include_usage"))
    kept = ("id", "created", "model", "service_tier", "system_fingerprint")
    head: Json = {name: completion.get(name) for name in kept}
    head["object"] = "chat.completion.chunk"
    # Every chunk says that usage will come, and the last one says it.
    head |= {"usage": None} if with_usage else {}
    for choice in completion.get("choices") or ():
        for delta, reason in _deltas(choice):
            told = {
                "index": choice["index"],
                "delta": delta,
                "logprobs": None,
                "finish_reason": reason,
            }
            yield event({**head, "choices": [told]})
    if with_usage:
        yield event({**head, "choices": [], "usage": completion.get("usage")})
    yield DONE


def _deltas(choice: Json) -> Iterator[tuple[Json, str | None]]:
    message = object_at(choice, "message")
    calls = message.get("tool_calls") or ()
    content = message.get("content")
    yield {"role": "assistant", "content": None if calls else "", "refusal": None}, None
    for piece in pieces(content or ""):
        yield {"content": piece}, None
    for piece in pieces(message.get("refusal") or ""):
        yield {"refusal": piece}, None
    for index, call in enumerate(calls):
        function = {"name": call["function"]["name"], "arguments": ""}
        opening = {"index": index, "id": call["id"], "type": "function", "function": function}
        yield {"tool_calls": [opening]}, None
        for piece in pieces(call["function"]["arguments"]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}, None
    yield {}, choice.get("finish_reason")
