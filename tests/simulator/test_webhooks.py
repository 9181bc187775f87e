import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import openai
import pytest

from batchspec.simulator import Access, AppTransport, Pace
from batchspec.simulator.faults.rules import Faults
from batchspec.simulator.webhooks.courier import Courier
from batchspec.simulator.webhooks.records import EVENT_TYPES, Delivery, EndpointRecord
from batchspec.simulator.webhooks.signing import check_secret

from .conftest import PACE, START, Simulation, request_line
from .receiver import PATIENCE, Receiver

pytestmark = pytest.mark.anyio
BATCH_EVENTS = ["batch.completed", "batch.failed", "batch.expired", "batch.cancelled"]
HOUR = 3_600.0


@pytest.fixture
def receive() -> Iterator[Callable[..., Receiver]]:
    """Starts receivers on loopback."""
    receivers: list[Receiver] = []

    def begin(*statuses: int) -> Receiver:
        receivers.append(Receiver(statuses))
        return receivers[-1]

    yield begin
    for receiver in receivers:
        receiver.close()


@pytest.fixture
def receiver(receive: Callable[..., Receiver]) -> Receiver:
    return receive()


def courier(simulation: Simulation) -> Courier:
    found: Courier = simulation.app.state.courier
    return found


async def register(simulation: Simulation, url: str, *types: str) -> Any:
    return await simulation.client.webhooks.create(
        name="ours", url=url, event_types=list(types or BATCH_EVENTS)
    )


def when(simulation: Simulation, condition: Callable[[list[Delivery]], bool]) -> list[Delivery]:
    """Wait until the deliveries, newest first, are as they should be."""
    at_work = courier(simulation)
    with at_work._condition:
        assert at_work._condition.wait_for(
            lambda: condition(at_work.outbox.last(100)), timeout=PATIENCE
        )
    return at_work.outbox.last(100)


# --- endpoints


async def test_endpoints_are_managed_with_the_official_client(simulation: Simulation) -> None:
    client = simulation.client
    made = await register(simulation, "https://example.com/hook", "batch.failed", "batch.failed")
    assert made.signing_secret.startswith("whsec_")
    assert (made.object, made.created_at, made.updated_at) == ("webhook_endpoint", START, START)
    assert (made.name, made.url, made.event_types) == (
        "ours",
        "https://example.com/hook",
        ["batch.failed"],
    )
    found = await client.webhooks.retrieve(made.id)
    assert found.to_dict() == {
        name: value for name, value in made.to_dict().items() if name != "signing_secret"
    }
    assert found.signing_secret_hint is not None
    assert found.signing_secret_hint.endswith(made.signing_secret[-4:])

    simulation.clock.advance(60)
    assert (await client.webhooks.update(made.id, name="ours")).updated_at == START
    changed = await client.webhooks.update(
        made.id, name="theirs", url="http://localhost:1/", event_types=["video.failed"]
    )
    assert (changed.name, changed.url, changed.event_types, changed.updated_at) == (
        "theirs",
        "http://localhost:1/",
        ["video.failed"],
        START + 60,
    )
    rotated = await client.webhooks.rotate_secret(made.id)
    assert rotated.signing_secret not in {made.signing_secret, None}
    deleted = await client.webhooks.delete(made.id)
    assert (deleted.id, deleted.object, deleted.deleted) == (
        made.id,
        "webhook_endpoint.deleted",
        True,
    )
    with pytest.raises(openai.NotFoundError, match="No webhook endpoint found with id"):
        await client.webhooks.retrieve(made.id)
    assert (await client.webhooks.event_types.list()).data == list(EVENT_TYPES)


async def test_endpoints_are_listed_page_by_page(simulation: Simulation) -> None:
    made = [(await register(simulation, f"https://example.com/{n}")).id for n in range(5)]
    listed = [e.id async for e in simulation.client.webhooks.list(limit=2)]
    assert listed == made[::-1]
    with pytest.raises(openai.NotFoundError):
        await simulation.client.webhooks.list(after="whe_x")
    with pytest.raises(openai.BadRequestError):
        await simulation.client.webhooks.list(limit=101)


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"url": None}, "url", "missing_required_parameter"),
        ({"event_types": None}, "event_types", "missing_required_parameter"),
        ({"name": 3}, "name", "invalid_type"),
        ({"name": " "}, "name", None),
        ({"event_types": "batch.failed"}, "event_types", "invalid_type"),
        ({"event_types": []}, "event_types", "empty_array"),
        ({"event_types": ["batch.failed", 1]}, "event_types[1]", "invalid_type"),
        ({"event_types": ["batch.lost"]}, "event_types[0]", "invalid_value"),
        ({"url": "http://example.com/"}, "url", "invalid_value"),
        ({"url": "ftp://localhost/"}, "url", "invalid_value"),
        ({"url": "https://"}, "url", "invalid_value"),
        ({"url": "https://[/"}, "url", "invalid_value"),
        ({"url": "https://a b/"}, "url", "invalid_value"),
        ({"url": "https://host:99999/"}, "url", "invalid_value"),
        ({"url": "https://[::1]x/"}, "url", "invalid_value"),
        ({"url": "https://ü-.example/"}, "url", "invalid_value"),
        ({"url": "/hook"}, "url", "invalid_value"),
        ({"secret": "mine"}, "secret", "unknown_parameter"),
    ],
    ids=str,
)
async def test_an_endpoint_that_is_not_right_is_refused(
    simulation: Simulation, change: dict[str, Any], param: str, code: str | None
) -> None:
    body = {"name": "ours", "url": "https://example.com/", "event_types": ["batch.failed"]}
    with pytest.raises(openai.BadRequestError) as caught:
        await simulation.client.post("/webhook_endpoints", body={**body, **change}, cast_to=object)
    assert (caught.value.param, caught.value.code) == (param, code)


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("rotate_secret", {"keep_old_secret_active_for_24_hours": "yes"}, "keep_old"),
        ("rotate_secret", {"secret": "mine"}, "secret"),
        ("test", {}, "event_type"),
        ("test", {"event_type": "batch.lost"}, "event_type"),
        ("test", {"event_type": 1}, "event_type"),
        ("test", {"event_type": "batch.failed", "now": True}, "now"),
    ],
    ids=str,
)
async def test_further_operations_refuse_what_is_not_right(
    simulation: Simulation, path: str, body: dict[str, Any], param: str
) -> None:
    made = await register(simulation, "https://example.com/hook")
    with pytest.raises(openai.BadRequestError) as caught:
        await simulation.client.post(
            f"/webhook_endpoints/{made.id}/{path}", body=body, cast_to=object
        )
    assert str(caught.value.param).startswith(param)


async def test_endpoints_need_what_the_administration_needs(
    start: Callable[..., Simulation],
) -> None:
    """Who adds one makes the server call an address of his."""
    simulation = start(access=Access(token="a-token-of-sixteen"))
    with pytest.raises(openai.AuthenticationError):
        await register(simulation, "https://example.com/hook")
    allowed = simulation.client.with_options(api_key="a-token-of-sixteen")
    assert [e async for e in allowed.webhooks.list()] == []


# --- delivery


MOMENTS = {"completed": 125, "failed": 20, "cancelled": 60, "expired": 101}


async def ended(simulation: Simulation, status: str) -> str:
    """Let a batch end in some way, at this very moment, and return its id."""
    batch = await simulation.submit(b"{}" if status == "failed" else request_line("a"))
    if status == "cancelled":
        await simulation.client.batches.cancel(batch.id)
    batch = await simulation.after(MOMENTS[status], batch)
    assert batch.status == status
    return batch.id


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "expired"])
async def test_the_end_of_a_batch_is_told(
    start: Callable[..., Simulation], receiver: Receiver, status: str
) -> None:
    pace = Pace(in_progress=200, window=100) if status == "expired" else PACE
    simulation = start(pace=pace)
    endpoint = await register(simulation, receiver.url)
    batch_id = await ended(simulation, status)
    received = receiver.get()
    event = received.unwrap(endpoint.signing_secret)
    batch = await simulation.client.batches.retrieve(batch_id)
    assert (event.type, event.object, event.data.id) == (f"batch.{status}", "event", batch_id)
    assert event.created_at == getattr(batch, f"{status}_at")
    assert event.id.startswith("evt_")
    assert (received.path, received.headers["content-type"]) == ("/hook", "application/json")
    assert received.id.startswith("wh_")
    [delivery] = when(simulation, lambda found: found[0].state == "delivered")
    assert (delivery.attempts, delivery.status) == (1, 200)


async def test_an_endpoint_is_told_what_it_asked_for(
    simulation: Simulation, receive: Callable[..., Receiver]
) -> None:
    one, other = receive(), receive()
    await register(simulation, one.url, "batch.failed")
    await register(simulation, other.url, "response.completed", "batch.completed")
    failed, completed = await ended(simulation, "failed"), await ended(simulation, "completed")
    assert failed.encode() in one.get().body
    assert completed.encode() in other.get().body
    when(simulation, lambda found: [d.state for d in found] == ["delivered"] * 2)
    assert one.received.empty()
    assert other.received.empty()


async def test_an_endpoint_gets_events_in_the_order_of_their_moments(
    simulation: Simulation, receiver: Receiver
) -> None:
    await register(simulation, receiver.url)
    names = [await ended(simulation, "completed") for _ in range(10)]
    told = [receiver.get().body.decode() for _ in names]
    assert all(name in body for name, body in zip(names, told, strict=True))


@pytest.mark.parametrize("status", [500, 404, 301, 307])
async def test_a_delivery_is_tried_again_until_it_arrives(
    simulation: Simulation, receive: Callable[..., Receiver], status: int
) -> None:
    receiver = receive(status, status)
    endpoint = await register(simulation, receiver.url)
    await ended(simulation, "completed")
    first = receiver.get()
    [waiting] = when(simulation, lambda found: found[0].attempts == 1)
    assert (waiting.state, waiting.status) == ("waiting", status)
    assert waiting.due_at == waiting.happened_at + 5
    simulation.clock.set(waiting.due_at + 86_400)
    second, third = receiver.get(), receiver.get()
    assert first.id == second.id == third.id
    assert first.body == third.body
    assert third.path == "/hook"
    assert third.unwrap(endpoint.signing_secret).type == "batch.completed"
    [delivery] = when(simulation, lambda found: found[0].state == "delivered")
    assert (delivery.attempts, delivery.status, delivery.error) == (3, 200, None)


async def test_a_delivery_is_given_up_after_72_hours(
    simulation: Simulation, receive: Callable[..., Receiver]
) -> None:
    receiver = receive(*[503] * 20)
    await register(simulation, receiver.url)
    await ended(simulation, "completed")
    when(simulation, lambda found: found[0].attempts == 1)
    simulation.clock.advance(67 * HOUR)
    tried = when(simulation, lambda found: found[0].due_at > simulation.clock())
    assert (tried[0].attempts, tried[0].state) == (12, "waiting")
    simulation.clock.advance(1 * HOUR)
    [given_up] = when(simulation, lambda found: found[0].state == "abandoned")
    assert (given_up.attempts, given_up.status) == (13, 503)


@pytest.mark.parametrize("url", ["{url}", "http://a..localhost/", "http://{long}.localhost/"])
async def test_a_receiver_that_is_not_there_is_tried_again(
    simulation: Simulation, receiver: Receiver, url: str
) -> None:
    """Also where its name is none that could be looked up."""
    receiver.close()
    await register(simulation, url.format(url=receiver.url, long="a" * 70))
    await ended(simulation, "completed")
    [delivery] = when(simulation, lambda found: found[0].attempts == 1)
    assert (delivery.state, delivery.status) == ("waiting", None)
    assert delivery.error


async def test_a_database_that_cannot_be_written_ends_the_deliveries(
    simulation: Simulation, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an attempt that is not remembered would be made again at once, for ever."""
    await register(simulation, receiver.url)

    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("disk full")

    monkeypatch.setattr(courier(simulation).outbox, "settle", fail)
    await ended(simulation, "completed")
    receiver.get()
    when(simulation, lambda _: not courier(simulation)._busy)
    assert receiver.received.empty()
    assert courier(simulation)._closed


async def test_what_was_not_delivered_survives_a_restart(
    start: Callable[..., Simulation], receive: Callable[..., Receiver]
) -> None:
    receiver = receive(500)
    simulation = start()
    endpoint = await register(simulation, receiver.url)
    batch_id = await ended(simulation, "completed")
    when(simulation, lambda found: found[0].attempts == 1)
    again = start()
    again.clock.advance(HOUR)
    first, second = receiver.get(), receiver.get()
    assert first.id == second.id
    assert second.unwrap(endpoint.signing_secret).data.id == batch_id


async def test_an_event_is_committed_with_what_it_tells_or_not_at_all(
    simulation: Simulation, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await register(simulation, receiver.url)
    batch = await simulation.submit(request_line("a"))
    simulation.clock.advance(1_000)

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    monkeypatch.setattr("batchspec.simulator.webhooks.outbox._insert", die)
    with pytest.raises(Killed):
        simulation.engine.advance(simulation.clock())
    record = simulation.engine.database.batch(batch.id)
    assert record is not None
    assert record.status == "finalizing"
    monkeypatch.undo()
    simulation.engine.advance(simulation.clock())
    assert batch.id.encode() in receiver.get().body


async def test_a_slow_receiver_holds_up_neither_batches_nor_other_receivers(
    simulation: Simulation, receive: Callable[..., Receiver]
) -> None:
    slow, quick = receive(), receive()
    slow.open.clear()
    await register(simulation, slow.url)
    await register(simulation, quick.url)
    first, second = await ended(simulation, "completed"), await ended(simulation, "failed")
    assert first.encode() in slow.get().body
    assert first.encode() in quick.get().body
    assert second.encode() in quick.get().body
    assert slow.received.empty()
    slow.open.set()
    assert second.encode() in slow.get().body


async def test_only_so_many_deliveries_are_on_their_way_at_once(
    simulation: Simulation, receive: Callable[..., Receiver]
) -> None:
    receiver = receive()
    receiver.open.clear()
    for number in range(12):
        await register(simulation, f"{receiver.url}{number}")
    await ended(simulation, "completed")
    paths = {receiver.get().path for _ in range(8)}
    assert len(paths) == 8
    assert len(courier(simulation)._busy) == 8
    assert receiver.received.empty()
    receiver.open.set()
    paths |= {receiver.get().path for _ in range(4)}
    assert len(paths) == 12


async def test_a_deleted_endpoint_gets_nothing_any_more(
    simulation: Simulation, receive: Callable[..., Receiver]
) -> None:
    receiver, other = receive(500), receive()
    endpoint = await register(simulation, receiver.url)
    await ended(simulation, "completed")
    when(simulation, lambda found: found[0].attempts == 1)
    await simulation.client.webhooks.delete(endpoint.id)
    await register(simulation, other.url)
    simulation.clock.advance(HOUR)
    await ended(simulation, "completed")
    other.get()
    assert receiver.received.qsize() == 1
    when(simulation, lambda found: [d.state for d in found] == ["delivered"])


async def test_a_rotated_secret_can_leave_the_old_one_active_for_a_day(
    simulation: Simulation, receiver: Receiver
) -> None:
    old = await register(simulation, receiver.url)
    new = await simulation.client.webhooks.rotate_secret(
        old.id, keep_old_secret_active_for_24_hours=True
    )
    await ended(simulation, "completed")
    received = receiver.get()
    assert received.unwrap(old.signing_secret) == received.unwrap(new.signing_secret)
    simulation.clock.advance(86_400)
    await ended(simulation, "completed")
    received = receiver.get()
    assert received.unwrap(new.signing_secret)
    with pytest.raises(openai.InvalidWebhookSignatureError):
        received.unwrap(old.signing_secret)


async def test_a_test_event_is_sent_at_once(
    simulation: Simulation, receive: Callable[..., Receiver]
) -> None:
    receiver = receive(418)
    endpoint = await register(simulation, receiver.url)
    result = await simulation.client.webhooks.test(endpoint.id, event_type="batch.expired")
    assert result.to_dict() == {
        "object": "webhook_endpoint.test",
        "webhook_endpoint_id": endpoint.id,
        "event_type": "batch.expired",
        "success": True,
        "status_code": 418,
    }
    assert receiver.get().unwrap(endpoint.signing_secret).type == "batch.expired"
    receiver.close()
    with pytest.raises(openai.BadRequestError, match="could not be reached"):
        await simulation.client.webhooks.test(endpoint.id, event_type="batch.expired")


async def test_endpoints_given_to_the_server_sign_with_a_secret_that_is_not_stored(
    start: Callable[..., Simulation], receiver: Receiver
) -> None:
    secret = "a secret of the environment"
    simulation = start(webhooks={receiver.url: secret})
    batch_id = await ended(simulation, "completed")
    assert receiver.get().unwrap(secret).data.id == batch_id
    [endpoint] = [e async for e in simulation.client.webhooks.list()]
    assert endpoint.event_types == BATCH_EVENTS
    simulation.engine.close()
    folder = simulation.engine.database.files.parent
    assert all(secret.encode() not in path.read_bytes() for path in folder.glob("simulator.db*"))
    assert stat.S_IMODE((folder / "simulator.db").stat().st_mode) == 0o600
    # The next start is not given it.
    again = start()
    assert [e async for e in again.client.webhooks.list()] == []


async def test_deliveries_are_shown_to_the_administrator(
    simulation: Simulation, receiver: Receiver
) -> None:
    endpoint = await register(simulation, receiver.url)
    await ended(simulation, "completed")
    when(simulation, lambda found: found[0].state == "delivered")
    async with httpx2.AsyncClient(transport=AppTransport(simulation.app)) as admin:
        answer = await admin.get("http://simulator/admin/webhooks?limit=5")
    [delivery] = answer.json()["data"]
    assert delivery["id"] == receiver.get().id
    assert (delivery["endpoint_id"], delivery["state"]) == (endpoint.id, "delivered")
    assert endpoint.signing_secret not in answer.text


async def test_only_so_many_ended_deliveries_are_kept(
    simulation: Simulation, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchspec.simulator.webhooks.outbox.KEPT", 3)
    await register(simulation, receiver.url)
    for _ in range(6):
        await ended(simulation, "completed")
        receiver.get()
        when(simulation, lambda found: found[0].state == "delivered")
    assert len(courier(simulation).outbox.last(100)) <= 4


# --- behaviour 50: what goes wrong on the way


async def struck(
    start: Callable[..., Simulation], receiver: Receiver, fault: str, **options: Any
) -> tuple[Simulation, str]:
    """Return a simulation with one fault, and the secret of its endpoint."""
    faults = Faults()
    faults.add(fault, **options)
    simulation = start(faults=faults)
    endpoint = await register(simulation, receiver.url)
    return simulation, endpoint.signing_secret


async def test_50_an_event_can_be_lost(
    start: Callable[..., Simulation], receiver: Receiver
) -> None:
    simulation, _ = await struck(start, receiver, "webhook_lost", nth=1)
    await ended(simulation, "completed")
    second = await ended(simulation, "completed")
    assert second.encode() in receiver.get().body
    states = when(simulation, lambda found: found[0].state == "delivered")
    assert [delivery.state for delivery in states] == ["delivered", "lost"]
    assert receiver.received.empty()


async def test_50_an_event_can_be_doubled(
    start: Callable[..., Simulation], receiver: Receiver
) -> None:
    simulation, secret = await struck(start, receiver, "webhook_doubled", copies=3)
    await ended(simulation, "completed")
    received = [receiver.get() for _ in range(3)]
    assert len({one.id for one in received}) == 1
    assert {one.unwrap(secret).type for one in received} == {"batch.completed"}
    when(simulation, lambda found: [d.state for d in found] == ["delivered"] * 3)
    assert receiver.received.empty()


async def test_50_an_event_can_be_late(
    start: Callable[..., Simulation], receiver: Receiver
) -> None:
    simulation, secret = await struck(
        start, receiver, "webhook_late", seconds=7_200, event="batch.completed"
    )
    await ended(simulation, "completed")
    failed = await ended(simulation, "failed")
    assert receiver.get().unwrap(secret).data.id == failed
    [_, late] = when(simulation, lambda found: found[0].state == "delivered")
    assert (late.state, late.attempts, late.due_at) == ("waiting", 0, late.happened_at + 7_200)
    simulation.clock.set(late.due_at)
    assert receiver.get().unwrap(secret).type == "batch.completed"


async def test_50_events_can_come_in_another_order(
    start: Callable[..., Simulation], receiver: Receiver
) -> None:
    simulation, secret = await struck(start, receiver, "webhook_reordered", nth=[1, 3])
    first, second = await ended(simulation, "completed"), await ended(simulation, "completed")
    assert [receiver.get().unwrap(secret).data.id for _ in range(2)] == [second, first]
    # Without a next one it comes all the same, later.
    third = await ended(simulation, "completed")
    [held, *_] = when(simulation, lambda found: len(found) == 3)
    assert held.state == "waiting"
    simulation.clock.advance(HOUR)
    assert receiver.get().unwrap(secret).data.id == third


async def test_50_an_event_can_be_forged(
    start: Callable[..., Simulation], receiver: Receiver
) -> None:
    simulation, secret = await struck(start, receiver, "webhook_forged", times=1)
    await ended(simulation, "completed")
    forged = receiver.get()
    with pytest.raises(openai.InvalidWebhookSignatureError, match="does not match"):
        forged.unwrap(secret)
    await ended(simulation, "completed")
    assert receiver.get().unwrap(secret)


async def test_50_a_signature_can_be_stale(
    start: Callable[..., Simulation], receiver: Receiver
) -> None:
    simulation, secret = await struck(start, receiver, "webhook_stale", seconds=301, times=1)
    before = int(time.time())
    await ended(simulation, "completed")
    stale = receiver.get()
    assert before - 301 <= int(stale.headers["webhook-timestamp"]) <= int(time.time()) - 301
    with pytest.raises(openai.InvalidWebhookSignatureError, match="too old"):
        stale.unwrap(secret)
    # It is genuine but for its age.
    client = openai.OpenAI(api_key="none")
    client.webhooks.verify_signature(stale.body, stale.headers, secret=secret, tolerance=3_600)
    await ended(simulation, "completed")
    assert receiver.get().unwrap(secret)


async def test_faults_strike_each_endpoint_by_itself_and_go_on_after_a_restart(
    start: Callable[..., Simulation], receive: Callable[..., Receiver]
) -> None:
    def faults() -> Faults:
        made = Faults()
        made.add("webhook_lost", every=2)
        return made

    one, other = receive(), receive()
    simulation = start(faults=faults())
    await register(simulation, one.url)
    await register(simulation, other.url)
    first = await ended(simulation, "completed")
    assert first.encode() in one.get().body
    when(simulation, lambda found: found[-1].state == "delivered")
    simulation = start(faults=faults())
    second = await ended(simulation, "completed")
    assert second.encode() in one.get().body
    when(simulation, lambda found: found[1].state == "delivered")
    assert [d.state for d in courier(simulation).outbox.last(9)][::2] == ["lost", "lost"]
    assert other.received.empty()


# --- secrets


def test_a_secret_that_cannot_sign_is_refused_and_not_repeated() -> None:
    check_secret("whsec_c2VjcmV0")
    check_secret("anything else")
    for secret in ("", "whsec_", "whsec_n!t-base64"):
        with pytest.raises(ValueError, match="webhook secret") as caught:
            check_secret(secret)
        assert "n!t" not in str(caught.value)


def test_a_configured_secret_has_a_hint_too() -> None:
    record = EndpointRecord(
        id="whe_1", name="n", url="u", event_types=(), created_at=1, updated_at=1
    )
    assert record.to_wire("whsec_abcdefgh")["signing_secret_hint"] == "whsec_…efgh"
    assert record.secrets(None, 0) == []
