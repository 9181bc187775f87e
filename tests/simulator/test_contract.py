"""Objects on the wire against the provider's own published schemas, where a copy is at hand."""

from typing import Any

import pytest

from .conftest import Simulation, request_line
from .published import check, needs_reference

pytestmark = [pytest.mark.anyio, needs_reference]


async def test_every_object_is_as_published(simulation: Simulation) -> None:
    client = simulation.client
    file_id = await simulation.upload({})
    check("OpenAIFile", await get(simulation, f"/files/{file_id}"))
    batch = await simulation.submit(
        request_line("a"), request_line("b", bad=1), metadata={"batchspec": "t0"}
    )
    failed = await simulation.submit({})
    cancelled = await simulation.submit(request_line("a"))
    for seconds in (0, 30, 92, 1_000):
        simulation.clock.advance(seconds)
        if seconds == 30:
            await client.batches.cancel(cancelled.id)
        for one in (batch, failed, cancelled):
            check("Batch", await get(simulation, f"/batches/{one.id}"))
        check("ListBatchesResponse", await get(simulation, "/batches?limit=2"))
    check("ListFilesResponse", await get(simulation, "/files"))
    done = await client.batches.retrieve(batch.id)
    for file_id in (done.output_file_id, done.error_file_id):
        for line in await simulation.lines(file_id):
            check("BatchRequestOutput", line)
    deleted = await client.files.with_raw_response.delete(done.input_file_id)
    check("DeleteFileResponse", deleted.http_response.json())
    missing = await client._client.get("http://simulator/v1/batches/none")
    check("ErrorResponse", missing.json())


async def get(simulation: Simulation, path: str) -> Any:
    return (await simulation.client._client.get(f"http://simulator/v1{path}")).json()
