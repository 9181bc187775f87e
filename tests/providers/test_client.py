"""What the client promises, against the embedded server and everything a network can do."""

import json
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import openai
import pytest
import uvicorn
from openai.types import Batch
from worlds import BASE_URL, START, Fault, Faults, failure, rewriting_json

from batchspec.ids import FileId, RemoteId
from batchspec.providers.openai.client import OpenAIClient, error_message, remote_batch
from batchspec.simulator import AppTransport, Pace, SimulatedClock, create_app
from batchspec.state.records import RequestCounts
from batchspec.state.remote import (
    CallError,
    NotFound,
    Refused,
    RemoteBatch,
    Throttled,
    Uncertain,
)

pytestmark = pytest.mark.anyio

ENDPOINT = "/v1/chat/completions"
PACE = Pace(validating=20, in_progress=100, finalizing=5, cancelling=60)
CREATE, LIST, BATCH = ("POST", "/batches"), ("GET", "/batches"), ("GET", "/batches/batch_.*")
UPLOAD, CONTENT = ("POST", "/files"), ("GET", "/files/.*/content")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(START, speed=0)


@pytest.fixture
def faults(tmp_path: Path, clock: SimulatedClock) -> Iterator[Faults]:
    app = create_app(tmp_path / "server", clock=clock, pace=PACE, background=False)
    yield Faults(app)
    app.state.engine.close()


@pytest.fixture
async def client(faults: Faults, anyio_backend: str) -> AsyncIterator[OpenAIClient]:
    made = OpenAIClient(api_key="k", base_url=BASE_URL, transport=AppTransport(faults))
    yield made
    await made.close()


@pytest.fixture
def input_file(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    body = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Hi"}]}
    line = {"custom_id": "c", "method": "POST", "url": ENDPOINT, "body": body}
    path.write_bytes(json.dumps(line).encode() + b"\n")
    return path


async def submitted(client: OpenAIClient, path: Path, token: str = "t") -> RemoteBatch:
    file = await client.upload(path, f"batchspec-{token}.jsonl")
    return await client.create(file, ENDPOINT, "24h", {"batchspec": token})


@pytest.fixture
async def submission(
    client: OpenAIClient, input_file: Path, anyio_backend: str
) -> tuple[OpenAIClient, RemoteBatch]:
    return client, await submitted(client, input_file)


async def test_a_batch_goes_its_way(
    client: OpenAIClient, clock: SimulatedClock, input_file: Path
) -> None:
    """Upload, create, look, download, delete."""
    batch = await submitted(client, input_file)
    assert (batch.status, batch.metadata) == ("validating", {"batchspec": "t"})
    assert batch.input_file_id is not None
    clock.advance(60)
    assert (await client.retrieve(batch.id)).status == "in_progress"
    clock.advance(600)
    done = await client.retrieve(batch.id)
    assert (done.status, done.counts) == ("completed", RequestCounts(1, 1, 0))
    assert done.output_file_id is not None
    content = b"".join([chunk async for chunk in client.content(done.output_file_id)])
    assert json.loads(content)["custom_id"] == "c"
    await client.delete_file(batch.input_file_id)
    await client.delete_file(batch.input_file_id)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(*CREATE, status=500, body=failure("sorry"), headers={"x-should-retry": "true"}),
        Fault(*CREATE, status=500, body=failure("sorry"), after=True),
        Fault(*CREATE, status=502, body=b"<html>\nBad gateway</html>"),
        Fault(*CREATE, status=503, body=b""),
        Fault(*CREATE, status=408, body=failure("timed out")),
        Fault(*CREATE, status=409, body=failure("conflict")),
        Fault(*CREATE),
        Fault(*CREATE, after=True),
        Fault(*CREATE, status=200, body=b"not json", after=True),
        Fault(*CREATE, status=200, body=b"words", headers={"content-type": "text/plain"}),
        Fault(*CREATE, status=200, body={}, after=True),
        Fault(*CREATE, status=200, body={"id": None, "status": "validating"}, after=True),
    ],
    ids=[
        "500", "500 after commit", "html", "503", "408", "409", "drop", "drop after commit",
        "no json", "text", "nothing in it", "no id",
    ],
)  # fmt: skip
async def test_an_unclear_answer_to_create_is_never_asked_for_twice(
    client: OpenAIClient, faults: Faults, input_file: Path, fault: Fault
) -> None:
    """A second POST would be a second paid batch."""
    fault.times = None
    faults.faults.append(fault)
    file = await client.upload(input_file, "in.jsonl")
    with pytest.raises(Uncertain):
        await client.create(file, ENDPOINT, "24h", {})
    assert faults.count(*CREATE) == 1


def test_a_page_of_a_gateway_is_told_by_its_title() -> None:
    """Not by its markup."""
    page = "<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n<body>"
    request = httpx2.Request("POST", BASE_URL)
    response = httpx2.Response(413, text=page, request=request)
    error = openai.APIStatusError(page, response=response, body=page)
    assert error_message(error) == "413 Request Entity Too Large"


async def test_a_batch_whose_answer_was_lost_is_in_the_list(
    client: OpenAIClient, faults: Faults, input_file: Path
) -> None:
    faults.faults.append(Fault(*CREATE, after=True))
    with pytest.raises(Uncertain, match="simulator/v1/ did not answer"):
        await submitted(client, input_file, "lost")
    assert [b.metadata["batchspec"] async for b in client.recent(0)] == ["lost"]


@pytest.mark.parametrize("status", [400, 401, 403, 413, 422])
async def test_a_refusal_says_that_nothing_was_done(
    client: OpenAIClient, faults: Faults, input_file: Path, status: int
) -> None:
    faults.faults.append(Fault(*CREATE, status=status, body=failure("No.", "some_code")))
    with pytest.raises(Refused, match=f"HTTP {status}: No.") as raised:
        await submitted(client, input_file)
    assert (raised.value.status, raised.value.code) == (status, "some_code")
    assert faults.count(*CREATE) == 1


async def test_an_html_page_is_cut_to_its_first_line(
    client: OpenAIClient, faults: Faults, input_file: Path
) -> None:
    faults.faults.append(Fault(*CREATE, status=413, body=b"<html>Too large\n<p>more</p>"))
    with pytest.raises(Refused) as raised:
        await submitted(client, input_file)
    assert str(raised.value) == "HTTP 413: <html>Too large"


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "7"}, 1.5),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        (
            {
                "retry-after": "Wed, 21 Oct 2026 07:28:00 GMT",
                "date": "Wed, 21 Oct 2026 07:27:30 GMT",
            },
            30.0,
        ),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "soon", "date": "Wed, 21 Oct 2026 07:27:30 GMT"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "0"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, 3600.0),
        ({"retry-after": "99999999"}, 3600.0),
        ({}, None),
    ],
)
async def test_a_full_account_says_when_to_come_back(
    client: OpenAIClient,
    faults: Faults,
    input_file: Path,
    headers: dict[str, str],
    wait: float | None,
) -> None:
    faults.faults.append(Fault(*CREATE, status=429, body=failure("Slow down."), headers=headers))
    with pytest.raises(Throttled) as raised:
        await submitted(client, input_file)
    assert raised.value.retry_after == wait
    assert faults.count(*CREATE) == 1


async def test_a_file_that_is_not_visible_yet_means_later(
    client: OpenAIClient, faults: Faults, input_file: Path
) -> None:
    words = "Cannot find file file-1, or organization org-1 does not have access to it."
    faults.faults.append(Fault(*CREATE, status=400, body=failure(words, "invalid_request")))
    with pytest.raises(Throttled, match="Cannot find file"):
        await submitted(client, input_file)


async def test_what_the_provider_does_not_know_is_not_found(client: OpenAIClient) -> None:
    with pytest.raises(NotFound):
        await client.retrieve(RemoteId("batch_none"))
    with pytest.raises(NotFound):
        await client.cancel(RemoteId("batch_none"))
    with pytest.raises(NotFound):
        _ = [chunk async for chunk in client.content(FileId("file-none"))]
    await client.delete_file(FileId("file-none"))


async def test_a_key_that_is_refused_while_listing_is_told(
    client: OpenAIClient, faults: Faults
) -> None:
    faults.faults.append(Fault(*LIST, status=401, body=failure("Incorrect API key provided.")))
    with pytest.raises(Refused, match="Incorrect API key"):
        _ = [batch async for batch in client.recent(0)]


async def test_a_broken_look_may_be_repeated(
    client: OpenAIClient, faults: Faults, input_file: Path
) -> None:
    """Unlike create: the SDK asks again by itself."""
    batch = await submitted(client, input_file)
    faults.faults.append(
        Fault(*BATCH, status=500, body={}, headers={"x-should-retry": "true", "retry-after": "0"})
    )
    assert (await client.retrieve(batch.id)).id == batch.id
    assert faults.count(*BATCH) == 2


async def test_a_download_that_breaks_off_is_an_error(
    client: OpenAIClient, faults: Faults, input_file: Path
) -> None:
    """Half a file must not look like a whole one."""
    file = await client.upload(input_file, "in.jsonl")
    inner = faults.app

    async def half(scope: object, receive: object, send: object) -> None:
        sent = 0

        async def some(message: dict[str, object]) -> None:
            nonlocal sent
            if message["type"] == "http.response.body" and message.get("body"):
                sent += 1
                await send({**message, "body": message["body"][:10], "more_body": True})  # type: ignore[operator,index]
                raise httpx2.ReadError("reset by peer")
            await send(message)  # type: ignore[operator]

        await inner(scope, receive, some)

    faults.app = half
    with pytest.raises(Uncertain, match="broke off"):
        _ = [chunk async for chunk in client.content(file)]


async def test_the_list_is_read_down_to_a_time_and_no_further(
    client: OpenAIClient, clock: SimulatedClock, input_file: Path
) -> None:
    for n in range(4):
        await submitted(client, input_file, str(n))
        clock.advance(100)
    found = [b.metadata["batchspec"] async for b in client.recent(clock.now() - 250)]
    assert found == ["3", "2"]


async def test_a_list_that_is_not_newest_first_is_read_on(
    client: OpenAIClient, clock: SimulatedClock, faults: Faults, input_file: Path
) -> None:
    for n in range(3):
        await submitted(client, input_file, str(n))
        clock.advance(100)

    def ascending(body: bytes) -> bytes:
        page = json.loads(body)
        return json.dumps({**page, "data": page["data"][::-1]}).encode()

    faults.faults.append(Fault(*LIST, rewrite=ascending))
    found = [b.metadata["batchspec"] async for b in client.recent(clock.now() - 250)]
    assert found == ["1", "2"]


def listing(*data: object) -> Fault:
    return Fault(*LIST, status=200, body={"object": "list", "data": list(data), "has_more": False})


async def test_many_older_batches_in_a_row_end_the_list(
    client: OpenAIClient, faults: Faults
) -> None:
    old = [{"id": f"old-{n}", "created_at": 5} for n in range(300)]
    new = {"id": "new", "created_at": 50}
    faults.faults.append(listing(*old[:199], new, *old[:199], {**new, "id": "near"}))
    faults.faults.append(listing(*old[:199], new, *old[:200], {**new, "id": "far"}))
    assert [b.id async for b in client.recent(10)] == ["new", "near"]
    assert [b.id async for b in client.recent(10)] == ["new"]


async def test_entries_of_a_list_that_cannot_be_read_are_skipped(
    client: OpenAIClient, faults: Faults
) -> None:
    """One without a time may be ours, and missing it would be paid twice."""
    faults.faults.append(
        listing(
            "words", 7, None, [], {}, {"id": None, "created_at": 50}, {"id": 7, "created_at": 50},
            {"id": "odd", "created_at": "yesterday", "metadata": ["a"]},
            {"id": "fine", "created_at": 50, "metadata": {"batchspec": "t", "n": 1}},
        )
    )  # fmt: skip
    found = {b.id: b.metadata async for b in client.recent(10)}
    assert found == {"odd": {}, "fine": {"batchspec": "t"}}


async def test_a_batch_can_be_cancelled_until_it_is_done(
    client: OpenAIClient, clock: SimulatedClock, input_file: Path
) -> None:
    first = await submitted(client, input_file)
    clock.advance(50)
    assert (await client.cancel(first.id)).status == "cancelling"
    second = await submitted(client, input_file)
    clock.advance(5000)
    with pytest.raises(Uncertain, match="HTTP 409"):
        await client.cancel(second.id)


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({"status": "paused"}, ("unknown", RequestCounts(1))),
        ({"status": None}, ("unknown", RequestCounts(1))),
        ({"request_counts": None}, ("in_progress", RequestCounts())),
        ({"errors": None, "metadata": None, "new": {"a": 1}}, ("in_progress", RequestCounts(1))),
        ({"output_file_id": "", "error_file_id": ""}, ("in_progress", RequestCounts(1))),
        ({"errors": {"object": "list", "data": None}}, ("in_progress", RequestCounts(1))),
        ({"status": ["a"]}, ("unknown", RequestCounts(1))),
        ({"errors": "boom", "metadata": "x"}, ("in_progress", RequestCounts(1))),
        ({"output_file_id": {"a": 1}, "error_file_id": 7}, ("in_progress", RequestCounts(1))),
        ({"output_file_id": "file\n\ud800"}, ("in_progress", RequestCounts(1))),
        ({"request_counts": [1]}, ("in_progress", RequestCounts())),
        ({"request_counts": {"total": "x", "completed": 1.5}}, ("in_progress", RequestCounts())),
        ({"request_counts": {"total": 2**70, "failed": -1}}, ("in_progress", RequestCounts())),
        ({"created_at": None}, ("in_progress", RequestCounts(1))),
    ],
)
async def test_odd_batches_are_read(
    submission: tuple[OpenAIClient, RemoteBatch],
    clock: SimulatedClock,
    faults: Faults,
    changes: dict[str, object],
    seen: tuple[str, RequestCounts],
) -> None:
    client, batch = submission
    clock.advance(25)
    faults.faults.append(Fault(*BATCH, rewrite=rewriting_json(**changes)))
    found = await client.retrieve(batch.id)
    assert (found.status, found.counts) == seen
    assert (found.output_file_id, found.error_file_id) == (None, None)


def test_errors_of_a_batch_keep_their_lines() -> None:
    """Absent parts are normal."""
    batch = Batch.model_construct(
        id="b", status="failed", created_at=1, request_counts=None, metadata=None,
        input_file_id="", output_file_id=None, error_file_id="",
        errors=Batch.model_construct(
            data=[
                Batch.model_construct(code="c", message="m", line=3, param="p"),
                Batch.model_construct(code=None, message=None, line=None, param=None),
            ]
        ),
    )  # fmt: skip
    first, second = remote_batch(batch).errors
    assert (first.code, first.message, first.line, first.param) == ("c", "m", 3, "p")
    assert (second.code, second.message, second.line) == ("unknown", "", None)


@pytest.mark.parametrize(
    ("errors", "read"),
    [
        ([{"code": 5, "message": {"a": 1}, "line": "second"}], ("5", "{'a': 1}", None)),
        ([{"code": "c", "message": "\ud800", "line": -1}], ("c", "?", None)),
        ([{"code": "c", "message": "key sk-live-ABCDEF", "line": 2}], ("c", "key sk-…", 2)),
        (["boom"], ("unknown", "boom", None)),
    ],
)
async def test_odd_errors_of_a_batch_are_read(
    submission: tuple[OpenAIClient, RemoteBatch],
    faults: Faults,
    errors: list[object],
    read: tuple[str, str, int | None],
) -> None:
    client, batch = submission
    faults.faults.append(
        Fault(*BATCH, rewrite=rewriting_json(status="failed", errors={"data": errors}))
    )
    (error,) = (await client.retrieve(batch.id)).errors
    assert (error.code, error.message, error.line) == read


@pytest.mark.parametrize("message", [{"a": 1}, ["No."], 7, None])
async def test_a_message_that_is_no_text_is_told(
    client: OpenAIClient, faults: Faults, input_file: Path, message: object
) -> None:
    body = {"error": {"message": message, "code": 7}}
    faults.faults.append(Fault(*CREATE, status=400, body=body))
    with pytest.raises(Refused, match=r"HTTP 400: .") as raised:
        await submitted(client, input_file)
    assert raised.value.code == "7"


async def test_an_empty_account_is_no_passing_fault(
    faults: Faults, client: OpenAIClient, input_file: Path
) -> None:
    """Waiting does not fill it."""
    body = failure("You exceeded your current quota.", "insufficient_quota")
    faults.faults.append(Fault(*CREATE, status=429, body=body))
    with pytest.raises(Refused, match="current quota"):
        await submitted(client, input_file)


@pytest.mark.parametrize("status", [401, 404, 429, 500])
async def test_a_key_the_provider_repeats_is_not_told(
    faults: Faults, input_file: Path, status: int
) -> None:
    """Messages reach the state, the journal and the terminal."""
    words = "Wrong: SECRETKEY (not sk-proj-abc123*****89, a task-based one)."
    client = OpenAIClient(api_key="SECRETKEY", base_url=BASE_URL, transport=AppTransport(faults))
    faults.faults.append(Fault(*CREATE, status=status, body=failure(words)))
    with pytest.raises(CallError) as raised:
        await submitted(client, input_file)
    assert str(raised.value) == f"HTTP {status}: Wrong: … (not sk-…, a task-based one)."
    page = b"x" * 290 + b"SECRETKEY"
    faults.faults.append(Fault(*CREATE, status=status, body=page))
    with pytest.raises(CallError) as raised:
        await submitted(client, input_file)
    assert str(raised.value).endswith("x…")
    await client.close()


async def test_a_base_url_is_told_without_its_secrets(input_file: Path) -> None:
    url = "http://user:S3CRETPW@127.0.0.1:9/v1?key=TOKEN9"
    client = OpenAIClient(api_key="SECRETKEY", base_url=url)
    with pytest.raises(Uncertain, match=r"^http://127\.0\.0\.1:9/v1") as raised:
        await client.create(FileId("file-1"), ENDPOINT, "24h", {})
    assert not any(secret in str(raised.value) for secret in ("S3CRETPW", "TOKEN9", "user"))
    await client.close()


async def test_a_host_that_cannot_be_reached_is_named(input_file: Path) -> None:
    """Nothing listens on the discard port of this machine."""
    client = OpenAIClient(api_key="k", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(Uncertain, match=r"127\.0\.0\.1:9.*ConnectError"):
        await client.create(FileId("file-1"), ENDPOINT, "24h", {})
    await client.close()


class _Server(uvicorn.Server):
    """Tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: object = None) -> None:
        await super().startup()
        self.listening.set()


async def test_the_same_over_a_socket(tmp_path: Path, input_file: Path) -> None:
    app = create_app(tmp_path / "server", pace=Pace().times(0))
    server = _Server(uvicorn.Config(app, port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    server.listening.wait()
    port = server.servers[0].sockets[0].getsockname()[1]
    client = OpenAIClient(api_key="k", base_url=f"http://127.0.0.1:{port}/v1")
    try:
        batch = await submitted(client, input_file)
        while batch.status != "completed":
            batch = await client.retrieve(batch.id)
        assert batch.output_file_id is not None
        content = b"".join([chunk async for chunk in client.content(batch.output_file_id)])
        assert json.loads(content)["custom_id"] == "c"
    finally:
        await client.close()
        server.should_exit = True
        thread.join()
