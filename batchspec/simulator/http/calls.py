"""What clients called: the last calls and how each was answered."""

from collections import deque
from dataclasses import asdict, dataclass
from itertools import count

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batchspec.simulator.wire import Clock, Json

KEPT = 1_000
"""How many calls are remembered."""


@dataclass(slots=True)
class Call:
    """One call of the service.

    Attributes:
        number: Counted from 1 since the server was started.
        at: When it came, in unix seconds of the server's clock.
        method: In capitals.
        path: Without the query.
        query: As it came, without the question mark.
        status: Of the answer; nothing as long as there is none, and for ever if the connection
            was dropped.
        request_id: As the answer had it.
    """

    number: int
    at: float
    method: str
    path: str
    query: str
    status: int | None = None
    request_id: str | None = None

    def to_wire(self) -> Json:
        return {"object": "call", **asdict(self)}


class Calls:
    """The last calls, oldest first; those of the administration are not among them."""

    def __init__(self) -> None:
        self._kept = deque[Call](maxlen=KEPT)
        self._numbers = count(1)

    def add(self, scope: Scope, at: float) -> Call:
        query = scope["query_string"].decode("latin-1")
        call = Call(next(self._numbers), at, scope["method"], scope["path"], query)
        self._kept.append(call)
        return call

    def last(self, limit: int, *, after: int = 0) -> list[Call]:
        """Return the last ones with higher numbers than `after`."""
        return [call for call in list(self._kept) if call.number > after][-limit:]


class CallLog:
    """An ASGI application in front of another one that notes its calls."""

    def __init__(self, app: ASGIApp, *, calls: Calls, clock: Clock) -> None:
        self.app = app
        self._calls = calls
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/admin"):
            await self.app(scope, receive, send)
            return
        call = self._calls.add(scope, self._clock())

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                call.status = message["status"]
                call.request_id = Headers(raw=message["headers"]).get("x-request-id")
            await send(message)

        try:
            await self.app(scope, receive, note)
        except ClientDisconnect:
            raise
        except Exception:
            # The framework answers in the name of an application that fails.
            call.status = call.status or 500
            raise
