"""Lets faults of calls strike, in front of everything under `/v1`."""

from collections import deque
from functools import partial

from anyio import to_thread
from pydantic_core import from_json
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batchspec.simulator.clock import Timekeeper
from batchspec.simulator.faults.call import Call, Incoming
from batchspec.simulator.faults.calls import CallFault
from batchspec.simulator.faults.operations import operation_of
from batchspec.simulator.faults.peek import model_of
from batchspec.simulator.faults.rule import Occasion
from batchspec.simulator.faults.rules import Faults
from batchspec.simulator.jobs.database import Database
from batchspec.simulator.wire import MAX_BODY, is_object

_WITHOUT_MODEL = ("files.create", "batches.cancel")


class FaultMiddleware:
    """An ASGI application in front of another one."""

    def __init__(
        self, app: ASGIApp, *, faults: Faults, database: Database, clock: Timekeeper
    ) -> None:
        self.app = app
        self._faults = faults
        self._database = database
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        operation = None
        if scope["type"] == "http" and self._faults.any(CallFault):
            operation = operation_of(scope["method"], scope["path"])
        if operation is None:
            await self.app(scope, receive, send)
            return
        model = None
        if any(fault.model for fault in self._faults.of(CallFault)):
            model, receive = await self._model(scope, operation, receive)
        occasion = Occasion(operation, model)
        drawn = await to_thread.run_sync(self._faults.draw_now, CallFault, occasion)
        app = self.app
        incoming = Incoming(receive)
        for fault in reversed(drawn):
            app = partial(self._play, fault, app, incoming)
        await app(scope, incoming, send)

    async def _play(
        self,
        fault: CallFault,
        app: ASGIApp,
        incoming: Incoming,
        scope: Scope,
        _: Receive,
        send: Send,
    ) -> None:
        await fault.play(Call(app, scope, incoming, send, self._clock, self._database))

    async def _model(
        self, scope: Scope, operation: str, receive: Receive
    ) -> tuple[str | None, Receive]:
        """Find the model a call is about, by reading its body, which is then read again.

        Of a body beyond the bound no more is kept than that.
        """
        if scope["method"] != "POST" or operation in _WITHOUT_MODEL:
            return None, receive
        messages: deque[Message] = deque()
        size, more = 0, True
        while more and size <= MAX_BODY:
            messages.append(await receive())
            size += len(messages[-1].get("body", b""))
            more = messages[-1].get("more_body", False)

        async def again() -> Message:
            return messages.popleft() if messages else await receive()

        if size > MAX_BODY:  # it is too large, and will be refused
            return None, again
        data = b"".join(message.get("body", b"") for message in messages)
        return await to_thread.run_sync(self._named, data), again

    def _named(self, data: bytes) -> str | None:
        try:
            body = from_json(data)
        except ValueError:
            return None
        if not is_object(body):
            return None
        if isinstance(file_id := body.get("input_file_id"), str):
            path = self._database.uploaded(file_id)
            return None if path is None else model_of(path)
        model = body.get("model")
        return model if isinstance(model, str) else None
