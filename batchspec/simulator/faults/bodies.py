"""The answer of a model in the words of its endpoint, to be changed by a fault."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from batchspec.simulator.wire import Json, is_array, is_object

Cut = Literal["length", "content_filter", "failed"]


@dataclass(frozen=True, slots=True)
class Called:
    """A tool call; `arguments` is JSON text, if nothing went wrong with it."""

    id: str
    name: str
    arguments: str

    def changed(self, **changes: str) -> "Called":
        return replace(self, **changes)


class Body(Protocol):
    """What faults can do to an answer, whatever the endpoint."""

    def text(self) -> str:
        """Return what the model says; empty if nothing."""
        ...

    def say(self, text: str | None) -> None:
        """Let it say something else, and keep its tool calls."""
        ...

    def refuse(self, text: str) -> None:
        """Let it refuse."""
        ...

    def calls(self) -> list[Called]:
        """Return the calls of tools."""
        ...

    def call(self, calls: list[Called]) -> None:
        """Let it call these tools."""
        ...

    def offered(self) -> list[str]:
        """Return the names of the tools it may call."""
        ...

    def cut(self, reason: Cut) -> None:
        """Say that the answer ended before its time."""
        ...

    def reason(self, summary: str) -> None:
        """Show that it thought before."""
        ...


def body_of(body: Any, request: Json) -> Body | None:
    """Return the answer in a body, if it is one of chat completions or of responses."""
    if not is_object(body):
        return None
    if body.get("object") == "chat.completion" and body.get("choices"):
        return ChatBody(body, request)
    if body.get("object") == "response" and is_array(body.get("output")):
        return ResponseBody(body, request)
    return None


@dataclass(frozen=True, slots=True)
class ChatBody:
    """The first choice of a chat completion."""

    document: Json
    request: Json

    @property
    def _choice(self) -> Json:
        choice: Json = self.document["choices"][0]
        return choice

    @property
    def _message(self) -> Json:
        message: Json = self._choice["message"]
        return message

    def text(self) -> str:
        return self._message.get("content") or ""

    def say(self, text: str | None) -> None:
        self._message["content"] = text

    def refuse(self, text: str) -> None:
        self._message.update(content=None, refusal=text)
        self._message.pop("tool_calls", None)
        self._choice["finish_reason"] = "stop"

    def calls(self) -> list[Called]:
        return [
            Called(call["id"], call["function"]["name"], call["function"]["arguments"])
            for call in self._message.get("tool_calls") or ()
            if "function" in call
        ]

    def call(self, calls: list[Called]) -> None:
        self._message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in calls
        ]
        self._message["content"] = None
        self._choice["finish_reason"] = "tool_calls"

    def offered(self) -> list[str]:
        return [tool["function"]["name"] for tool in _tools(self.request) if "function" in tool]

    def cut(self, reason: Cut) -> None:
        self._message.pop("tool_calls", None)
        if reason == "length":
            self.say(self.text()[: len(self.text()) // 2])
            self._choice["finish_reason"] = "length"
        else:
            self.say(None)
            self._choice["finish_reason"] = "content_filter"

    def reason(self, summary: str) -> None:
        usage: Json = self.document.get("usage") or {}
        details: Json = usage.get("completion_tokens_details") or {}
        details["reasoning_tokens"] = max(1, len(summary) // 4)


@dataclass(frozen=True, slots=True)
class ResponseBody:
    """The output items of a response."""

    document: Json
    request: Json

    @property
    def _output(self) -> list[Json]:
        items: list[Json] = self.document["output"]
        return items

    def _of(self, kind: str) -> Iterator[Json]:
        return (item for item in self._output if item.get("type") == kind)

    def _set(self, kind: str, items: list[Json]) -> None:
        self.document["output"] = [i for i in self._output if i.get("type") != kind] + items

    def text(self) -> str:
        parts = (part for item in self._of("message") for part in item["content"])
        return "".join(part.get("text") or "" for part in parts)

    def say(self, text: str | None) -> None:
        part: Json = {"type": "output_text", "text": text or "", "annotations": [], "logprobs": []}
        self._speak(part)

    def _speak(self, part: Json) -> None:
        message = {
            "type": "message",
            "id": "msg_" + self.document["id"].removeprefix("resp_"),
            "status": "completed",
            "role": "assistant",
            "content": [part],
        }
        calls = list(self._of("function_call"))
        self._set("message", [message])
        self._set("function_call", calls)

    def refuse(self, text: str) -> None:
        self._set("function_call", [])
        self._speak({"type": "refusal", "refusal": text})

    def calls(self) -> list[Called]:
        return [
            Called(item["call_id"], item["name"], item["arguments"])
            for item in self._of("function_call")
        ]

    def call(self, calls: list[Called]) -> None:
        self._set("message", [])
        items = [
            {
                "type": "function_call",
                "id": f"fc_{self.document['id'].removeprefix('resp_')}{index:02}",
                "call_id": call.id,
                "name": call.name,
                "arguments": call.arguments,
                "status": "completed",
            }
            for index, call in enumerate(calls)
        ]
        self._set("function_call", items)

    def offered(self) -> list[str]:
        tools = _tools(self.request)
        return [tool["name"] for tool in tools if tool.get("type") == "function"]

    def cut(self, reason: Cut) -> None:
        self._set("function_call", [])
        if reason == "failed":
            self.document["output"] = []
            error = {"code": "server_error", "message": "The model failed to generate a response."}
            self.document.update(status="failed", error=error)
            return
        details = {"length": "max_output_tokens", "content_filter": "content_filter"}
        self.say(self.text()[: len(self.text()) // 2] if reason == "length" else "")
        for item in self._of("message"):
            item["status"] = "incomplete"
        self.document.update(status="incomplete", incomplete_details={"reason": details[reason]})

    def reason(self, summary: str) -> None:
        if any(True for _ in self._of("reasoning")):
            return
        item = {
            "type": "reasoning",
            "id": "rs_" + self.document["id"].removeprefix("resp_"),
            "summary": [{"type": "summary_text", "text": summary}],
        }
        self._output.insert(0, item)


def _tools(request: Json) -> list[Json]:
    tools = request.get("tools")
    return [tool for tool in tools if is_object(tool)] if is_array(tools) else []
