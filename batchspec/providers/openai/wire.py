"""The codec of `/v1/chat/completions` batches: request lines out, result lines in. No I/O."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic_core import to_json

from batchspec.messages import (
    Contract,
    FinishReason,
    JsonObject,
    Line,
    Reply,
    ToolCall,
    Usage,
)
from batchspec.providers.openai.lines import (
    body_of,
    counted,
    fixed_json,
    is_object,
    judge,
    parse,
    sendable,
)

_FINISH: Final[Mapping[str, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
_RENAMED = {"max_tokens": "max_completion_tokens"}
_NO_USAGE = Usage()


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

    def size(self, messages_json: bytes) -> int:
        """Return how many bytes stored messages take in a line."""
        return len(messages_json)

    def line_parts(self, contract: Contract) -> tuple[bytes, bytes]:
        """Return what stands in a line between the custom_id and the messages, and after them.

        A line is `b'{"custom_id":"' + custom_id + first + messages + second`, without a newline;
        built by concatenation, because rows share all but two values.
        """
        fixed = fixed_json(self._fixed(contract))
        first = b'","method":"POST","url":"%s","body":%s,"messages":' % (
            self.endpoint.encode(),
            fixed[:-1],
        )
        return first, b"}}"

    def _fixed(self, contract: Contract) -> JsonObject:
        """Return the body without its messages."""
        body: JsonObject = {"model": contract.model}
        for name, value in contract.settings.items():
            body[self._renamed.get(name, name)] = value
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
        return body

    def decode(self, line: bytes) -> Line:
        """Judge one line of a result file alone; never raises."""
        return judge(line, _read)

    def assistant(self, line: bytes) -> list[JsonObject]:
        """Return the assistant's message of a line that `decode` read as a reply."""
        message = sendable(body_of(parse(line)["response"])["choices"][0]["message"])
        content, calls = message.get("content"), message.get("tool_calls")
        if calls:
            calls = [_sent_back(call) for call in calls]
            return [{"role": "assistant", "content": content, "tool_calls": calls}]
        # The service takes null only beside tool calls.
        return [{"role": "assistant", "content": "" if content is None else content}]

    def tool_answer(self, call: str, content: str) -> JsonObject:
        """Return the message that answers the call of a tool."""
        return {"role": "tool", "tool_call_id": call, "content": content}


def _read(body: Mapping[str, Any]) -> Reply | None:
    if not body.get("choices"):
        return None
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
    if not is_object(usage):
        return _NO_USAGE
    prompt, completion = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    return Usage(
        counted(usage, "prompt_tokens"),
        counted(prompt, "cached_tokens"),
        counted(usage, "completion_tokens"),
        counted(completion, "reasoning_tokens"),
    )
