import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from batchspec.simulator import FaultError, Faults
from batchspec.simulator.faults.middleware import FaultMiddleware
from batchspec.simulator.faults.operations import OPERATIONS, operation_of
from batchspec.simulator.wire import MAX_BODY

from .conftest import Simulation, jsonl, request_line
from .faulty import create, look, raw

pytestmark = pytest.mark.anyio


async def statuses(simulation: Simulation, count: int, path: str = "/batches") -> list[int]:
    return [(await raw(simulation, "GET", path)).status_code for _ in range(count)]


@pytest.mark.parametrize(
    ("when", "struck"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"nth": 2}, [2]),
        ({"nth": [1, 4]}, [1, 4]),
        ({"every": 3}, [3, 6]),
        ({"times": 2}, [1, 2]),
        ({"every": 2, "times": 2}, [2, 4]),
        ({"on": "files.*"}, []),
        ({"on": ["files.*", "batches.list"]}, [1, 2, 3, 4, 5, 6]),
        ({"probability": 0}, []),
    ],
)
async def test_conditions(simulation: Simulation, when: dict[str, Any], struck: list[int]) -> None:
    simulation.engine.faults.add("server_error", **when)
    found = await statuses(simulation, 6)
    assert [n for n, status in enumerate(found, start=1) if status == 500] == struck


async def test_a_rule_holds_for_some_seconds(simulation: Simulation) -> None:
    simulation.engine.faults.add("server_error", after=10, until=20)
    found: list[int] = []
    for _ in range(4):
        found += await statuses(simulation, 1)
        simulation.clock.advance(8)
    assert found == [200, 200, 500, 200]


async def test_a_rule_can_be_about_a_model(simulation: Simulation) -> None:
    simulation.engine.faults.add("server_error", model="gpt-5-*")
    simulation.engine.faults.add("denied", model="other", on="batches.create")
    asked = request_line("a")["body"]
    other = {**asked, "model": "other"}
    found = [
        (await raw(simulation, "POST", "/chat/completions", json=body)).status_code
        for body in (asked, other)
    ]
    assert found == [500, 200]
    for line, status in ((request_line("a"), 500), (request_line("a", model="other"), 401)):
        file = await simulation.upload(line)
        assert (await create(simulation, file)).status_code == status
    assert await statuses(simulation, 1) == [200]


async def test_faults_strike_together(simulation: Simulation) -> None:
    simulation.engine.faults.add("slow_answer", seconds=5)
    simulation.engine.faults.add("server_error")
    before = simulation.clock()
    assert await statuses(simulation, 1) == [500]
    assert simulation.clock() - before == 5


async def test_the_seed_decides(start: Callable[..., Simulation], tmp_path: Path) -> None:
    runs: list[list[int]] = []
    for number, seed in enumerate((1, 1, 2)):
        faults = Faults(seed)
        simulation = start(faults=faults)
        faults.add("server_error", id=f"rule-{number > 5}", probability=0.5)
        runs.append(await statuses(simulation, 40))
        faults.clear()
    assert runs[0] == runs[1] != runs[2]
    assert 8 < runs[0].count(500) < 32


async def test_51_rules_and_counters_survive_a_restart(start: Callable[..., Simulation]) -> None:
    def faults() -> Faults:
        made = Faults(7)
        made.add("rate_limited", on="batches.list", nth=[2, 4])
        return made

    simulation = start(faults=faults())
    added = simulation.engine.faults.add("denied", on="files.list", nth=3)
    assert await statuses(simulation, 3) == [200, 429, 200]
    assert await statuses(simulation, 2, "/files") == [200, 200]

    simulation = start(faults=faults())
    assert await statuses(simulation, 2) == [429, 200]
    assert await statuses(simulation, 1, "/files") == [401]
    (given, found) = simulation.engine.faults.rules()
    assert (given.seen, given.hit) == (5, 2)
    assert (found.id, found.seen, found.hit) == (added, 3, 1)

    # The first rule belonged to its starts; the second one stays until it is removed.
    simulation = start()
    assert [rule.id for rule in simulation.engine.faults.rules()] == [added]
    assert simulation.engine.faults.remove(added)
    assert not simulation.engine.faults.remove(added)
    assert start().engine.faults.rules() == []


async def test_a_changed_rule_begins_anew(start: Callable[..., Simulation]) -> None:
    for times in (1, 2):
        faults = Faults()
        faults.add("server_error", times=times)
        assert await statuses(start(faults=faults), 2) == [500] * times + [200] * (2 - times)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fault": "rate_limted"}, "Did you mean 'rate_limited'?"),
        ({"fault": "server_error", "stauts": 500}, "Did you mean 'status'?"),
        ({"fault": "server_error", "status": 200}, "greater than or equal to 500"),
        ({"fault": "denied", "on": "batch.create"}, "Did you mean 'batches.create'?"),
        ({"fault": "denied", "nth": 0}, "greater than 0"),
        ({"fault": "denied", "probability": 2}, "less than or equal to 1"),
    ],
)
def test_a_rule_that_is_none_says_why(options: dict[str, Any], words: str) -> None:
    with pytest.raises(FaultError, match=words.replace("?", r"\?")):
        Faults().add(**options)


TOML = """
title = "Mine"

[[faults]]
fault = "denied"

[[faults]]
fault = "denid"

[[faults]]
fault = "rate_limited"
retry = 1
form = "hours"
"""


def test_a_scenario_tells_all_its_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TOML)
    with pytest.raises(FaultError) as caught:
        Faults().add_scenario(path)
    told = str(caught.value).splitlines()
    assert [line.partition(": ")[0] for line in told] == [f"{path}:7", f"{path}:10", f"{path}:10"]
    assert "Did you mean 'denied'?" in told[0]
    assert "Did you mean 'retry_after'?" in str(told)
    assert "hours" in str(told)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.toml", "faults = 1", "no list `faults`"),
        ("a.toml", "[[fault]]", "Did you mean 'faults'?"),
        ("a.toml", "=", "not valid TOML"),
        ("a.json", "{", "not valid JSON"),
        ("a.json", "[]", "is not a scenario"),
        ("a.json", '{"faults": [1]}', "faults[0]: a fault is a table"),
    ],
)
def test_a_file_that_is_no_scenario(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(FaultError) as caught:
        Faults().add_scenario(tmp_path / name)
    assert words in str(caught.value)


def test_an_unknown_scenario() -> None:
    with pytest.raises(FaultError, match="Did you mean 'flaky-network'"):
        Faults().add_scenario("flaky-netwrk")


def test_a_scenario_in_json_is_one_in_toml(tmp_path: Path) -> None:
    document = {"title": "Mine", "faults": [{"fault": "denied", "nth": [2]}]}
    (tmp_path / "mine.json").write_text(json.dumps(document))
    (tmp_path / "mine.toml").write_text('[[faults]]\nfault = "denied"\nnth = 2\n')
    one, other = Faults(), Faults()
    assert one.add_scenario(tmp_path / "mine.json") == ["mine/1"]
    assert other.add_scenario(tmp_path / "mine.toml") == ["mine/1"]
    assert one.rules() == other.rules()


def test_every_route_is_an_operation(simulation: Simulation) -> None:
    for route in simulation.app.routes:
        if isinstance(route, Route):
            path = route.path.replace("{model:path}", "a/b").replace("{", "").replace("}", "")
            for method in (route.methods or set()) - {"HEAD"}:
                assert operation_of(method, path) in OPERATIONS


async def test_of_a_huge_call_no_more_is_kept_than_can_be_served(simulation: Simulation) -> None:
    """It is about no model that anybody knows; what comes next reads all of it."""
    mebibyte, whole = b" " * 2**20, 100
    engine, read, seen = simulation.engine, 0, []

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": mebibyte, "more_body": read < whole}

    async def serve(_: object, receive: Any, __: object) -> None:
        seen.append(read)
        more, parts = True, 0
        while more:
            more = (await receive())["more_body"]
            parts += 1
        seen.append(parts)

    async def send(_: object) -> None:
        pass

    engine.faults.add("server_error", model="*")
    app = FaultMiddleware(serve, faults=engine.faults, database=engine.database, clock=engine.clock)
    await app({"type": "http", "method": "POST", "path": "/v1/batches"}, receive, send)
    assert seen == [MAX_BODY // len(mebibyte) + 1, whole]


@pytest.mark.parametrize("fault", ["long_validating", "rate_limited"])
@pytest.mark.parametrize("relative", [False, True])
async def test_what_a_batch_is_about_is_read_from_files_of_the_server_only(
    simulation: Simulation, tmp_path: Path, fault: str, *, relative: bool
) -> None:
    """A fault of batches and one of calls; `input_file_id` is whatever a client sends."""
    outside = tmp_path / "outside.jsonl"
    outside.write_bytes(jsonl(request_line("a", model="elsewhere")))
    files = simulation.engine.database.files
    sent = "../../outside.jsonl" if relative else str(outside)
    assert (files / sent).read_bytes() == outside.read_bytes()
    simulation.engine.faults.add(fault, model="elsewhere")
    batch = (await create(simulation, sent)).json()
    assert [rule.seen for rule in simulation.engine.faults.rules()] == [0]
    simulation.clock.advance(1_000)
    assert (await look(simulation, batch["id"]))["status"] == "failed"


@pytest.mark.parametrize("name", ["", "..", "../x", "/x", "a/b", "a.b", "a.input.input", "a\n"])
def test_no_path_is_made_of_what_is_no_id(simulation: Simulation, name: str) -> None:
    with pytest.raises(ValueError, match="no id of a file"):
        simulation.engine.database.path(name)
