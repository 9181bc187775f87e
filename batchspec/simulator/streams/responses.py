"""The events of a streamed response."""

from collections.abc import Iterator

from batchspec.simulator.streams.events import event, pieces
from batchspec.simulator.wire import Json

_TEXTS: dict[str, tuple[str, Json]] = {
    "output_text": ("text", {"logprobs": []}),
    "refusal": ("refusal", {}),
}
"""By the type of a part: where its text is, and what its events hold besides."""


def response_stream(body: Json, response: Json) -> Iterator[bytes]:
    """Tell a response in events, numbered from 0."""
    _ = body
    for number, told in enumerate(_events(response)):
        yield event({**told, "sequence_number": number}, named=True)


def _events(response: Json) -> Iterator[Json]:
    begun: Json = response | {"status": "in_progress", "output": [], "usage": None}
    begun |= {"error": None, "incomplete_details": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(response.get("output") or ()):
        place = {"output_index": index}
        yield {"type": "response.output_item.added", **place, "item": _empty(item)}
        for told in _item_events(item):
            yield {**told, "item_id": item.get("id"), **place}
        yield {"type": "response.output_item.done", **place, "item": item}
    yield {"type": f"response.{response.get('status') or 'completed'}", "response": response}


def _empty(item: Json) -> Json:
    """An item of which nothing is known yet."""
    blank: Json = {"content": [], "summary": [], "arguments": "", "status": "in_progress"}
    return {name: blank.get(name, value) for name, value in item.items()}


def _item_events(item: Json) -> Iterator[Json]:
    for index, part in enumerate(item.get("summary") or ()):
        yield from _summary_events(part, {"summary_index": index})
    for index, part in enumerate(item.get("content") or ()):
        yield from _part_events(part, {"content_index": index})
    if item.get("type") == "function_call":
        name = "response.function_call_arguments"
        for piece in pieces(item["arguments"]):
            yield {"type": f"{name}.delta", "delta": piece}
        yield {"type": f"{name}.done", "arguments": item["arguments"]}


def _part_events(part: Json, place: Json) -> Iterator[Json]:
    key, more = _TEXTS[part["type"]]
    name = f"response.{part['type']}"
    yield {"type": "response.content_part.added", **place, "part": {**part, key: ""}}
    for piece in pieces(part[key]):
        yield {"type": f"{name}.delta", **place, "delta": piece, **more}
    yield {"type": f"{name}.done", **place, key: part[key], **more}
    yield {"type": "response.content_part.done", **place, "part": part}


def _summary_events(part: Json, place: Json) -> Iterator[Json]:
    name = "response.reasoning_summary"
    yield {"type": f"{name}_part.added", **place, "part": {**part, "text": ""}}
    for piece in pieces(part["text"]):
        yield {"type": f"{name}_text.delta", **place, "delta": piece}
    yield {"type": f"{name}_text.done", **place, "text": part["text"]}
    yield {"type": f"{name}_part.done", **place, "part": part}
