"""Administration over HTTP: the clock, the state, the calls that came, and moves by hand."""

from typing import Annotated, Self

from anyio import to_thread
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    model_validator,
)
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from batchspec.simulator.clock import LATEST, SimulatedClock
from batchspec.simulator.durations import iso, parse_moment
from batchspec.simulator.http.access import Access, Guard
from batchspec.simulator.http.calls import KEPT, Calls
from batchspec.simulator.http.reading import engine_of, parse_count, parse_limit, read_model
from batchspec.simulator.jobs.engine import Engine
from batchspec.simulator.jobs.forced import Ending, IllegalMove, force
from batchspec.simulator.jobs.records import BatchError, BatchRecord
from batchspec.simulator.wire import HTTPFailure, Json
from batchspec.spec.durations import parse_duration


def routes(access: Access, *further: BaseRoute) -> list[BaseRoute]:
    """Return everything under `/admin`, for those who have access.

    Args:
        access: What their calls must have.
        further: Routes of other parts, without the `/admin`.
    """
    own = [
        Route("/clock", _read_clock, methods=["GET"]),
        Route("/clock", _move_clock, methods=["POST"]),
        Route("/state", _state, methods=["GET"]),
        Route("/calls", _list_calls, methods=["GET"]),
        Route("/batches/{batch_id}", _end_batch, methods=["POST"]),
    ]
    guard = Middleware(Guard, access=access)
    return [Mount("/admin", routes=[*own, *further], middleware=[guard])]


# --- the clock


def _seconds(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


def _moment(value: object) -> object:
    return parse_moment(value) if isinstance(value, str) else value


class ClockMove(BaseModel):
    """How a clock is to be moved; what is set comes first, what is advanced is on top of it."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    to: Annotated[NonNegativeFloat, BeforeValidator(_moment), Field(le=LATEST)] | None = Field(
        default=None, alias="set"
    )
    advance: Annotated[NonNegativeFloat, BeforeValidator(_seconds), Field(le=LATEST)] | None = None
    speed: NonNegativeFloat | None = None

    @model_validator(mode="after")
    def _moves(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("Say how to move it: 'set', 'advance' or 'speed'.")
        return self


def _read_clock(request: Request) -> Response:
    return JSONResponse(_clock(engine_of(request)))


async def _move_clock(request: Request) -> Response:
    move, engine = await read_model(request, ClockMove), engine_of(request)
    if not isinstance(engine.clock, SimulatedClock):
        raise HTTPFailure(409, "This server runs by a clock that cannot be moved from outside.")
    try:
        await to_thread.run_sync(_apply, move, engine.clock)
    except ValueError as error:
        raise HTTPFailure(400, str(error), code="invalid_value") from error
    # Whoever moves the clock sees at once what that has led to.
    await to_thread.run_sync(engine.advance, engine.clock())
    return JSONResponse(_clock(engine))


def _apply(move: ClockMove, clock: SimulatedClock) -> None:
    if move.to is not None:
        clock.set(move.to + (move.advance or 0.0))
    elif move.advance is not None:
        clock.advance(move.advance)
    if move.speed is not None:
        clock.speed = move.speed


def _clock(engine: Engine) -> Json:
    now, clock = engine.clock(), engine.clock
    speed = clock.speed if isinstance(clock, SimulatedClock) else None
    return {"object": "clock", "now": now, "iso": iso(now), "speed": speed}


# --- what there is


def _state(request: Request) -> Response:
    engine = engine_of(request)
    statuses = engine.database.count_batches()
    return JSONResponse(
        {
            "object": "state",
            "clock": _clock(engine),
            "files": engine.database.count_files(engine.clock()),
            "batches": {"total": sum(statuses.values()), **statuses},
            "webhooks": request.app.state.courier.outbox.count(),
        }
    )


def _list_calls(request: Request) -> Response:
    calls: Calls = request.app.state.calls
    limit = parse_limit(request.query_params.get("limit"), default=KEPT, low=0, high=KEPT)
    after = parse_count("after", request.query_params.get("after"))
    data = [call.to_wire() for call in calls.last(limit, after=after)]
    return JSONResponse({"object": "list", "data": data})


# --- moving a batch by hand


class GivenError(BaseModel):
    """An entry of a failed batch's `errors`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    code: str = "server_error"
    message: str = "The batch failed because the administrator said so."
    param: str | None = None
    line: int | None = None


class ForcedEnding(BaseModel):
    """How a batch is to end, now."""

    model_config = ConfigDict(extra="forbid")

    status: Ending
    errors: list[GivenError] = Field(default=[GivenError()], min_length=1)


async def _end_batch(request: Request) -> Response:
    ending, engine = await read_model(request, ForcedEnding), engine_of(request)
    errors = [BatchError(**error.model_dump()) for error in ending.errors]
    batch_id = request.path_params["batch_id"]
    batch = await to_thread.run_sync(_force, engine, batch_id, ending.status, errors)
    return JSONResponse(batch.to_wire())


def _force(engine: Engine, batch_id: str, status: Ending, errors: list[BatchError]) -> BatchRecord:
    try:
        batch = force(engine, batch_id, status, errors)
    except IllegalMove as error:
        raise HTTPFailure(409, str(error)) from error
    if batch is None:
        raise HTTPFailure(404, f"No batch found with id '{batch_id}'.")
    return batch
