"""The codec of `/v1/responses` batches: request lines out, result lines in. No I/O.

Turns are stateless: each line holds the whole conversation, the model's thoughts among it, sealed.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from pydantic_core import from_json

from batchspec.fingerprint import canonical_json
from batchspec.messages import Contract, FinishReason, JsonObject, Line, LineError, Reply, Usage
from batchspec.providers.openai.items import (
    function_call,
    said,
    stands,
    to_items,
    tool_output,
)
from batchspec.providers.openai.lines import (
    blot,
    body_of,
    counted,
    fixed_json,
    is_array,
    is_object,
    judge,
    parse,
    sendable,
)

_RENAMED: Final = {"max_tokens": "max_output_tokens", "max_completion_tokens": "max_output_tokens"}
_NESTED: Final = {"reasoning_effort": ("reasoning", "effort"), "verbosity": ("text", "verbosity")}
_SEALED: Final = "reasoning.encrypted_content"
_LOGPROBS: Final = "message.output_text.logprobs"
_REASONING = re.compile(r"(?:.*/)?(?:o\d|gpt-(?:[5-9]|\d\d)(?!.*chat))")
_PASSING: Final = {"server_error", "rate_limit_exceeded", "vector_store_timeout"}
_UNFINISHED: Final = {"queued", "in_progress", "cancelled"}
_PERMANENT = re.compile(r"invalid_|image_|empty_|unsupported_|.*_(?:policy|violation|mismatch)\b")
"""Codes of failed responses that say that the request itself is not served."""


class ResponsesWire:
    """Implements `ports.Wire` for responses."""

    endpoint: str = "/v1/responses"
    max_requests: int = 50_000
    max_bytes: int = 200_000_000

    def body(self, contract: Contract, messages: Sequence[Any]) -> JsonObject:
        """Return the request body as the provider gets it."""
        return {**self._fixed(contract), "input": to_items(messages)}

    def encode(self, messages_json: bytes) -> bytes:
        """Return stored messages as they stand in a line: as input items."""
        if stands(messages_json):
            return messages_json
        return canonical_json(to_items(from_json(messages_json)))

    def size(self, messages_json: bytes) -> int:
        """Return how many bytes stored messages take in a line."""
        return len(self.encode(messages_json))

    def line_parts(self, contract: Contract) -> tuple[bytes, bytes]:
        """Return what stands in a line between the custom_id and the input, and after it."""
        fixed = fixed_json(self._fixed(contract))
        first = b'","method":"POST","url":"%s","body":%s,"input":' % (
            self.endpoint.encode(),
            fixed[:-1],
        )
        return first, b"}}"

    def _fixed(self, contract: Contract) -> JsonObject:
        """Return the body without its input."""
        body: JsonObject = {"model": contract.model, "store": False}
        for name, value in contract.settings.items():
            if name in _NESTED:
                table, key = _NESTED[name]
                body[table] = {**body.get(table, {}), key: value}
            elif name == "reasoning" and is_object(value):
                body[name] = {**body.get(name, {}), **value}
            elif name == "tool_choice":
                body[name] = _choice(value)
            elif name == "logprobs":
                _include(body, *([_LOGPROBS] if value else []))
            else:
                body[_RENAMED.get(name, name)] = value
        if contract.tools:
            body["tools"] = [
                {
                    "type": "function",
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                    "strict": tool.strict,
                }
                for tool in contract.tools
            ]
        if (text_format := _format(contract)) is not None:
            body["text"] = {**body.get("text", {}), "format": text_format}
        if body["store"] is not True and reasons(contract.model):
            _include(body, _SEALED)
        return body

    def decode(self, line: bytes) -> Line:
        """Judge one line of a result file alone; never raises."""
        return judge(line, _read)

    def assistant(self, line: bytes) -> list[JsonObject]:
        """Return the items of a line that `decode` read as a reply, as they came."""
        return said(sendable(body_of(parse(line)["response"])["output"]))

    def tool_answer(self, call: str, content: str) -> JsonObject:
        """Return the item that answers the call of a tool."""
        return tool_output(call, content)


@lru_cache(maxsize=256)
def reasons(model: str) -> bool:
    """Tell by its name whether a model thinks first, so that its thoughts have to go along.

    Others refuse to be asked for sealed thoughts.
    """
    return _REASONING.match(model) is not None


def _include(body: JsonObject, *names: str) -> None:
    known: list[str] = list(body.get("include") or ())
    body["include"] = known + [name for name in names if name not in known]


def _format(contract: Contract) -> JsonObject | None:
    output = contract.output
    if output is None:
        return {"type": "json_object"} if contract.json_mode else None
    found: JsonObject = {
        "type": "json_schema",
        "name": output.name,
        "schema": output.schema,
        "strict": output.strict,
    }
    return found | ({"description": output.description} if output.description else {})


def _choice(choice: Any) -> Any:
    """Return a choice of tools in this endpoint's form: flat, where chats nest."""
    match choice:
        case {"type": "function", "function": {"name": name}}:
            return {"type": "function", "name": name}
        case {"type": "allowed_tools", "allowed_tools": {**allowed}}:
            tools: Any = allowed.get("tools") or []
            return {"type": "allowed_tools", **allowed, "tools": [_choice(one) for one in tools]}
        case _:
            return choice


def _read(body: Mapping[str, Any]) -> Reply | LineError | None:
    status, output = body.get("status"), body.get("output")
    if status == "failed":
        return _failed(body.get("error"))
    if status in _UNFINISHED:
        return LineError("retryable", f"response_{status}", f"the response is {status}")
    if not is_array(output) or (not output and status not in {"completed", "incomplete"}):
        return None
    return _reply(body, output)


def _failed(error: Any) -> LineError:
    details: Mapping[str, Any] = error if is_object(error) else {}
    code = blot(str(details.get("code") or "response_failed"))
    message = blot(str(details.get("message") or "the response failed"))
    permanent = code not in _PASSING and _PERMANENT.match(code)
    return LineError("rejected" if permanent else "retryable", code, message)


def _reply(body: Mapping[str, Any], output: Sequence[Any]) -> Reply:
    items = [item for item in output if is_object(item)]
    calls = tuple([function_call(i) for i in items if i.get("type") == "function_call"])
    spoken = [i for i in items if i.get("type") == "message"]
    # What is said on the way to an answer is no part of it.
    final = [i for i in spoken if i.get("phase") != "commentary"] or spoken
    parts = [part for item in final for part in item.get("content") or () if is_object(part)]
    refusals = [str(part.get("refusal") or "") for part in parts if part.get("type") == "refusal"]
    texts = [str(part.get("text") or "") for part in parts if part.get("type") == "output_text"]
    model = body.get("model")
    return Reply(
        "".join(texts) if texts else None,
        _finish(body, calls=bool(calls)),
        "".join(refusals) or None,
        calls,
        _usage(body.get("usage")),
        model if isinstance(model, str) else None,
    )


def _finish(body: Mapping[str, Any], *, calls: bool) -> FinishReason:
    status, details = body.get("status"), body.get("incomplete_details")
    if status == "incomplete":
        reason = details.get("reason") if is_object(details) else None
        # Whatever else ended it: there is more that was not said.
        return "content_filter" if reason == "content_filter" else "length"
    if calls:
        return "tool_calls"
    return "stop" if status == "completed" else "unknown"


def _usage(usage: Any) -> Usage:
    if not is_object(usage):
        return Usage()
    return Usage(
        counted(usage, "input_tokens"),
        counted(usage.get("input_tokens_details"), "cached_tokens"),
        counted(usage, "output_tokens"),
        counted(usage.get("output_tokens_details"), "reasoning_tokens"),
    )
