import os
import stat
from pathlib import Path

import openai
import pytest

from batchspec.simulator.http import files as http_files

from .conftest import START, Simulation, jsonl, request_line

pytestmark = pytest.mark.anyio
KEYS = {
    "id", "object", "bytes", "created_at", "filename", "purpose", "status", "expires_at",
    "status_details",
}  # fmt: skip


async def test_a_file_lives_as_the_service_says(simulation: Simulation) -> None:
    client, content = simulation.client, jsonl(request_line("a"))
    raw = await client.files.with_raw_response.create(
        file=("in.jsonl", content),
        purpose="batch",
    )
    file = raw.parse()
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.http_response.json().keys() == KEYS
    assert file.id.startswith("file-")
    assert len(file.id) == len("file-") + 22
    assert (file.bytes, file.filename, file.purpose) == (len(content), "in.jsonl", "batch")
    assert (file.created_at, file.expires_at) == (int(START), int(START) + 2_592_000)
    assert (file.status, file.status_details) == ("processed", None)
    assert await client.files.retrieve(file.id) == file
    assert (await client.files.content(file.id)).content == content
    deleted = await client.files.delete(file.id)
    assert (deleted.id, deleted.deleted, deleted.object) == (file.id, True, "file")
    for call in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError) as refused:
            await call(file.id)
        assert refused.value.body == {
            "message": f"No such File object: {file.id}",
            "type": "invalid_request_error",
            "param": "id",
            "code": None,
        }


async def test_a_file_expires_when_asked_to(simulation: Simulation) -> None:
    file = await simulation.client.files.create(
        file=("in.jsonl", jsonl(request_line("a"))),
        purpose="batch",
        expires_after={"anchor": "created_at", "seconds": 3_600},
    )
    assert file.expires_at == file.created_at + 3_600
    simulation.clock.advance(3_600)
    with pytest.raises(openai.NotFoundError):
        await simulation.client.files.content(file.id)
    assert not simulation.engine.database.path(file.id).exists()


async def test_other_purposes_live_on(simulation: Simulation) -> None:
    file = await simulation.client.files.create(file=("a.pdf", b"%PDF"), purpose="user_data")
    assert file.expires_at is None


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.txt", b"{}", "Invalid file format for Batch API. Must be .jsonl"),
        ("in.jsonl", b"", "File is empty."),
        ("in.jsonl", b"no json\n{}", "Invalid file format. The first line is not valid JSON."),
    ],
)
async def test_an_upload_is_refused(
    simulation: Simulation, name: str, content: bytes, message: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await simulation.client.files.create(file=(name, content), purpose="batch")
    assert refused.value.response.json() == {
        "error": {
            "message": message,
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        },
        "detail": {"message": message, "code": None},
    }


async def test_a_file_is_too_large(simulation: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_files, "MAX_BATCH_BYTES", 10)
    with pytest.raises(openai.BadRequestError) as refused:
        await simulation.upload(request_line("a"))
    assert refused.value.response.json() == {
        "error": {
            "message": "File is too large.",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        }
    }
    assert not (await simulation.client.files.list()).data


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"purpose": "batch"}, "missing_required_parameter", "file"),
        ({"purpose": "poem", "file": ...}, "invalid_value", "purpose"),
        ({"file": ...}, "missing_required_parameter", "purpose"),
        (
            {"purpose": "batch", "expires_after[anchor]": "now", "file": ...},
            "invalid_value",
            "expires_after.anchor",
        ),
        (
            {
                "purpose": "batch",
                "expires_after[anchor]": "created_at",
                "expires_after[seconds]": "60",
                "file": ...,
            },
            "integer_below_min_value",
            "expires_after.seconds",
        ),
    ],
)
async def test_a_form_is_refused(
    simulation: Simulation, fields: dict[str, object], code: str, param: str
) -> None:
    data = {name: value for name, value in fields.items() if name != "file"}
    file = ("in.jsonl", b"{}") if "file" in fields else ("", b"")
    files = {"file" if "file" in fields else "other": file}
    answer = await simulation.client._client.post(
        "http://simulator/v1/files", data=data, files=files
    )
    assert answer.status_code == 400
    assert (answer.json()["error"]["code"], answer.json()["error"]["param"]) == (code, param)


async def test_files_are_listed_page_by_page(simulation: Simulation) -> None:
    client = simulation.client
    ids = [await simulation.upload(request_line(str(n))) for n in range(5)]
    other = await client.files.create(file=("a.txt", b"x"), purpose="user_data")
    assert [file.id async for file in client.files.list(limit=2)] == [other.id, *reversed(ids)]
    assert [file.id async for file in client.files.list(limit=2, order="asc")] == [*ids, other.id]
    page = await client.files.list(purpose="batch", limit=2, after=ids[2])
    assert [file.id for file in page.data] == [ids[1], ids[0]]
    assert page.has_more is False
    with pytest.raises(openai.NotFoundError):
        await client.files.list(after="file-unknown")
    for limit in (0, 10_001):
        with pytest.raises(openai.BadRequestError):
            await client.files.list(limit=limit)


async def test_only_the_owner_can_read(simulation: Simulation, tmp_path: Path) -> None:
    await simulation.finish(request_line("a"))
    root = tmp_path / "simulator"
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*")}
    assert stat.S_IMODE(os.stat(root).st_mode) == 0o700  # noqa: PTH116  as the shell sees it
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}


async def test_a_file_gone_from_the_directory_is_not_found(simulation: Simulation) -> None:
    file_id = await simulation.upload(request_line("a"))
    simulation.engine.database.path(file_id).unlink()
    with pytest.raises(openai.NotFoundError):
        await simulation.client.files.content(file_id)


async def test_some_files_are_not_handed_out_again(simulation: Simulation) -> None:
    for purpose in ("assistants", "user_data", "vision"):
        file = await simulation.client.files.create(file=("a.txt", b"abc"), purpose=purpose)
        with pytest.raises(openai.BadRequestError, match=f"of purpose: {purpose}"):
            await simulation.client.files.content(file.id)
