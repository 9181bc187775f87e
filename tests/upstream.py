"""A live endpoint as a process of its own that does what a test tells it to.

Usage: python tests/upstream.py [PORT]

It prints its port. `POST /control/rules` takes a list of `Rule`s: the first one with times left
whose `match` is found in a request says what happens to it; the others get a valid answer, made up
from the request. `GET /control/wait?active=8` answers once that many requests are under way.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from urllib.request import Request, urlopen

import anyio
import uvicorn
from pydantic_core import from_json, to_json

from batchspec.simulator import SchemaModel
from batchspec.simulator.endpoints.chat import ChatCompletions
from batchspec.simulator.endpoints.responses import Responses

ROOT = Path(__file__).parents[1]
DEADLINE = 60.0
INSTANT = to_json(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "instant",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Yes."},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
    }
)
MODELS = (
    b'{"object":"list","data":[{"id":"llama3.2","object":"model","created":0,"owned_by":"me"}]}'
)


@dataclass(kw_only=True)
class Rule:
    """What happens to requests.

    Attributes:
        match: Text in the body of the request; empty for any.
        times: How often; none for always.
        status: Of the answer.
        headers: Of the answer, besides its type.
        body: Of the answer; none for a made-up one.
        hold: Answer only when `release` was called.
        drop: Close the connection in the middle of the body.
    """

    match: str = ""
    times: int | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    hold: bool = False
    drop: bool = False


class Endpoint:
    """The ASGI application."""

    def __init__(self, *, instant: bool = False) -> None:
        self.rules: list[Rule] = []
        self.seen: dict[str, Any] = {"active": 0, "most": 0, "calls": 0, "answered": []}
        self._released, self._changed = anyio.Event(), anyio.Event()
        self._instant = instant

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        body = await _body(receive)
        path = scope["path"]
        if self._instant:
            await _answer(send, 200, INSTANT)
        elif path.startswith("/control/"):
            query = dict(parse_qsl(scope["query_string"].decode()))
            await _answer(send, 200, to_json(await self._control(path[9:], query, body)))
        elif not path.startswith("/v1/"):
            await _answer(send, 404, b"404 page not found", {"content-type": "text/plain"})
        elif path == "/v1/models":
            await _answer(send, 200, MODELS)
        else:
            headers = dict(scope["headers"])
            self.seen["authorization"] = headers.get(b"authorization", b"").decode()
            self._note(active=+1, calls=+1)
            try:
                await self._serve(path, body, send)
            finally:
                self._note(active=-1)

    async def _control(self, what: str, query: dict[str, str], body: bytes) -> Any:
        match what:
            case "reset":
                self._released.set()
                self.rules = []
                while self.seen["active"]:
                    await self._changed.wait()
                self.seen = {"active": 0, "most": 0, "calls": 0, "answered": []}
            case "rules":
                self.rules = [Rule(**rule) for rule in from_json(body)]
                self._released = anyio.Event() if self._released.is_set() else self._released
            case "release":
                self._released.set()
            case "wait":
                wanted = {name: int(text) for name, text in query.items()}
                with anyio.fail_after(DEADLINE):
                    while any(self._count(name) < n for name, n in wanted.items()):
                        changed = self._changed
                        await changed.wait()
        return self.seen

    def _count(self, name: str) -> int:
        value = self.seen[name]
        return value if isinstance(value, int) else len(value)

    def _note(self, *, active: int, calls: int = 0) -> None:
        self.seen["active"] += active
        self.seen["calls"] += calls
        self.seen["most"] = max(self.seen["most"], self.seen["active"])
        self._changed.set()
        self._changed = anyio.Event()

    async def _serve(self, path: str, body: bytes, send: Any) -> None:
        rule = self._rule(body.decode())
        if rule.hold:
            await self._released.wait()
        content = _made_up(path, from_json(body)) if rule.body is None else rule.body.encode()
        if rule.drop:
            headers = {"content-length": str(len(content))}
            await _answer(send, rule.status, content[: len(content) // 2], headers, more=True)
            return
        if rule.status == 200:
            asked = json.loads(body)
            said = asked.get("messages") or asked["input"]
            self.seen["answered"].append(said[-1].get("content"))
        await _answer(send, rule.status, content, rule.headers)

    def _rule(self, text: str) -> Rule:
        for rule in self.rules:
            if rule.match in text and rule.times != 0:
                rule.times = None if rule.times is None else rule.times - 1
                return rule
        return Rule()


async def _body(receive: Any) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _answer(
    send: Any,
    status: int,
    content: bytes,
    headers: dict[str, str] | None = None,
    *,
    more: bool = False,
) -> None:
    given = {"content-type": "application/json", "content-length": str(len(content))}
    given |= headers or {}
    lines = [(name.encode(), value.encode()) for name, value in given.items()]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": content, "more_body": more})


def _made_up(path: str, body: dict[str, Any]) -> bytes:
    endpoint = ChatCompletions if path == ChatCompletions.path else Responses
    assert path == endpoint.path
    return to_json(endpoint(SchemaModel()).respond(body, None, 0).body)


class _Server(uvicorn.Server):
    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        sys.stdout.write(f"{self.servers[0].sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()


def main(port: int = 0, *, instant: bool = False) -> None:
    config = uvicorn.Config(
        Endpoint(instant=instant), port=port, lifespan="off", log_level="critical", access_log=False
    )
    _Server(config).run()


@dataclass
class UpstreamProcess:
    """The process, and how a test speaks to it."""

    port: int = 0
    instant: bool = False

    def start(self) -> None:
        command = [sys.executable, __file__, str(self.port), *(["instant"] * self.instant)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, env=environment, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def reset(self) -> None:
        """Forget rules and counts; what was held is answered."""
        self._control("reset", None)

    def rules(self, *rules: Rule) -> None:
        self._control("rules", [asdict(rule) for rule in rules])

    def release(self) -> None:
        self._control("release", None)

    def wait(self, **counts: int) -> dict[str, Any]:
        """Wait until so many requests are `active`, came (`calls`) or were `answered`."""
        query = "&".join(f"{name}={n}" for name, n in counts.items())
        return self._control(f"wait?{query}", None)

    @property
    def seen(self) -> dict[str, Any]:
        return self.wait()

    def _control(self, what: str, value: object) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.port}/control/{what}"
        with urlopen(Request(url, data=json.dumps(value).encode()), timeout=90) as answer:
            found: dict[str, Any] = json.load(answer)
            return found


def until(condition: Callable[[], object]) -> None:
    """Ask again and again until it holds; each look must take a moment of its own."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "it never came to pass"


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 0, instant="instant" in sys.argv)
