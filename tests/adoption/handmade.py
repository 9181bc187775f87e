"""Batches somebody makes by hand: with the plain SDK, without a word to the project."""

import json
from collections.abc import Callable
from typing import Any

import anyio
import httpx2
import openai
from worlds import BASE_URL, World

from batchspec.simulator import AppTransport

ENDPOINT = "/v1/chat/completions"


def line(custom_id: str, text: str, **body: Any) -> dict[str, Any]:
    """Return what a person would write to ask what the job of `World.job` asks."""
    said = [{"content": text, "role": "user"}]
    asked = {"messages": said, "model": "gpt-5-mini", **body}
    return {"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": asked}


def sdk(world: World, work: Callable[[openai.AsyncOpenAI], Any]) -> Any:
    """Do something with the plain SDK and the server of a world."""

    async def run() -> Any:
        transport = httpx2.AsyncClient(transport=AppTransport(world.app))
        async with openai.AsyncOpenAI(
            api_key="other", base_url=BASE_URL, http_client=transport
        ) as client:
            return await work(client)

    return anyio.run(run)


def by_hand(
    world: World,
    *lines: dict[str, Any] | bytes,
    metadata: dict[str, str] | None = None,
    endpoint: str = ENDPOINT,
) -> str:
    """Upload an input file and create a batch of it; returns its id."""

    async def make(client: openai.AsyncOpenAI) -> str:
        data = b"\n".join(x if isinstance(x, bytes) else json.dumps(x).encode() for x in lines)
        file = await client.files.create(file=("mine.jsonl", data), purpose="batch")
        batch = await client.batches.create(
            input_file_id=file.id,
            endpoint=endpoint,  # type: ignore[arg-type]
            completion_window="24h",
            metadata=metadata,
        )
        return batch.id

    made: str = sdk(world, make)
    return made


def delete_input(world: World, batch: str) -> None:
    """Delete the input file of a batch at the provider."""

    async def delete(client: openai.AsyncOpenAI) -> None:
        found = await client.batches.retrieve(batch)
        await client.files.delete(found.input_file_id)

    sdk(world, delete)


def files(world: World) -> set[str]:
    """Return the ids of the files at the provider."""

    async def names(client: openai.AsyncOpenAI) -> set[str]:
        return {file.id async for file in client.files.list()}

    found: set[str] = sdk(world, names)
    return found
