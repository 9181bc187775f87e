import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from openai.types import Batch
from starlette.applications import Starlette
from upstream import UpstreamProcess

from batchspec.simulator import (
    Answer,
    AppTransport,
    Pace,
    Question,
    Replay,
    SimulatedClock,
    create_app,
)
from batchspec.simulator.jobs.engine import Engine

ENDPOINT = "/v1/chat/completions"
KEY = {"authorization": "Bearer simulated"}
"""For calls that are made below the SDK."""
START = 1_790_000_000.0
PACE = Pace(validating=20, in_progress=100, finalizing=5, cancelling=60)


def request_line(
    custom_id: str, text: str = "How are you, Marianne?", **body: Any
) -> dict[str, Any]:
    content = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": text}], **body}
    return {"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": content}


def response_line(
    custom_id: str, asked: object = "How are you, Marianne?", **body: Any
) -> dict[str, Any]:
    content = {"model": "gpt-5-mini", "input": asked, **body}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/responses", "body": content}


def jsonl(*lines: object) -> bytes:
    return b"\n".join(
        line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines
    )


@dataclass
class Simulation:
    """A simulator whose time the test moves, and a client that speaks to it."""

    app: Starlette
    client: openai.AsyncOpenAI
    clock: SimulatedClock

    @property
    def engine(self) -> Engine:
        engine: Engine = self.app.state.engine
        return engine

    async def upload(self, *lines: object) -> str:
        file = await self.client.files.create(file=("in.jsonl", jsonl(*lines)), purpose="batch")
        return file.id

    async def submit(self, *lines: object, **more: Any) -> Batch:
        return await self.create(await self.upload(*lines), **more)

    async def create(self, file_id: str, endpoint: Any = ENDPOINT, **more: Any) -> Batch:
        return await self.client.batches.create(
            input_file_id=file_id, endpoint=endpoint, completion_window="24h", **more
        )

    async def after(self, seconds: float, batch: Batch) -> Batch:
        self.clock.advance(seconds)
        return await self.client.batches.retrieve(batch.id)

    async def finish(self, *lines: object, **more: Any) -> Batch:
        return await self.after(1_000, await self.submit(*lines, **more))

    async def answers(self, *lines: dict[str, Any]) -> dict[str, Any]:
        """What came of each line, by its custom_id; the endpoint is that of the first."""
        batch = await self.finish(*lines, endpoint=lines[0]["url"])
        found = [*await self.lines(batch.output_file_id), *await self.lines(batch.error_file_id)]
        return {line["custom_id"]: line["response"]["body"] for line in found}

    async def lines(self, file_id: str | None) -> list[dict[str, Any]]:
        if not file_id:
            return []
        content = (await self.client.files.content(file_id)).content
        return [json.loads(line) for line in content.split(b"\n") if line]


class Scripted:
    """Says the same to everybody."""

    def __init__(self, answer: Answer | Replay) -> None:
        self.asked: list[Question] = []
        self._answer = answer

    def answer(self, question: Question) -> Answer | Replay:
        self.asked.append(question)
        return self._answer


@pytest.fixture(scope="session")
def live_endpoint() -> Iterator[UpstreamProcess]:
    process = UpstreamProcess()
    process.start()
    yield process
    process.kill()


@pytest.fixture
def server(live_endpoint: UpstreamProcess) -> UpstreamProcess:
    """A live endpoint in another process, without rules; a test that kills it starts it again."""
    live_endpoint.reset()
    return live_endpoint


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(START, speed=0)


@pytest.fixture
def make_app(tmp_path: Path, clock: SimulatedClock) -> Iterator[Callable[..., Starlette]]:
    """Makes applications over one directory, as restarts of one server would."""
    made: list[Starlette] = []

    def make(**options: Any) -> Starlette:
        if made:
            made[-1].state.engine.close()
        settings = {"clock": clock, "pace": PACE, "background": False, **options}
        made.append(create_app(tmp_path / "simulator", **settings))
        return made[-1]

    yield make
    if made:
        made[-1].state.engine.close()


@pytest.fixture
async def start(
    make_app: Callable[..., Starlette], clock: SimulatedClock, anyio_backend: str
) -> AsyncIterator[Callable[..., Simulation]]:
    clients: list[openai.AsyncOpenAI] = []

    def begin(**options: Any) -> Simulation:
        app = make_app(**options)
        http = httpx2.AsyncClient(transport=AppTransport(app), headers=KEY)
        client = openai.AsyncOpenAI(
            base_url="http://simulator/v1", api_key="simulated", http_client=http, max_retries=0
        )
        clients.append(client)
        return Simulation(app, client, clock)

    yield begin
    for client in clients:
        await client.close()


@pytest.fixture
def simulation(start: Callable[..., Simulation]) -> Simulation:
    return start()
