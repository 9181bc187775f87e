"""Behaviours 1 to 8 and 26, as a client in the process meets them."""

import gzip
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import pytest

from .conftest import KEY, START, Simulation, request_line
from .faulty import BASE, create, look, raw, upload

pytestmark = pytest.mark.anyio


async def test_01_a_connection_is_refused_before_the_request_is_read(
    simulation: Simulation,
) -> None:
    simulation.engine.faults.add("connection_reset", on="files.create", times=1)
    read: list[bytes] = []

    async def content() -> Any:
        read.append(b"x")
        yield b"x"

    with pytest.raises(httpx2.ConnectError):
        await raw(simulation, "POST", "/files", content=content())
    assert read == []
    assert (await raw(simulation, "GET", "/files")).json()["data"] == []


async def test_02_upload_create_and_cancel_are_committed_before_a_reset(
    simulation: Simulation,
) -> None:
    simulation.engine.faults.add("reset_after_commit")
    with pytest.raises(httpx2.ReadError):
        await upload(simulation, request_line("a"))
    (file,) = (await raw(simulation, "GET", "/files")).json()["data"]
    with pytest.raises(httpx2.ReadError):
        await create(simulation, file["id"])
    (batch,) = (await raw(simulation, "GET", "/batches")).json()["data"]
    with pytest.raises(httpx2.ReadError):
        await raw(simulation, "POST", f"/batches/{batch['id']}/cancel")
    assert (await look(simulation, batch["id"]))["status"] == "cancelling"


@pytest.mark.parametrize("committed", [False, True])
async def test_03_a_read_times_out(simulation: Simulation, *, committed: bool) -> None:
    file = await simulation.upload(request_line("a"))
    simulation.engine.faults.add("read_timeout", on="batches.create", committed=committed)
    with pytest.raises(httpx2.ReadTimeout):
        await create(simulation, file)
    assert len((await raw(simulation, "GET", "/batches")).json()["data"]) == committed


async def test_03_a_connection_without_answer_can_be_closed(simulation: Simulation) -> None:
    simulation.engine.faults.add("read_timeout", closes_after=60)
    with pytest.raises(httpx2.RemoteProtocolError):
        await raw(simulation, "GET", "/batches")
    assert simulation.clock() == START + 60


async def test_03_an_answer_takes_its_time(simulation: Simulation) -> None:
    simulation.engine.faults.add("slow_answer", seconds=30)
    assert (await raw(simulation, "GET", "/files")).status_code == 200
    assert simulation.clock() == START + 30


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize(
    ("body", "kind"),
    [("json", "application/json"), ("text", "text/plain"), ("html", "text/html")],
)
async def test_04_a_server_error_is_json_text_or_a_page(
    simulation: Simulation, status: int, body: str, kind: str
) -> None:
    simulation.engine.faults.add("server_error", status=status, body=body, retry=False)
    answer = await raw(simulation, "GET", "/batches")
    assert (answer.status_code, answer.headers["content-type"]) == (status, kind)
    assert answer.headers["x-should-retry"] == "false"
    if body == "json":
        assert answer.json()["error"]["type"] == "server_error"
    else:
        assert ("<html>" in answer.text) == (body == "html")


async def test_04_a_server_error_can_come_after_the_deed(simulation: Simulation) -> None:
    file = await simulation.upload(request_line("a"))
    simulation.engine.faults.add("server_error", on="batches.create", committed=True)
    assert (await create(simulation, file)).status_code == 500
    assert len((await raw(simulation, "GET", "/batches")).json()["data"]) == 1


@pytest.mark.parametrize(
    ("options", "header", "value"),
    [
        ({"retry_after": 2}, "retry-after", "2"),
        ({"retry_after": 1.5, "form": "milliseconds"}, "retry-after-ms", "1500"),
        ({"retry_after": 86_400}, "retry-after", "86400"),
        ({"retry_after": None}, "retry-after", None),
    ],
)
async def test_05_a_429_says_when_to_come_again(
    simulation: Simulation, options: dict[str, Any], header: str, value: str | None
) -> None:
    simulation.engine.faults.add("rate_limited", **options)
    answer = await raw(simulation, "GET", "/batches")
    assert answer.status_code == 429
    assert answer.headers.get(header) == value
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"


async def test_05_a_429_can_name_a_date(simulation: Simulation) -> None:
    simulation.engine.faults.add("rate_limited", retry_after=60, form="date")
    answer = await raw(simulation, "GET", "/batches")
    named = parsedate_to_datetime(answer.headers["retry-after"])
    assert named.timestamp() == START + 60


async def test_05_a_429_can_mean_an_empty_account(simulation: Simulation) -> None:
    simulation.engine.faults.add("rate_limited", code="insufficient_quota", retry_after=None)
    error = (await raw(simulation, "GET", "/batches")).json()["error"]
    assert (error["code"], error["type"]) == ("insufficient_quota", "insufficient_quota")


@pytest.mark.parametrize("status", [401, 403])
async def test_06_a_key_is_refused(simulation: Simulation, status: int) -> None:
    simulation.engine.faults.add("denied", status=status)
    answer = await raw(simulation, "POST", "/chat/completions", json=request_line("a")["body"])
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == "invalid_request_error"


LINES = [request_line(str(number)) for number in range(200)]


async def content(simulation: Simulation, fault: str, **options: Any) -> httpx2.Response:
    file = await simulation.upload(*LINES)
    simulation.engine.faults.add(fault, **options)
    request = httpx2.Request("GET", f"{BASE}/files/{file}/content", headers=KEY)
    return await simulation.client._client.send(request, stream=True)


async def sent(simulation: Simulation) -> bytes:
    simulation.engine.faults.clear()
    (file,) = (await raw(simulation, "GET", "/files")).json()["data"]
    return (await raw(simulation, "GET", f"/files/{file['id']}/content")).content


async def test_07_a_download_is_slow(simulation: Simulation) -> None:
    answer = await content(simulation, "slow_download", bytes_per_second=10_000)
    data = b"".join([part async for part in answer.aiter_raw()])
    assert data == await sent(simulation)
    assert simulation.clock() == START + -(-len(data) // 10_000)


@pytest.mark.parametrize(
    ("ending", "error"), [("close", httpx2.RemoteProtocolError), ("reset", httpx2.ReadError)]
)
async def test_07_a_download_is_cut(
    simulation: Simulation, ending: str, error: type[Exception]
) -> None:
    answer = await content(simulation, "truncated_download", share=0.5, ending=ending)
    received: list[bytes] = []

    async def read() -> None:
        async for part in answer.aiter_raw():
            received.append(part)  # noqa: PERF401  what came before the end is kept

    with pytest.raises(error):
        await read()
    whole = await sent(simulation)
    assert int(answer.headers["content-length"]) == len(whole)
    assert b"".join(received) == whole[: len(whole) // 2]


async def test_07_a_download_is_compressed(simulation: Simulation) -> None:
    answer = await content(simulation, "gzip_download")
    packed = b"".join([part async for part in answer.aiter_raw()])
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed) == await sent(simulation)


async def test_07_more_is_announced_than_comes(simulation: Simulation) -> None:
    answer = await content(simulation, "wrong_content_length", off_by=10)
    with pytest.raises(httpx2.RemoteProtocolError):
        await answer.aread()
    assert int(answer.headers["content-length"]) == len(await sent(simulation)) + 10


async def test_07_less_is_announced_than_there_is(simulation: Simulation) -> None:
    answer = await content(simulation, "wrong_content_length", off_by=-10)
    received = await answer.aread()
    whole = await sent(simulation)
    assert int(answer.headers["content-length"]) == len(received)
    assert received == whole[:-10]


@pytest.mark.parametrize(
    ("reason", "status", "words"),
    [
        ("extension", 400, "Must be .jsonl"),
        ("empty", 400, "File is empty."),
        ("too_large", 400, "File is too large."),
        ("proxy_too_large", 413, "Request Entity Too Large"),
        ("over_quota", 400, "no storage left"),
    ],
)
async def test_08_an_upload_is_refused_at_will(
    simulation: Simulation, reason: str, status: int, words: str
) -> None:
    simulation.engine.faults.add("upload_refused", reason=reason)
    answer = await upload(simulation, request_line("a"))
    assert answer.status_code == status
    assert words in answer.text
    assert (await raw(simulation, "GET", "/files")).json()["data"] == []


@pytest.mark.parametrize(
    ("name", "line", "words"),
    [
        ("in.json", request_line("a"), "Must be .jsonl"),
        ("in.jsonl", b"", "File is empty."),
        ("in.jsonl", b"no json", "first line is not valid JSON"),
    ],
)
async def test_08_an_upload_is_refused_for_what_it_is(
    simulation: Simulation, name: str, line: object, words: str
) -> None:
    answer = await upload(simulation, line, name=name)
    assert answer.status_code == 400
    assert answer.json()["detail"]["message"] == answer.json()["error"]["message"]
    assert words in answer.text


async def test_26_a_cancel_is_refused(simulation: Simulation) -> None:
    done = await simulation.finish(request_line("a"))
    open_ = await simulation.submit(request_line("a"))
    natural = await raw(simulation, "POST", f"/batches/{done.id}/cancel")
    simulation.engine.faults.add("cancel_conflict", status="completed")
    forced = await raw(simulation, "POST", f"/batches/{open_.id}/cancel")
    assert natural.status_code == forced.status_code == 409
    assert natural.json() == forced.json()
    assert (await look(simulation, open_.id))["status"] == "validating"
