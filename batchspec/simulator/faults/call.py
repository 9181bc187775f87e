"""One call, as a fault sees it: it can let it through, answer itself, or break it off."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic_core import to_json
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batchspec.simulator.clock import Timekeeper
from batchspec.simulator.faults.drops import Drop, drop
from batchspec.simulator.jobs.database import Database
from batchspec.simulator.wire import HTTPFailure

Headers = Mapping[str, str]


class Incoming:
    """The messages of a request; `ended` once all of them were read."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.ended = False

    async def __call__(self) -> Message:
        message = await self._receive()
        self.ended = not message.get("more_body", False)
        return message


@dataclass(frozen=True, slots=True)
class Call:
    """A call on its way; `app` is what comes next, the server or a further fault."""

    app: ASGIApp
    scope: Scope
    receive: Incoming
    send: Send
    clock: Timekeeper
    database: Database

    async def proceed(self, send: Send | None = None) -> None:
        """Let the call through, and its answer too, or to somebody else."""
        await self.app(self.scope, self.receive, send or self.send)

    async def commit(self) -> None:
        """Let the call take effect and keep its answer back."""

        async def swallow(_: Message) -> None:
            pass

        await self.proceed(swallow)

    async def drop(self, kind: Drop) -> None:
        """End the connection."""
        await self.send(drop(kind))

    async def refuse(self, failure: HTTPFailure, headers: Headers | None = None) -> None:
        """Answer with an error of the service."""
        given = {"content-type": "application/json", **(headers or {})}
        await self.answer(failure.status, to_json(failure.body), given)

    async def answer(self, status: int, body: bytes, headers: Headers) -> None:
        """Answer in the server's place, after the request was read as a proxy does."""
        await self._drain()
        given = {"content-length": str(len(body)), **headers}
        encoded = [(name.encode(), value.encode()) for name, value in given.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": encoded})
        await self.send({"type": "http.response.body", "body": body})

    async def _drain(self) -> None:
        while not self.receive.ended:
            await self.receive()
