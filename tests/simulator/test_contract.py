"""Objects on the wire against the provider's own published schemas, where a copy is at hand."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from .conftest import Simulation, request_line

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not REFERENCE.is_dir(), reason="no copy of the published schemas here"),
]


def without_nulls(value: Any) -> Any:
    """The service sends keys as null that its description calls absent."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def check(name: str, value: Any) -> None:
    document = yaml.safe_load((REFERENCE / "openai_files_batches.yaml").read_text())
    lines = yaml.safe_load((REFERENCE / "openai_batch_lines_schema.yaml").read_text())
    document["components"]["schemas"] |= lines
    schema = {**document, "$ref": f"#/components/schemas/{name}"}
    jsonschema.Draft202012Validator(schema).validate(value)


async def test_every_object_is_as_published(simulation: Simulation) -> None:
    client = simulation.client
    file_id = await simulation.upload({})
    check("OpenAIFile", without_nulls(await get(simulation, f"/files/{file_id}")))
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
            check("Batch", without_nulls(await get(simulation, f"/batches/{one.id}")))
        check("ListBatchesResponse", without_nulls(await get(simulation, "/batches?limit=2")))
    check("ListFilesResponse", without_nulls(await get(simulation, "/files")))
    done = await client.batches.retrieve(batch.id)
    for file_id in (done.output_file_id, done.error_file_id):
        for line in await simulation.lines(file_id):
            check("BatchRequestOutput", without_nulls(line))
    deleted = await client.files.with_raw_response.delete(done.input_file_id)
    check("DeleteFileResponse", deleted.http_response.json())
    missing = await client._client.get("http://simulator/v1/batches/none")
    check("ErrorResponse", missing.json())


async def get(simulation: Simulation, path: str) -> Any:
    return (await simulation.client._client.get(f"http://simulator/v1{path}")).json()
