r"""The codec of `/v1/chat/completions` batches: request lines out, result lines in. No I/O.

Facts: OpenAI's batch guide and API reference; irregular lines as seen in public reports. A line is
split from its neighbours at the byte `\n` only, since JSON strings may hold U+2028, and judged
alone, so that one bad line never spoils a batch.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeGuard

from pydantic_core import from_json, to_json

from batchspec.messages import (
    Contract,
    FinishReason,
    JsonObject,
    Line,
    LineError,
    Reply,
    ToolCall,
    Usage,
)

_FINISH: Final[Mapping[str, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
_RETRYABLE = {0, 408, 409, 429}
_NEVER_RAN = {"batch_expired", "batch_cancelled"}
_RENAMED = {"max_tokens": "max_completion_tokens"}
_NO_USAGE = Usage()
_BOM: Final = b"\xef\xbb\xbf"
_MOST = 2**53
"""Beyond it a count is nonsense, and no column can hold it."""
_SECRET = re.compile(r"(?<![A-Za-z0-9])sk-[\w*-]{6,}")


class ChatCompletionsWire:
    """Implements `ports.Wire` for chat completions.

    Args:
        renamed: Settings that the endpoint knows by another name.
    """

    endpoint: str = "/v1/chat/completions"
    max_requests: int = 50_000
    max_bytes: int = 200_000_000

    def __init__(self, *, renamed: Mapping[str, str] = _RENAMED) -> None:
        self._renamed = renamed

    def body(self, contract: Contract, messages: Sequence[Any]) -> JsonObject:
        """Return the request body as the provider gets it."""
        return {**self._fixed(contract), "messages": list(messages)}

    def encode(self, messages_json: bytes) -> bytes:
        """Return stored messages as they stand in a line: their neutral form is this one."""
        return messages_json

    def line_parts(self, contract: Contract) -> tuple[bytes, bytes]:
        """Return what stands in a line between the custom_id and the messages, and after them.

        A line is `b'{"custom_id":"' + custom_id + first + messages + second`, without a newline;
        built by concatenation, because rows share all but two values.
        """
        fixed = to_json(self._fixed(contract))
        first = b'","method":"POST","url":"%s","body":%s,"messages":' % (
            self.endpoint.encode(),
            fixed[:-1],
        )
        return first, b"}}"

    def _fixed(self, contract: Contract) -> JsonObject:
        """Return the body without its messages."""
        settings = dict(contract.settings)
        extra: JsonObject = settings.pop("extra_body", None) or {}
        body: JsonObject = {"model": contract.model}
        body.update({self._renamed.get(name, name): value for name, value in settings.items()})
        if contract.tools:
            body["tools"] = [
                {
                    "type": "function",
                    "function": {
                        "name": tool.name,
                        "description": tool.description,
                        "parameters": tool.parameters,
                        "strict": tool.strict,
                    },
                }
                for tool in contract.tools
            ]
        if contract.output is not None:
            schema: JsonObject = {
                "name": contract.output.name,
                "schema": contract.output.schema,
                "strict": contract.output.strict,
            }
            if contract.output.description:
                schema["description"] = contract.output.description
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif contract.json_mode:
            body["response_format"] = {"type": "json_object"}
        return {**body, **extra}

    def decode(self, line: bytes) -> Line:
        """Judge one line of a result file alone; never raises."""
        try:
            data = _parse(line)
        except ValueError as error:
            return Line(None, LineError("unreadable", "unreadable_line", str(error)))
        if not _is_object(data):
            return Line(None, LineError("unreadable", "unreadable_line", "not a JSON object"))
        custom_id = data.get("custom_id")
        key = custom_id if isinstance(custom_id, str) else None
        try:
            response = data.get("response")
            if response is None:
                return Line(key, _line_error(data.get("error") or {}))
            body: Any = response.get("body")
            if isinstance(body, str):  # some compatible servers encode it twice
                body = from_json(body)
            body = {} if body is None else body
            status = _status(response.get("status_code"))
            if status == 200 and body.get("choices"):
                return Line(key, _reply(body))
            return Line(key, _http_error(status, body))
        except (AttributeError, TypeError, KeyError, ValueError, IndexError) as error:
            problem = f"the reply has an unknown shape ({type(error).__name__}: {error})"
            return Line(key, LineError("unreadable", "unknown_shape", problem))

    def assistant(self, line: bytes) -> list[JsonObject]:
        """Return the assistant's message of a line that `decode` read as a reply."""
        # NaN can be read but not sent: where a number is none, nothing stands in its place.
        sendable = to_json(_body(_parse(line))["choices"][0]["message"], inf_nan_mode="null")
        message = from_json(sendable)
        content, calls = message.get("content"), message.get("tool_calls")
        if calls:
            calls = [_sent_back(call) for call in calls]
            return [{"role": "assistant", "content": content, "tool_calls": calls}]
        # The service takes null only beside tool calls.
        return [{"role": "assistant", "content": "" if content is None else content}]

    def tool_answer(self, call: str, content: str) -> JsonObject:
        """Return the message that answers the call of a tool."""
        return {"role": "tool", "tool_call_id": call, "content": content}


def blot(text: str) -> str:
    """Return a provider's words without keys, and as text that can be stored."""
    return _SECRET.sub("sk-…", text.encode("utf-8", "replace").decode())


def count(value: object) -> int:
    """Return a number of things; 0 for nonsense."""
    return value if type(value) is int and 0 <= value <= _MOST else 0


def _is_object(value: object) -> TypeGuard[JsonObject]:
    return isinstance(value, dict)


def _parse(line: bytes) -> Any:
    # The first line of a file may carry a byte order mark.
    return from_json(line.removeprefix(_BOM))


def _body(data: Mapping[str, Any]) -> Any:
    body = data["response"].get("body")
    return from_json(body) if isinstance(body, str) else body


def _status(value: Any) -> Any:
    """Return a status; some compatible servers write the number as text."""
    return int(value) if isinstance(value, str) and re.fullmatch("[1-5][0-9]{2}", value) else value


def _line_error(error: Mapping[str, Any]) -> LineError:
    code = str(error.get("code") or "unknown_error")
    message = str(error.get("message") or "the line holds neither a response nor an error")
    return LineError("never_ran" if code in _NEVER_RAN else "retryable", code, blot(message))


def _http_error(status: Any, body: Any) -> LineError:
    error = body.get("error")
    details: Mapping[str, Any] = error if _is_object(error) else {}
    code = str(details.get("code") or details.get("type") or f"http_{status}")
    message = blot(str(details.get("message") or error or f"HTTP status {status}"))
    if status == 200:
        if not details:
            return LineError("unreadable", "empty_body", "status 200 without an answer")
        return LineError("retryable", code, message)
    passing = not isinstance(status, int) or status in _RETRYABLE or status >= 500
    return LineError("retryable" if passing else "rejected", code, message)


def _reply(body: Mapping[str, Any]) -> Reply:
    choice = body["choices"][0]
    message = choice["message"]
    calls = message.get("tool_calls")
    content = message.get("content")
    return Reply(
        content if content is None or isinstance(content, str) else _joined(content),
        _FINISH.get(choice.get("finish_reason"), "unknown"),
        str(message["refusal"]) if message.get("refusal") else None,
        tuple([_tool_call(call) for call in calls]) if calls else (),
        _usage(body.get("usage")),
        body.get("model"),
    )


def _joined(parts: Sequence[Mapping[str, Any]]) -> str:
    return "".join(str(part.get("text") or "") for part in parts)


def _tool_call(call: Mapping[str, Any]) -> ToolCall:
    function = call["function"]
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else to_json(arguments or {}).decode()
    return ToolCall(str(call["id"]), str(function["name"]), text)


def _sent_back(call: JsonObject) -> JsonObject:
    """Return a call as it came, but for what the service would refuse to read again."""
    read, kind = _tool_call(call), call.get("type")
    function = {**call["function"], "name": read.name, "arguments": read.arguments}
    told = kind if isinstance(kind, str) else "function"
    return {**call, "id": read.id, "type": told, "function": function}


def _usage(usage: Any) -> Usage:
    if not _is_object(usage):
        return _NO_USAGE
    prompt, completion = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    return Usage(
        _tokens(usage, "prompt_tokens"),
        _tokens(prompt, "cached_tokens"),
        _tokens(usage, "completion_tokens"),
        _tokens(completion, "reasoning_tokens"),
    )


def _tokens(counts: Any, name: str) -> int:
    return count(counts.get(name)) if _is_object(counts) else 0
