"""What the tests of faults share: raw calls, past everything the SDK would mend."""

from typing import Any

import httpx2

from .conftest import ENDPOINT, Simulation, jsonl

BASE = "http://simulator/v1"


async def raw(simulation: Simulation, method: str, path: str, **more: Any) -> httpx2.Response:
    """Return the answer as it came."""
    return await simulation.client._client.request(method, BASE + path, **more)


async def upload(simulation: Simulation, *lines: object, name: str = "in.jsonl") -> httpx2.Response:
    files = {"file": (name, jsonl(*lines))}
    return await raw(simulation, "POST", "/files", data={"purpose": "batch"}, files=files)


async def create(simulation: Simulation, file_id: str) -> httpx2.Response:
    body = {"input_file_id": file_id, "endpoint": ENDPOINT, "completion_window": "24h"}
    return await raw(simulation, "POST", "/batches", json=body)


async def look(simulation: Simulation, batch_id: str) -> dict[str, Any]:
    """Return a batch as it is on the wire."""
    return (await raw(simulation, "GET", f"/batches/{batch_id}")).json()
