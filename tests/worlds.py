"""Worlds for tests: a simulated project with specs written by the test, checked after each apply.

`Faults` stands between the client and the server, and breaks calls as no server of ours would.
"""

import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

import httpx2
from starlette.types import Message, Receive, Scope, Send

from batchspec.config import ModelPrices, OpenAISettings, Settings
from batchspec.project import ApplyResult, Item, Project
from batchspec.providers.openai.client import OpenAIClient
from batchspec.simulator import AppTransport, CallableModel
from batchspec.state.events import Event
from batchspec.store.verify import verify
from batchspec.testing.clock import START
from batchspec.testing.server import PACE
from batchspec.testing.simulated import BASE_URL, Recorder, SimulatedProject

__all__ = ["BASE_URL", "PACE", "START", "World"]

PRICES = ModelPrices.model_validate({"input": "1", "output": "2"})


# --- a provider that misbehaves


@dataclass(slots=True)
class Fault:
    """What goes wrong with some calls.

    Attributes:
        method: Of the calls it is about.
        path: A pattern their whole path must match, from `/v1` on.
        status: Answer with this status instead; None: drop the connection.
        body: Of that answer.
        headers: Of that answer.
        after: Whether the call takes effect before it goes wrong.
        rewrite: Let the call through and change the body of its answer instead.
        times: How many calls; None: all.
    """

    method: str
    path: str
    status: int | None = None
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    after: bool = False
    rewrite: Callable[[bytes], bytes] | None = None
    times: int | None = 1


class Faults:
    """An ASGI application that hands calls on to another one but for the faults, and notes them."""

    def __init__(self, app: Any, *faults: Fault) -> None:
        self.app = app
        self.faults = list(faults)
        self.calls: list[tuple[str, str]] = []

    def count(self, method: str, path: str) -> int:
        """Return how many calls of a kind there were."""
        return sum(m == method and bool(re.fullmatch(path, p)) for m, p in self.calls)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"].removeprefix("/v1")
        self.calls.append((method, path))
        fault = self._next(method, path)
        if fault is None:
            await self.app(scope, receive, send)
        elif fault.rewrite is not None:
            await self._rewritten(fault.rewrite, scope, receive, send)
        else:
            await self._broken(fault, scope, receive, send)

    def _next(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.method != method or not re.fullmatch(fault.path, path):
                continue
            if fault.times is None:
                return fault
            if fault.times > 0:
                fault.times -= 1
                return fault
        return None

    async def _broken(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        if fault.after:
            await self.app(scope, receive, _swallow)
        if fault.status is None:
            raise httpx2.ReadError("connection reset by peer")
        body = fault.body if isinstance(fault.body, bytes) else json.dumps(fault.body).encode()
        # The SDK's own patience is not what is tested, and it takes real time.
        headers = {"x-should-retry": "false", "content-type": "application/json", **fault.headers}
        await _answer(send, fault.status, body, headers)

    async def _rewritten(
        self, rewrite: Callable[[bytes], bytes], scope: Scope, receive: Receive, send: Send
    ) -> None:
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self.app(scope, receive, keep)
        body = rewrite(b"".join(message.get("body", b"") for message in messages))
        await _answer(send, messages[0]["status"], body, {"content-type": "application/json"})


async def _swallow(message: Message) -> None:
    pass


async def _answer(send: Send, status: int, body: bytes, headers: dict[str, str]) -> None:
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


def failure(message: str, code: str | None = None) -> dict[str, Any]:
    """Return the error envelope of the service."""
    return {"error": {"message": message, "type": "t", "param": None, "code": code}}


def rewriting_json(**changes: Any) -> Callable[[bytes], bytes]:
    """Return a rewrite of a JSON object."""
    return lambda body: json.dumps({**json.loads(body), **changes}).encode()


# --- a project


class Reacting(Recorder):
    """Keeps what it is told, and may do something about it."""

    def __init__(self) -> None:
        super().__init__()
        self.react: Callable[[Event], None] = lambda event: None

    def event(self, event: Event) -> None:
        super().event(event)
        self.react(event)

    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


def echo(body: dict[str, Any]) -> Any:
    """Answer with the last message of the user, in capitals."""
    return str(body["messages"][-1]["content"]).upper()


class World(SimulatedProject):
    """A project in a folder, its provider and its clock; several may share the last two.

    Attributes:
        looks: Whether the plan of an apply looks at the open batches first; if not, the calls of an
            apply are those of its loop.
    """

    looks = False

    def __init__(
        self, root: Path, *, model: Callable[[dict[str, Any]], Any] = echo, **options: Any
    ) -> None:
        prices = OpenAISettings(prices={"gpt-5-mini": PRICES})
        settings = Settings(providers={"openai": prices}, adopt_grace=60)
        answers = CallableModel(self._answer)
        super().__init__(root, root, settings=settings, model=answers, **options)
        self.model = model
        self.app = self.server.app
        self.wire = Faults(self.app)
        self.hook = Reacting()
        self._projects: list[Project] = []

    def _answer(self, body: dict[str, Any]) -> Any:
        return self.model(body)

    # --- what people write

    def spec(self, text: str, name: str = "m") -> None:
        """Write a spec module; names of the public language are imported."""
        folder = self.root / "specs"
        folder.mkdir(exist_ok=True)
        head = "from batchspec import *\nfrom batchspec import rows, tool\n"
        (folder / f"{name}.py").write_text(head + dedent(text))

    def remove(self, name: str) -> None:
        """Remove a spec module."""
        (self.root / "specs" / f"{name}.py").unlink()

    def job(self, *keys: str, name: str = "m", variable: str = "j", **more: str) -> None:
        """Write a module with one job whose rows are `{"id": key}`; `more` is source text."""
        data = [{"id": key} for key in keys]
        arguments = {"rows": f"rows.inline({data!r})", "prompt": "'say {id}'", **more}
        rest = ", ".join(f"{name}={value}" for name, value in arguments.items())
        self.spec(f"{variable} = Job(model='openai:gpt-5-mini', {rest})", name)

    # --- what people do

    def client(self) -> OpenAIClient:
        return OpenAIClient(api_key="test", base_url=BASE_URL, transport=AppTransport(self.wire))

    def project(self, **options: Any) -> Project:
        """Open the project as a new process would, until the world is closed."""
        self._projects.append(self.open(**options))
        return self._projects[-1]

    def apply(self, **options: Any) -> ApplyResult:
        """Plan and apply as a process of its own would, and check the state afterwards."""
        options.setdefault("refresh", self.looks)
        try:
            return super().apply(hook=self.hook, **options).result
        finally:
            self.check()

    def items(self, address: str = "m.j") -> dict[str, Item]:
        """Return the items of a job by key, read as they are now."""
        with self.open() as project:
            found = {item.key: item for item in project.results(address)}
            for item in found.values():
                _ = item.text, item.output
            return found

    def outcomes(self, address: str = "m.j") -> dict[str, str | None]:
        return {key: item.outcome for key, item in self.items(address).items()}

    def texts(self, address: str = "m.j") -> dict[str, str | None]:
        return {key: item.text for key, item in self.items(address).items()}

    @property
    def state(self) -> Path:
        return self.root / "state" / "default"

    def check(self) -> None:
        """Assert that nothing is broken in the state, if there is one."""
        if (self.state / "batchspec.db").exists():
            check_state(self.state)

    # --- what the provider saw

    @property
    def created(self) -> int:
        """Batches the provider made."""
        return len(self.remote())

    @property
    def lines(self) -> int:
        """Requests the provider answered."""
        return sum(b["request_counts"]["completed"] for b in self.remote())

    def remote(self) -> Sequence[dict[str, Any]]:
        """Return the provider's batches, newest first."""
        return self.server.batches

    def close(self) -> None:
        for project in self._projects:
            project.close()
        super().close()


def check_state(directory: Path) -> None:
    """Assert that no invariant of a state is broken."""
    assert verify(directory) == []


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    """Yield chunks as a download does."""
    for chunk in chunks:
        yield chunk
