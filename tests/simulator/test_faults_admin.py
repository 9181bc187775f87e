"""Faults are switched on and off in a server that runs, by `/admin`."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from batchspec.simulator import Faults
from batchspec.simulator.faults.scenario import shipped

from .conftest import START, Simulation
from .faulty import raw

pytestmark = pytest.mark.anyio


async def admin(simulation: Simulation, method: str, path: str, **more: Any) -> httpx2.Response:
    url = f"http://simulator/admin{path}"
    return await simulation.client._client.request(method, url, **more)


async def test_a_rule_is_added_seen_and_removed(simulation: Simulation) -> None:
    rule = {"fault": "rate_limited", "on": ["batches.list"], "times": 2, "retry_after": 5.0}
    added = (await admin(simulation, "POST", "/faults", json=rule)).json()
    wanted = {**rule, "id": "rate_limited-1", "seen": 0, "hit": 0, "added_at": START}
    assert added == wanted
    found = [(await raw(simulation, "GET", "/batches")).status_code for _ in range(3)]
    assert found == [429, 429, 200]
    listed = (await admin(simulation, "GET", "/faults")).json()
    assert listed == {"object": "list", "data": [{**wanted, "seen": 3, "hit": 2}]}
    gone = (await admin(simulation, "DELETE", "/faults/rate_limited-1")).json()
    assert gone == {"id": "rate_limited-1", "object": "fault", "deleted": True}
    assert (await admin(simulation, "DELETE", "/faults/rate_limited-1")).status_code == 404


async def test_a_named_rule_takes_the_place_of_the_one_before(simulation: Simulation) -> None:
    for status in (401, 403):
        rule = {"id": "mine", "fault": "denied", "status": status}
        assert (await admin(simulation, "POST", "/faults", json=rule)).json()["id"] == "mine"
        assert (await raw(simulation, "GET", "/batches")).status_code == status


async def test_a_scenario_is_added_and_all_is_cleared(simulation: Simulation) -> None:
    known = (await admin(simulation, "GET", "/scenarios")).json()["data"]
    assert [each["name"] for each in known] == [scenario.name for scenario in shipped()]
    added = await admin(simulation, "POST", "/scenarios", json={"scenario": "expired"})
    ids = [rule["id"] for rule in added.json()["data"]]
    assert ids == ["expired/1", "expired/2"]
    assert (await admin(simulation, "DELETE", "/faults/expired/1")).status_code == 200
    cleared = (await admin(simulation, "DELETE", "/faults")).json()["data"]
    assert [rule["id"] for rule in cleared] == ["expired/2"]
    assert (await admin(simulation, "GET", "/faults")).json()["data"] == []


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/faults", {"fault": "denid"}, "Did you mean 'denied'?"),
        ("/faults", {"fault": "denied", "on": "batch.create"}, "Did you mean 'batches.create'?"),
        ("/faults", {"fault": "denied", "tims": 1}, "Did you mean 'times'?"),
        ("/faults", {"fault": "denied", "id": 1}, "expected a string"),
        ("/faults", {}, "no key"),
        ("/scenarios", {"scenario": "expird"}, "Did you mean 'expired'?"),
        ("/scenarios", {"scenario": "../../other.toml"}, "There is no scenario"),
        ("/scenarios", {}, "Missing required parameter"),
    ],
)
async def test_what_is_not_right_is_told(
    simulation: Simulation, path: str, body: dict[str, Any], words: str
) -> None:
    answer = await admin(simulation, "POST", path, json=body)
    assert answer.status_code == 400
    assert words in answer.text
    assert simulation.engine.faults.rules() == []


async def test_faults_do_not_lock_the_administrator_out(simulation: Simulation) -> None:
    await admin(simulation, "POST", "/faults", json={"fault": "denied"})
    assert (await raw(simulation, "GET", "/batches")).status_code == 401
    assert (await admin(simulation, "DELETE", "/faults")).status_code == 200
    assert (await raw(simulation, "GET", "/batches")).status_code == 200


async def test_a_rule_added_in_a_running_server_outlives_it(
    start: Callable[..., Simulation],
) -> None:
    simulation = start(faults=Faults())
    await admin(simulation, "POST", "/faults", json={"fault": "denied", "nth": 2})
    assert (await raw(simulation, "GET", "/batches")).status_code == 200
    simulation = start(faults=Faults())
    assert (await raw(simulation, "GET", "/batches")).status_code == 401
