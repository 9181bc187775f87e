"""Administration of what goes wrong: rules and scenarios."""

from collections.abc import Callable
from typing import TypeVar

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from batchspec.simulator.faults.catalogue import FaultError
from batchspec.simulator.faults.rules import Faults, Rule
from batchspec.simulator.faults.scenario import shipped, shipped_scenario
from batchspec.simulator.http.reading import engine_of, read_body
from batchspec.simulator.wire import HTTPFailure, Json, invalid_type, missing_parameter

T = TypeVar("T")


def routes() -> list[Route]:
    """Return what is to be mounted under `/admin`."""
    return [
        Route("/faults", _list, methods=["GET"]),
        Route("/faults", _add, methods=["POST"]),
        Route("/faults", _clear, methods=["DELETE"]),
        Route("/faults/{rule_id:path}", _remove, methods=["DELETE"]),
        Route("/scenarios", _list_scenarios, methods=["GET"]),
        Route("/scenarios", _add_scenario, methods=["POST"]),
    ]


def _list(request: Request) -> Response:
    return _page(engine_of(request).faults.rules())


async def _add(request: Request) -> Response:
    body, faults = await read_body(request), engine_of(request).faults

    def add() -> str:
        named = body.pop("id", None)
        if named is not None and not isinstance(named, str):
            raise invalid_type("id", "a string", named)
        return faults.add_table(body, id=named)

    added = await _tried(add)
    return JSONResponse(_find(faults, added).to_wire())


def _clear(request: Request) -> Response:
    faults = engine_of(request).faults
    removed = faults.rules()
    faults.clear()
    return _page(removed)


def _remove(request: Request) -> Response:
    rule_id = request.path_params["rule_id"]
    if not engine_of(request).faults.remove(rule_id):
        raise HTTPFailure(404, f"No rule found with id '{rule_id}'.")
    return JSONResponse({"id": rule_id, "object": "fault", "deleted": True})


def _list_scenarios(_: Request) -> Response:
    found = [scenario.to_wire() for scenario in shipped()]
    return JSONResponse({"object": "list", "data": found})


async def _add_scenario(request: Request) -> Response:
    """Add a scenario that ships; a path would let callers read the server's files."""
    body, faults = await read_body(request), engine_of(request).faults
    name = body.get("scenario")
    if name is None:
        raise missing_parameter("scenario")
    if not isinstance(name, str):
        raise invalid_type("scenario", "a string", name)
    ids = await _tried(lambda: faults.add_scenario(shipped_scenario(name)))
    return _page([_find(faults, each) for each in ids])


async def _tried(change: Callable[[], T]) -> T:
    try:
        return await to_thread.run_sync(change)
    except FaultError as error:
        problems = str(error).splitlines()
        extra = {"problems": [{"param": None, "message": problem} for problem in problems]}
        message = " ".join(problems)
        raise HTTPFailure(400, message, code="invalid_value", extra=extra) from error


def _find(faults: Faults, rule_id: str) -> Rule:
    return next(rule for rule in faults.rules() if rule.id == rule_id)


def _page(rules: list[Rule]) -> Response:
    data: list[Json] = [rule.to_wire() for rule in rules]
    return JSONResponse({"object": "list", "data": data})
