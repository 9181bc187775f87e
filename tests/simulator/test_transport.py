from collections.abc import AsyncIterator, Callable

import anyio
import anyio.lowlevel
import httpx2
import pytest
from anyio.lowlevel import checkpoint
from starlette.types import Message, Receive, Scope, Send

from batchspec.simulator import AppTransport

from .conftest import Simulation, jsonl, request_line

pytestmark = pytest.mark.anyio


class Recorder:
    """An application that answers in three parts and notes what it has done."""

    def __init__(self, *, fails: bool = False) -> None:
        self.events: list[str] = []
        self.fails = fails

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._answer(receive, send)
        except OSError:
            self.events.append("gone")
            raise
        finally:
            with anyio.CancelScope(shield=True):
                await checkpoint()
            self.events.append("over")

    async def _answer(self, receive: Receive, send: Send) -> None:
        message: Message = {"more_body": True}
        while message["more_body"]:
            message = await receive()
            if message["body"]:
                self.events.append(f"got {message['body'].decode()}")
        assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
        if self.fails:
            raise RuntimeError("broken")
        for part in (b"one", b"two", b""):
            await checkpoint()
            self.events.append(f"send {part.decode()}")
            await send({"type": "http.response.body", "body": part, "more_body": bool(part)})


def client_of(app: Callable[..., object]) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=AppTransport(app), base_url="http://app")  # type: ignore[arg-type]


async def test_the_answer_s_body_comes_as_it_is_sent() -> None:
    app = Recorder()
    async with client_of(app) as client, client.stream("GET", "/") as response:
        assert response.headers["a"] == "b"
        assert app.events == []
        parts = response.aiter_raw()
        assert await anext(parts) == b"one"
        assert app.events == ["send one"]
        assert [part async for part in parts] == [b"two"]
    assert app.events == ["send one", "send two", "send ", "over"]


async def test_the_request_s_body_goes_as_it_is_read() -> None:
    app = Recorder()

    async def content() -> AsyncIterator[bytes]:
        for part in ("a", "b"):
            app.events.append(f"give {part}")
            yield part.encode()

    async with client_of(app) as client:
        response = await client.post("/", content=content())
    assert response.content == b"onetwo"
    assert app.events[:4] == ["give a", "got a", "give b", "got b"]


async def test_the_application_hears_that_the_reader_is_gone() -> None:
    app = Recorder()
    async with client_of(app) as client, client.stream("GET", "/") as response:
        assert await anext(response.aiter_raw()) == b"one"
    assert app.events == ["send one", "gone", "over"]


async def test_what_the_application_raises_is_heard() -> None:
    async with client_of(Recorder(fails=True)) as client:
        with pytest.raises(RuntimeError, match="broken"):
            await client.get("/")

    async def silent(*_: object) -> None:
        pass

    async with client_of(silent) as client:
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.get("/")


async def test_a_cancelled_reader_ends_the_application() -> None:
    app = Recorder()
    with anyio.move_on_after(5) as scope:
        async with client_of(app) as client, client.stream("GET", "/") as response:
            async for _ in response.aiter_raw():
                scope.cancel()
    assert app.events[-1] == "over"


async def test_downloads_can_be_left_and_interleaved(simulation: Simulation) -> None:
    content = jsonl(*(request_line(str(n), "word " * 400) for n in range(2_000)))
    client = simulation.client.files
    file = await client.create(file=("in.jsonl", content), purpose="batch")
    async with client.with_streaming_response.content(file.id) as left:
        async for part in left.iter_bytes():
            assert content.startswith(part)
            break
    received = [b"", b""]

    async def download(index: int) -> None:
        async with client.with_streaming_response.content(file.id) as response:
            async for part in response.iter_bytes():
                received[index] += part

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(download, 0)
        tasks.start_soon(download, 1)
    assert received == [content, content]
