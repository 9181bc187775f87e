"""The official SDK drives every operation over a real socket, synchronously and asynchronously."""

import inspect
import json
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import anyio
import openai
import pytest
from openai.types import (
    Batch,
    CreateEmbeddingResponse,
    FileDeleted,
    FileObject,
    Model,
)
from openai.types.chat import ChatCompletion
from openai.types.responses import Response, ResponseItem
from pydantic import BaseModel
from starlette.applications import Starlette

from batchspec.simulator import create_app, serving

from .conftest import jsonl, request_line
from .strictly import conforms

Client = Any
"""A synchronous or an asynchronous one: their calls are spelled alike."""
Scenario = Callable[[Client], Generator[Any, Any, None]]
Item = TypeVar("Item")
CHAT = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Count to four"}]}


class Listed(BaseModel, Generic[Item]):
    """A list answer, with the keys of the service."""

    object: Literal["list"]
    data: list[Item]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Models(BaseModel):
    object: Literal["list"]
    data: list[Model]


class Weather(BaseModel):
    city: str
    degrees: int


def told(raw: Any, expected: Any) -> Any:
    """What a call answered, after its JSON was held against a model."""
    conforms(expected, raw.http_response.json())
    assert raw.headers["x-request-id"].startswith("req_")
    return raw.parse()


def files(client: Client) -> Generator[Any, Any, None]:
    calls = client.files.with_raw_response
    names = []
    for number in range(3):
        content = (f"in{number}.jsonl", jsonl(request_line("a")))
        expiry = {"anchor": "created_at", "seconds": 3_600}
        file = told(
            (yield calls.create(file=content, purpose="batch", expires_after=expiry)), FileObject
        )
        assert file.expires_at - file.created_at == 3_600
        names.append(file.id)
    assert told((yield calls.retrieve(names[0])), FileObject).filename == "in0.jsonl"
    page = told((yield calls.list(purpose="batch", limit=2, order="asc")), Listed[FileObject])
    assert ([file.id for file in page.data], page.has_more) == (names[:2], True)
    page = told((yield calls.list(after=page.data[-1].id, order="asc")), Listed[FileObject])
    assert [file.id for file in page.data] == names[2:]
    content = yield client.files.content(names[0])
    assert content.content == jsonl(request_line("a"))
    assert told((yield calls.delete(names[0])), FileDeleted).deleted
    for refused in (calls.retrieve, client.files.content, calls.delete):
        with pytest.raises(openai.NotFoundError):
            yield refused(names[0])
    with pytest.raises(openai.BadRequestError, match=r"\.jsonl"):
        yield calls.create(file=("a.txt", b"{}"), purpose="batch")


def batches(client: Client) -> Generator[Any, Any, None]:
    calls = client.batches.with_raw_response
    content = ("in.jsonl", jsonl(request_line("a"), request_line("b", bad=1)))
    file = yield client.files.create(file=content, purpose="batch")
    wanted = {"input_file_id": file.id, "endpoint": CHAT_PATH, "completion_window": "24h"}
    first = told((yield calls.create(**wanted, metadata={"a": "b"})), Batch)
    second = told((yield calls.create(**wanted)), Batch)
    page = told((yield calls.list(limit=1)), Listed[Batch])
    assert ([batch.id for batch in page.data], page.has_more) == ([second.id], True)
    rest = told((yield calls.list(limit=1, after=second.id)), Listed[Batch])
    assert [batch.id for batch in rest.data] == [first.id]
    batch = first
    while batch.status != "completed":
        batch = told((yield calls.retrieve(first.id)), Batch)
    assert batch.metadata == {"a": "b"}
    for file_id, status in ((batch.output_file_id, 200), (batch.error_file_id, 400)):
        output = yield client.files.content(file_id)
        (line,) = map(json.loads, output.content.splitlines())
        assert line["response"]["status_code"] == status
        found = yield client.files.retrieve(file_id)
        assert found.purpose == "batch_output"
    with pytest.raises(openai.ConflictError, match="status 'completed'"):
        yield calls.cancel(first.id)
    with pytest.raises(openai.NotFoundError):
        yield calls.retrieve("batch_none")


CHAT_PATH = "/v1/chat/completions"


def cancelling(client: Client) -> Generator[Any, Any, None]:
    content = ("in.jsonl", jsonl(*(request_line(str(n)) for n in range(4_000))))
    file = yield client.files.create(file=content, purpose="batch")
    batch = yield client.batches.create(
        input_file_id=file.id, endpoint=CHAT_PATH, completion_window="24h"
    )
    calls = client.batches.with_raw_response
    cancelled = told((yield calls.cancel(batch.id)), Batch)
    assert cancelled.status in {"cancelling", "cancelled"}
    while cancelled.status != "cancelled":
        cancelled = told((yield calls.retrieve(batch.id)), Batch)
    assert told((yield calls.cancel(batch.id)), Batch) == cancelled


def completions(client: Client) -> Generator[Any, Any, None]:
    whole = told((yield client.chat.completions.with_raw_response.create(**CHAT)), ChatCompletion)
    stream = yield client.chat.completions.create(**CHAT, stream=True)
    chunks = yield from everything(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.choices[0].message.content
    parsed = yield client.chat.completions.parse(**CHAT, response_format=Weather)
    assert isinstance(parsed.choices[0].message.parsed, Weather)
    with pytest.raises(openai.BadRequestError):
        yield client.chat.completions.create(**CHAT, temperature=3)


def responses(client: Client) -> Generator[Any, Any, None]:
    calls, asked = client.responses.with_raw_response, {"model": "gpt-5-mini", "input": "Why?"}
    first = told((yield calls.create(**asked)), Response)
    assert told((yield calls.retrieve(first.id)), Response) == first
    second = told((yield calls.create(**asked, previous_response_id=first.id)), Response)
    page = (yield client.responses.input_items.with_raw_response.list(second.id)).http_response
    conforms(Listed[ResponseItem], page.json())
    events = yield from everything((yield client.responses.create(**asked, stream=True)))
    assert [events[0].type, events[-1].type] == ["response.created", "response.completed"]
    parsed = yield client.responses.parse(**asked, text_format=Weather)
    assert isinstance(parsed.output_parsed, Weather)
    yield client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        yield calls.retrieve(first.id)


def embeddings(client: Client) -> Generator[Any, Any, None]:
    asked = {"model": "text-embedding-3-small", "input": ["a", "b"], "dimensions": 8}
    calls = client.embeddings.with_raw_response
    told((yield calls.create(**asked, encoding_format="float")), CreateEmbeddingResponse)
    answer = yield client.embeddings.create(**asked)
    assert [len(data.embedding) for data in answer.data] == [8, 8]


def models(client: Client) -> Generator[Any, Any, None]:
    listed = told((yield client.models.with_raw_response.list()), Models)
    assert {"gpt-5-mini", "text-embedding-3-small"} <= {model.id for model in listed.data}
    told((yield client.models.with_raw_response.retrieve("gpt-5-mini")), Model)


def everything(stream: Any) -> Generator[Any, Any, list[Any]]:
    """What a stream brings, of either kind."""
    if hasattr(stream, "__aiter__"):

        async def collected() -> list[Any]:
            return [event async for event in stream]

        found: list[Any] = yield collected()
        return found
    return list(stream)


@pytest.fixture
def app(tmp_path: Path) -> Starlette:
    return create_app(tmp_path / "simulator")


@pytest.fixture
def base_url(app: Starlette) -> Iterator[str]:
    with serving(app) as url:
        yield url


SCENARIOS = [files, batches, cancelling, completions, responses, embeddings, models]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_synchronously(base_url: str, scenario: Scenario) -> None:
    with openai.OpenAI(base_url=base_url, api_key="simulated", max_retries=0) as client:
        calls = scenario(client)
        answer = None
        while True:
            try:
                answer = calls.send(answer)
            except StopIteration:
                return


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_asynchronously(base_url: str, scenario: Scenario) -> None:
    anyio.run(_drive, base_url, scenario)


async def _drive(base_url: str, scenario: Scenario) -> None:
    async with openai.AsyncOpenAI(base_url=base_url, api_key="x", max_retries=0) as client:
        calls = scenario(client)
        call = next(calls)
        while True:
            try:
                try:
                    answer = await call if inspect.isawaitable(call) else call
                except openai.APIError as error:
                    call = calls.throw(error)
                else:
                    call = calls.send(answer)
            except StopIteration:
                return
