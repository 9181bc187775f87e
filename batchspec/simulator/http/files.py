"""The Files operations over HTTP."""

import os
import shutil
from pathlib import Path
from urllib.parse import quote

from anyio import to_thread
from pydantic_core import from_json
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from batchspec.simulator.http.reading import engine_of, parse_lifetime, parse_limit, parse_order
from batchspec.simulator.jobs.database import open_private
from batchspec.simulator.jobs.engine import Engine
from batchspec.simulator.jobs.records import FileRecord
from batchspec.simulator.jobs.results import RETENTION
from batchspec.simulator.wire import (
    HTTPFailure,
    invalid_value,
    mint_file_id,
    missing_parameter,
    page,
)

MAX_BYTES = 512_000_000
MAX_BATCH_BYTES = 200_000_000
"""Of an input file; the service says 200 MB."""
PURPOSES = ("fine-tune", "assistants", "batch", "user_data", "vision", "evals")
_SEALED = frozenset({"assistants", "user_data", "vision"})
"""Purposes whose files the service does not hand out again."""
_READ = 2**20
_ANCHORS = ("created_at",)


def routes() -> list[Route]:
    return [
        Route("/v1/files", _create, methods=["POST"]),
        Route("/v1/files", _list, methods=["GET"]),
        Route("/v1/files/{file_id}", _retrieve, methods=["GET"]),
        Route("/v1/files/{file_id}", _delete, methods=["DELETE"]),
        Route("/v1/files/{file_id}/content", _content, methods=["GET"]),
    ]


async def _create(request: Request) -> Response:
    engine = engine_of(request)
    # The form parser spools a file of any size to disk; the fields stay small.
    async with request.form(max_files=1, max_fields=16) as form:
        upload = form.get("file")
        if not isinstance(upload, UploadFile):
            raise missing_parameter("file")
        purpose = form.get("purpose")
        if not isinstance(purpose, str):
            raise missing_parameter("purpose")
        anchor, seconds = form.get("expires_after[anchor]"), form.get("expires_after[seconds]")
        lifetime = _lifetime(purpose, anchor, seconds)
        record = await to_thread.run_sync(_store, engine, upload, purpose, lifetime)
    return JSONResponse(record.to_wire())


def _lifetime(purpose: str, anchor: object, seconds: object) -> float | None:
    if purpose not in PURPOSES:
        raise invalid_value("purpose", purpose, PURPOSES)
    if anchor is None and seconds is None:
        return RETENTION if purpose == "batch" else None
    if anchor not in _ANCHORS:
        raise invalid_value("expires_after.anchor", anchor, _ANCHORS)
    return parse_lifetime("expires_after.seconds", seconds)


def _store(engine: Engine, upload: UploadFile, purpose: str, lifetime: float | None) -> FileRecord:
    name = upload.filename or "upload"
    most = MAX_BATCH_BYTES if purpose == "batch" else MAX_BYTES
    if (upload.size or 0) > most:
        raise HTTPFailure(400, "File is too large.")
    if purpose == "batch":
        _check_batch_input(upload, name)
    file_id, now = mint_file_id(), engine.clock()
    _save(upload, engine.database.path(file_id))
    record = FileRecord(
        id=file_id,
        bytes=upload.size or 0,
        created_at=now,
        filename=name,
        purpose=purpose,
        expires_at=None if lifetime is None else now + lifetime,
    )
    return engine.add_file(record)


def _save(upload: UploadFile, path: Path) -> None:
    with os.fdopen(open_private(path), "wb") as target:
        shutil.copyfileobj(upload.file, target, _READ)


def _check_batch_input(upload: UploadFile, name: str) -> None:
    if not name.endswith(".jsonl"):
        raise _refused("Invalid file format for Batch API. Must be .jsonl")
    if not upload.size:
        raise _refused("File is empty.")
    first = next((line for line in iter(upload.file.readline, b"") if line.strip()), b"")
    upload.file.seek(0)
    try:
        from_json(first)
    except ValueError as error:
        raise _refused("Invalid file format. The first line is not valid JSON.") from error


def _refused(message: str) -> HTTPFailure:
    return HTTPFailure(400, message, extra={"detail": {"message": message, "code": None}})


def _list(request: Request) -> Response:
    engine, query = engine_of(request), request.query_params
    limit = parse_limit(query.get("limit"), default=10_000, low=1, high=10_000)
    files = engine.database.list_files(
        engine.clock(),
        purpose=query.get("purpose"),
        after=query.get("after"),
        limit=limit + 1,
        order=parse_order(query.get("order")),
    )
    if files is None:
        raise _not_found(query["after"])
    data = [file.to_wire() for file in files[:limit]]
    return JSONResponse(page(data, has_more=len(files) > limit))


def _retrieve(request: Request) -> Response:
    return JSONResponse(_find(request).to_wire())


def _delete(request: Request) -> Response:
    file = _find(request)
    engine_of(request).database.delete_file(file.id)
    return JSONResponse({"id": file.id, "object": "file", "deleted": True})


def _content(request: Request) -> Response:
    file = _find(request)
    if file.purpose in _SEALED:
        message = f"Not allowed to download files of purpose: {file.purpose}"
        raise HTTPFailure(400, message)
    try:
        return _Content(engine_of(request).database.path(file.id), file)
    except FileNotFoundError as error:
        raise _not_found(file.id) from error


class _Content(Response):
    """A file's bytes, read in another thread; closed at once also when the reader is cancelled."""

    media_type = "application/octet-stream"

    def __init__(self, path: Path, file: FileRecord) -> None:
        super().__init__(
            headers={
                "content-length": str(file.bytes),
                "content-disposition": f"attachment; filename*=utf-8''{quote(file.filename)}",
            }
        )
        self._file = path.open("rb")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        _ = scope, receive
        with self._file as file:
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            while chunk := await to_thread.run_sync(file.read, _READ):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def _find(request: Request) -> FileRecord:
    engine, file_id = engine_of(request), request.path_params["file_id"]
    file = engine.database.file(file_id, engine.clock())
    if file is None:
        raise _not_found(file_id)
    if file.hidden_until > engine.clock():
        raise cannot_find(file_id)
    return file


def cannot_find(file_id: str) -> HTTPFailure:
    """What the service says of a file that it does not see yet."""
    message = f"Cannot find file {file_id}, or project proj_simulated does not have access to it."
    return HTTPFailure(400, message, param="file_id")


def _not_found(file_id: str) -> HTTPFailure:
    return HTTPFailure(404, f"No such File object: {file_id}", param="id")
