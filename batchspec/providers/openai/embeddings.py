"""The codec of `/v1/embeddings` batches: request lines out, vectors in. No I/O.

A line carries one input and its answer one vector, so that an item has one vector, and a batch's
limit of 50,000 inputs over all lines is its limit of 50,000 lines. Stored messages of such a
request are the JSON of its input: a text, or the ids of its tokens. Facts: OpenAI's API reference.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from batchspec.messages import Contract, JsonObject, Line, Reply, Usage
from batchspec.providers.openai.lines import counted, fixed_json, judge
from batchspec.spec.shapes import is_list
from batchspec.spec.vectors import pack, raw

_PACKED = "base64"


class EmbeddingsWire:
    """Implements `ports.Wire` for embeddings.

    Vectors are asked for as base64 of 32-bit floats, which is exact and a third of the size of
    numbers written out. They are taken in either form, since some servers know only one of them.
    """

    endpoint: str = "/v1/embeddings"
    max_requests: int = 50_000
    max_bytes: int = 200_000_000

    def body(self, contract: Contract, messages: Sequence[Any]) -> JsonObject:
        """Return the request body as the provider gets it; `messages` are the input."""
        given: Any = messages
        return {**_fixed(contract), "input": given if isinstance(given, str) else list(given)}

    def encode(self, messages_json: bytes) -> bytes:
        """Return a stored input as it stands in a line."""
        return messages_json

    def size(self, messages_json: bytes) -> int:
        """Return how many bytes a stored input takes in a line."""
        return len(messages_json)

    def line_parts(self, contract: Contract) -> tuple[bytes, bytes]:
        """Return what stands in a line between the custom_id and the input, and after it."""
        first = b'","method":"POST","url":"%s","body":%s,"input":' % (
            self.endpoint.encode(),
            fixed_json(_fixed(contract))[:-1],
        )
        return first, b"}}"

    def decode(self, line: bytes) -> Line:
        """Judge one line of a result file alone; never raises.

        The text of a reply is its vector, packed; see `spec.vectors`.
        """
        return judge(line, _read)

    def assistant(self, line: bytes) -> list[JsonObject]:
        """Return nothing: a vector is not sent back."""
        _ = line
        return []

    def tool_answer(self, call: str, content: str) -> JsonObject:
        """Refuse: no tool is called.

        Raises:
            AssertionError: Always.
        """
        raise AssertionError(f"an embedding model called {call!r} and was told {content!r:.80}")


def _fixed(contract: Contract) -> JsonObject:
    return {"model": contract.model, "encoding_format": _PACKED, **contract.settings}


def _read(body: Mapping[str, Any]) -> Reply | None:
    data = body.get("data")
    if not data:
        return None
    if len(data) != 1 or data[0].get("index", 0) != 0:
        places = [entry.get("index") for entry in data]
        raise ValueError(f"one vector was asked for, and those of {places!r:.80} came")
    model = body.get("model")
    return Reply(
        _packed(data[0]["embedding"]),
        "stop",
        usage=_usage(body.get("usage")),
        model=model if isinstance(model, str) else None,
    )


def _packed(embedding: Any) -> str:
    if isinstance(embedding, str):
        raw(embedding)
        return embedding
    if not is_list(embedding) or not embedding:
        raise TypeError(f"the vector is {embedding!r:.80}")
    try:
        return pack(embedding)
    except OverflowError as error:
        raise ValueError(str(error)) from error


def _usage(usage: Any) -> Usage:
    tokens = counted(usage, "prompt_tokens") or counted(usage, "total_tokens")
    return Usage(input_tokens=tokens)
