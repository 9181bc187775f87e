from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import openai
import pytest
from openai.types import Batch
from starlette.applications import Starlette

from batchspec.simulator import Access, AppTransport, Pace, serve, serving
from batchspec.simulator.http.calls import KEPT
from batchspec.simulator.server import listen

from .conftest import KEY, START, Simulation, request_line

pytestmark = pytest.mark.anyio
SLOW = Pace(validating=600, in_progress=80_000, finalizing=600, cancelling=600)
NAMES = [f"r{number}" for number in range(40)]


@pytest.fixture
async def connect(anyio_backend: str) -> AsyncIterator[Callable[..., httpx2.AsyncClient]]:
    """Makes clients of an application's administration."""
    clients: list[httpx2.AsyncClient] = []

    def begin(simulation: Simulation, **headers: str) -> httpx2.AsyncClient:
        transport = AppTransport(simulation.app)
        clients.append(
            httpx2.AsyncClient(transport=transport, base_url="http://simulator", headers=headers)
        )
        return clients[-1]

    yield begin
    for client in clients:
        await client.aclose()


@pytest.fixture
def admin(simulation: Simulation, connect: Callable[..., httpx2.AsyncClient]) -> httpx2.AsyncClient:
    return connect(simulation)


# --- the clock


async def test_the_clock_is_read_and_moved(
    simulation: Simulation, admin: httpx2.AsyncClient
) -> None:
    assert (await admin.get("/admin/clock")).json() == {
        "object": "clock",
        "now": START,
        "iso": "2026-09-21T14:13:20Z",
        "speed": 0.0,
    }
    for body, now in (
        ({"advance": 90}, START + 90),
        ({"advance": "1d12h"}, START + 90 + 129_600),
        ({"set": START + 200_000.5}, START + 200_000.5),
        ({"set": "2027-01-01"}, 1_798_761_600),
        ({"set": "2027-01-01T02:00:00+01:00", "advance": "15m"}, 1_798_766_100),
    ):
        answer = await admin.post("/admin/clock", json=body)
        assert (answer.status_code, answer.json()["now"]) == (200, now)
    assert (await admin.post("/admin/clock", json={"speed": 1_000})).json()["speed"] == 1_000
    assert simulation.clock.speed == 1_000


async def test_who_moves_the_clock_sees_what_that_led_to(
    start: Callable[..., Simulation], connect: Callable[..., httpx2.AsyncClient]
) -> None:
    simulation = start(background=True, pace=SLOW)
    batch = await simulation.submit(*map(request_line, NAMES))
    answer = await connect(simulation).post("/admin/clock", json={"advance": "24h"})
    assert answer.json()["now"] == START + 86_400
    record = simulation.engine.database.batch(batch.id)
    assert record is not None
    assert record.status == "completed"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"advance": -1}, ["advance"]),
        ({"advance": "soon"}, ["'soon' is no duration; write for example 90s, 15m, 24h or 1d12h."]),
        ({"advance": "1h 30m"}, ["no duration"]),
        ({"set": "yesterday"}, ["'yesterday' is no moment"]),
        ({"set": START - 1}, ["Time does not run backwards: 2026-09-21T"]),
        ({"advance": 252_000_000_000}, ["9999"]),
        ({"speed": -2, "advance": [], "jump": 1}, ["speed", "advance", "jump"]),
        ({"advanse": 1}, ["'advanse': There is no such key. Did you mean 'advance'?"]),
        ({"speed": "fast"}, ["speed"]),
        ({}, ["set", "advance", "speed"]),
    ],
    ids=str,
)
async def test_a_move_that_cannot_be_made_is_refused_with_reasons(
    admin: httpx2.AsyncClient, body: Any, told: list[str]
) -> None:
    answer = await admin.post("/admin/clock", json=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert all(part in error["message"] for part in told)
    now = (await admin.get("/admin/clock")).json()
    assert (now["now"], now["speed"]) == (START, 0)


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b'{"advance": NaN}', b'{"a":"\xff"}'])
async def test_what_is_no_json_object_is_refused(admin: httpx2.AsyncClient, content: bytes) -> None:
    answer = await admin.post("/admin/clock", content=content)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


async def test_somebody_elses_clock_cannot_be_moved(
    start: Callable[..., Simulation], connect: Callable[..., httpx2.AsyncClient]
) -> None:
    admin = connect(start(clock=lambda: START))
    assert (await admin.get("/admin/clock")).json()["speed"] is None
    answer = await admin.post("/admin/clock", json={"advance": 1})
    assert answer.status_code == 409


# --- what there is


async def test_the_state_counts_what_there_is(
    simulation: Simulation, admin: httpx2.AsyncClient
) -> None:
    await simulation.finish(request_line("a"))
    await simulation.submit(request_line("b"))
    await simulation.finish(b"{}")
    await simulation.submit(request_line("b"))
    state = (await admin.get("/admin/state")).json()
    assert state["clock"]["now"] == START + 2_000
    # Four inputs and two outputs.
    assert state["files"] == 6
    assert state["webhooks"] == {}
    assert state["batches"] == {"total": 4, "completed": 2, "failed": 1, "validating": 1}


async def test_calls_are_noted_with_their_answers(
    simulation: Simulation, admin: httpx2.AsyncClient
) -> None:
    await simulation.client.batches.list(limit=3)
    with pytest.raises(openai.NotFoundError) as caught:
        await simulation.client.batches.retrieve("batch_x")
    simulation.clock.advance(5)
    await simulation.client.files.list()
    calls = (await admin.get("/admin/calls")).json()["data"]
    assert [(c["number"], c["method"], c["path"], c["query"], c["status"]) for c in calls] == [
        (1, "GET", "/v1/batches", "limit=3", 200),
        (2, "GET", "/v1/batches/batch_x", "", 404),
        (3, "GET", "/v1/files", "", 200),
    ]
    assert calls[1]["request_id"] == caught.value.request_id
    assert [call["at"] for call in calls] == [START, START, START + 5]
    for query, numbers in (("limit=1", [3]), ("after=1", [2, 3]), ("after=1&limit=1", [3])):
        found = (await admin.get(f"/admin/calls?{query}")).json()["data"]
        assert [call["number"] for call in found] == numbers
    assert (await admin.get("/admin/calls?limit=1001")).status_code == 400
    assert (await admin.get("/admin/calls?after=x")).status_code == 400


async def test_only_so_many_calls_are_kept(
    simulation: Simulation, admin: httpx2.AsyncClient
) -> None:
    for _ in range(KEPT + 5):
        await admin.get("/nowhere")
    calls = (await admin.get("/admin/calls")).json()["data"]
    assert (calls[0]["number"], calls[-1]["number"]) == (6, KEPT + 5)


async def test_a_call_that_made_the_server_fail_is_a_500(
    simulation: Simulation, admin: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(simulation.engine.database, "list_batches", fail)
    with pytest.raises(RuntimeError):
        await admin.get("/v1/batches", headers=KEY)
    assert (await admin.get("/admin/calls")).json()["data"][0]["status"] == 500


# --- moving a batch by hand


async def stage(simulation: Simulation, status: str) -> Batch:
    """Return a batch that has come to a status by itself."""
    if status == "failed":
        return await simulation.finish(b"{}")
    batch = await simulation.submit(*map(request_line, NAMES))
    if status == "expired":
        simulation.clock.advance(SLOW.validating)
        await simulation.client.batches.retrieve(batch.id)
        return await simulation.after(100_000, batch)
    if status.startswith("cancel"):
        batch = await simulation.client.batches.cancel(batch.id)
    seconds = {"in_progress": 30_000, "finalizing": 80_700, "completed": 85_000, "cancelled": 700}
    return await simulation.after(seconds.get(status, 0), batch)


LEGAL = {
    "completed": ("validating", "in_progress", "finalizing"),
    "failed": ("validating", "in_progress", "finalizing"),
    "expired": ("in_progress", "finalizing"),
    "cancelled": ("validating", "in_progress", "finalizing", "cancelling"),
}
STATUSES = (*LEGAL["cancelled"], "completed", "failed", "expired", "cancelled")


@pytest.mark.parametrize("ending", LEGAL)
@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("background", [False, True], ids=["asked", "background"])
async def test_a_batch_can_be_ended_in_every_way_that_is_legal(
    start: Callable[..., Simulation],
    connect: Callable[..., httpx2.AsyncClient],
    ending: str,
    status: str,
    background: bool,
) -> None:
    pace = Pace(validating=600, in_progress=80_000, finalizing=600, cancelling=600, window=50_000)
    simulation = start(pace=pace if status == "expired" else SLOW)
    before = await stage(simulation, status)
    assert before.status == status
    if background:
        simulation = start(pace=SLOW, background=True)
    admin = connect(simulation)
    answer = await admin.post(f"/admin/batches/{before.id}", json={"status": ending})
    batch = await simulation.client.batches.retrieve(before.id)
    if status not in LEGAL[ending]:
        assert answer.status_code == 409
        assert answer.json()["error"]["message"] == (
            f"A batch with status '{status}' does not become '{ending}'."
        )
        assert batch.status == status
        return
    assert answer.json() == batch.to_dict(exclude_unset=False)
    assert batch.status == ending
    assert getattr(batch, f"{ending}_at") == int(simulation.clock())
    assert batch.request_counts is not None
    lines = await simulation.lines(batch.output_file_id) + await simulation.lines(
        batch.error_file_id
    )
    if ending == "failed" or (ending, status) == ("cancelled", "validating"):
        assert lines == []
    elif (ending, status) != ("cancelled", "cancelling"):
        assert sorted(line["custom_id"] for line in lines) == sorted(NAMES)
        assert batch.request_counts.completed == (
            40 if ending == "completed" or status == "finalizing" else 14
        )


async def test_a_failure_has_the_errors_it_is_given(
    start: Callable[..., Simulation], connect: Callable[..., httpx2.AsyncClient]
) -> None:
    simulation = start(pace=SLOW)
    batch = await simulation.submit(request_line("a"))
    errors = [{"code": "billing_hard_limit_reached", "message": "No money."}, {"line": 3}]
    await connect(simulation).post(
        f"/admin/batches/{batch.id}", json={"status": "failed", "errors": errors}
    )
    batch = await simulation.client.batches.retrieve(batch.id)
    assert batch.errors is not None
    assert batch.errors.data is not None
    assert [(error.code, error.line) for error in batch.errors.data] == [
        ("billing_hard_limit_reached", None),
        ("server_error", 3),
    ]
    assert not list(simulation.engine.database.files.glob(f"{batch.id}*"))


async def test_a_bad_file_fails_also_in_a_hurry(
    simulation: Simulation, admin: httpx2.AsyncClient
) -> None:
    batch = await simulation.submit(b"{}")
    answer = await admin.post(f"/admin/batches/{batch.id}", json={"status": "completed"})
    assert answer.json()["status"] == "failed"
    assert answer.json()["errors"]["data"][0]["code"] == "missing_required_parameter"


async def test_a_batch_that_is_expiring_is_not_completed(
    start: Callable[..., Simulation], connect: Callable[..., httpx2.AsyncClient]
) -> None:
    simulation = start(pace=Pace(validating=1, in_progress=200, finalizing=50, window=100))
    batch = await simulation.submit(*map(request_line, NAMES))
    batch = await simulation.after(120, batch)
    assert batch.status == "finalizing"
    answer = await connect(simulation).post(
        f"/admin/batches/{batch.id}", json={"status": "completed"}
    )
    assert answer.status_code == 409


async def test_what_is_no_ending_is_refused_with_reasons(admin: httpx2.AsyncClient) -> None:
    answer = await admin.post("/admin/batches/batch_x", json={"status": "completed"})
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        404,
        "No batch found with id 'batch_x'.",
    )
    body = {"status": "done", "errors": [{"line": "three"}], "why": 1}
    answer = await admin.post("/admin/batches/batch_x", json=body)
    assert answer.status_code == 400
    told = [problem["param"] for problem in answer.json()["problems"]]
    assert told == ["status", "errors.0.line", "why"]


# --- who may


async def test_who_has_no_token_may_not(
    start: Callable[..., Simulation], connect: Callable[..., httpx2.AsyncClient]
) -> None:
    simulation = start(access=Access(token="tökén-of-sixteen"))
    for headers in (
        {},
        {"authorization": "Bearer "},
        {"authorization": "Bearer tökén-of-sixtee"},
        {"authorization": "Basic tökén-of-sixteen"},
    ):
        encoded = {name: value.encode() for name, value in headers.items()}
        answer = await connect(simulation, **encoded).get("/admin/clock")
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_admin_token")
    given = {"authorization": "bearer tökén-of-sixteen".encode()}
    assert (await connect(simulation, **given).get("/admin/clock")).status_code == 200
    # The API itself takes any key, as ever.
    assert (await simulation.client.batches.list()).data == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "127.0.0.1:8765"}, 200),
        ({"host": "localhost"}, 200),
        ({"host": "[::1]:8765"}, 200),
        ({"host": "127.0.0.1:8765", "origin": "http://127.0.0.1:8765"}, 200),
        ({"host": "127.0.0.1:8765", "origin": "http://evil.example"}, 403),
        ({"host": "127.0.0.1:8765", "origin": "http://127.0.0.1:9999"}, 403),
        ({"host": "127.0.0.1:8765", "origin": "null"}, 403),
        ({"host": "evil.example:8765"}, 403),
        ({"host": "evil.example:8765", "origin": "http://evil.example:8765"}, 403),
        ({"host": "[:"}, 403),
    ],
    ids=str,
)
async def test_no_web_page_may(
    start: Callable[..., Simulation],
    connect: Callable[..., httpx2.AsyncClient],
    headers: dict[str, str],
    status: int,
) -> None:
    simulation = start(access=Access(hosts=["127.0.0.1", "::1", "localhost"]))
    for path in ("/admin/clock", "/admin/nowhere"):
        answer = await connect(simulation, **headers).get(path)
        assert answer.status_code == (404 if status == 200 and path == "/admin/nowhere" else status)
        if status == 403:
            assert answer.json()["error"]["code"] in {"foreign_origin", "foreign_host"}


@pytest.mark.parametrize("token", [None, "a-token-of-sixteen"])
def test_on_a_socket_of_this_machine_no_web_page_may_either(
    make_app: Callable[..., Starlette], token: str | None
) -> None:
    """A page whose name points here calls by that name; whoever has the token may."""
    app = make_app(access=Access(token=token))
    given = {} if token is None else {"authorization": f"Bearer {token}"}
    with serving(app) as url:
        admin = url.removesuffix("/v1") + "/admin/clock"
        for name, status in (
            ("evil.example:80", 403 if token is None else 200),
            ("", 403 if token is None else 200),
            ("localhost", 200),
            ("[::1]:80", 200),
        ):
            answer = httpx2.get(admin, headers={"host": name, **given})
            assert answer.status_code == status, name
        assert httpx2.get(admin, headers=given).status_code == 200


@pytest.mark.batchspec_network("0.0.0.0")
@pytest.mark.parametrize("taken", [False, True])
def test_beyond_this_machine_it_does_not_listen_without_a_token(
    make_app: Callable[..., Starlette], *, taken: bool
) -> None:
    """Also where the socket was made before."""
    listener = listen("0.0.0.0", 0) if taken else None
    with pytest.raises(ValueError, match=r"access=Access\(token="):
        serve(make_app(), host="0.0.0.0", port=0, listener=listener, on_listening=pytest.fail)
