"""The ASGI application: routes, the error envelope and the headers of every answer."""

from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from anyio import to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batchspec.simulator.answers.port import Model
from batchspec.simulator.answers.schema_model import SchemaModel
from batchspec.simulator.clock import FollowedClock, SimulatedClock, Timekeeper
from batchspec.simulator.endpoints.chat import ChatCompletions
from batchspec.simulator.endpoints.embeddings import Embeddings
from batchspec.simulator.endpoints.port import Endpoint
from batchspec.simulator.endpoints.responses import Responses
from batchspec.simulator.faults.drops import DROP
from batchspec.simulator.faults.middleware import FaultMiddleware
from batchspec.simulator.faults.rules import Faults
from batchspec.simulator.http import admin, admin_faults, batches, files, live, responses
from batchspec.simulator.http import webhooks as http_webhooks
from batchspec.simulator.http.access import Access
from batchspec.simulator.http.calls import CallLog, Calls
from batchspec.simulator.http.front_door import KeyCheck, Marking
from batchspec.simulator.jobs.database import Database
from batchspec.simulator.jobs.engine import Engine, Rules
from batchspec.simulator.jobs.live import LiveRunner
from batchspec.simulator.upstream.port import Source
from batchspec.simulator.webhooks.courier import employ
from batchspec.simulator.wire import Clock, HTTPFailure, Pace, mint_request_id


def create_app(  # noqa: PLR0913  one keyword per way in which simulators differ
    directory: Path,
    *,
    clock: Clock | None = None,
    model: Model | None = None,
    source: Source | None = None,
    pace: Pace | None = None,
    shuffle: bool = True,
    background: bool = True,
    models: Collection[str] | None = None,
    enqueued_token_limit: int | Mapping[str, int] | None = None,
    creates_per_hour: int | None = 2_000,
    faults: Faults | None = None,
    access: Access | None = None,
    webhooks: Mapping[str, str] | None = None,
) -> Starlette:
    """Make an application that keeps everything it knows in one directory.

    Args:
        directory: Made when missing. An application made again over it goes on where the last one
            stopped; two at a time are not supported.
        clock: Says the time in unix seconds, never an earlier one; by default the real time. A
            `SimulatedClock` goes on from where it stood at last.
        model: Where answers come from; by default from the request's own schemas.
        source: Answers requests live, many at a time, in place of a model.
        pace: How long a batch stays in each status.
        shuffle: Whether result lines come in another order than the requests.
        background: Whether a thread works on batches. Otherwise each request first does what is
            due, as tests with a clock of their own want it.
        models: The names that exist; by default any name does.
        enqueued_token_limit: Prompt tokens in open batches, for each model or by model.
        creates_per_hour: How many batches may be created; None for no limit.
        faults: What goes wrong; by default nothing but what the directory remembers.
        access: Who may call `/admin`; by default everybody on this machine, but no web page.
        webhooks: Secrets by URL of who is told that a batch has ended, besides whom clients add.

    Its `state.engine` is closed by whoever sends no lifespan events; `state.calls` came so far.
    """
    rules = Rules(
        pace=pace or Pace(),
        shuffle=shuffle,
        models=None if models is None else frozenset(models),
        enqueued_token_limit=enqueued_token_limit,
        creates_per_hour=creates_per_hour,
    )
    served = _endpoints(model or SchemaModel())
    engine = _engine(directory, clock, served, rules, faults=faults or Faults(), source=source)
    app = _assemble(engine, access or Access(), background=background)
    app.state.courier = employ(engine.database, engine.clock, engine.faults, webhooks or {})
    return app


def _endpoints(answers: Model) -> dict[str, Endpoint]:
    served: list[Endpoint] = [
        ChatCompletions(answers),
        Responses(answers),
        Embeddings(answers),
    ]
    return {endpoint.path: endpoint for endpoint in served}


def _engine(  # noqa: PLR0913  what a server is made of
    directory: Path,
    clock: Clock | None,
    endpoints: Mapping[str, Endpoint],
    rules: Rules,
    *,
    faults: Faults,
    source: Source | None,
) -> Engine:
    database = Database(directory)
    timekeeper = _timekeeper(clock, database)
    faults.attach(database, timekeeper)
    runner = None if source is None else LiveRunner(source, database, timekeeper)
    return Engine(database, endpoints, timekeeper, rules, runner=runner, faults=faults)


def _timekeeper(clock: Clock | None, database: Database) -> Timekeeper:
    if clock is None:
        clock = SimulatedClock()
    if not isinstance(clock, SimulatedClock):
        return FollowedClock(clock)
    database.follow(clock)
    return clock


def _routes(engine: Engine, access: Access) -> list[BaseRoute]:
    return [
        *files.routes(),
        *batches.routes(),
        *live.routes(engine),
        *responses.routes(engine.endpoints[Responses.path]),
        *http_webhooks.routes(access),
        *admin.routes(access, *http_webhooks.admin_routes(), *admin_faults.routes()),
    ]


def _assemble(engine: Engine, access: Access, *, background: bool) -> Starlette:
    calls = Calls()
    if background:
        engine.runner.listen(engine.wake)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        if background:
            engine.wake()
        yield
        await to_thread.run_sync(engine.close)

    app = Starlette(
        routes=_routes(engine, access),
        middleware=[
            Middleware(CallLog, calls=calls, clock=engine.clock),
            Middleware(Marking, clock=engine.clock),
            Middleware(_Drive, engine=engine, background=background),
            Middleware(
                FaultMiddleware,
                faults=engine.faults,
                database=engine.database,
                clock=engine.clock,
            ),
            Middleware(KeyCheck),
        ],
        exception_handlers={
            HTTPFailure: _on_failure,
            HTTPException: _on_http_exception,
            Exception: _on_bug,
        },
        lifespan=lifespan,
    )
    # The service knows no path with a slash at its end.
    app.router.redirect_slashes = False
    app.state.engine = engine
    app.state.access = access
    app.state.calls = calls
    return app


class _Drive:
    """Lets the engine see the time pass."""

    def __init__(self, app: ASGIApp, *, engine: Engine, background: bool) -> None:
        self.app = app
        self.engine = engine
        self.background = background

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def watch(message: Message) -> None:
            if message["type"] == DROP and self.background:
                # What was committed goes on while the client waits in vain.
                self.engine.wake()
            await send(message)

        if not self.background:
            await to_thread.run_sync(self.engine.advance, self.engine.clock())
        await self.app(scope, receive, watch)
        if self.background:
            self.engine.wake()


async def _on_failure(_: Request, error: Exception) -> Response:
    failure = error if isinstance(error, HTTPFailure) else HTTPFailure(500, str(error))
    return JSONResponse(failure.body, failure.status, failure.headers)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """Put what the framework refuses into the envelope of the service."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    message = str(error.detail) if isinstance(error, HTTPException) else str(error)
    if status == 404:
        message = f"Invalid URL ({request.method} {request.url.path})"
    elif status == 405:
        message = f"Not allowed to {request.method} on {request.url.path}."
    return await _on_failure(request, HTTPFailure(status, message))


async def _on_bug(request: Request, _: Exception) -> Response:
    message = "The server had an error while processing your request. Sorry about that!"
    response = await _on_failure(request, HTTPFailure(500, message))
    # Such an answer is made outside of the middleware.
    response.headers["x-request-id"] = mint_request_id()
    return response
