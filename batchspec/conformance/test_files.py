"""Files: upload, list, retrieve, content, delete."""

from collections.abc import Mapping

from batchspec.conformance.bodies import Json
from batchspec.conformance.checks import Check, check, each
from batchspec.conformance.scenarios import Finished, line
from batchspec.conformance.server import Server, encoded, missing, refused

_FILE = ("id", "object", "bytes", "created_at", "filename", "purpose")
_DAY = 86_400


def _content(server: Server) -> bytes:
    return encoded([line(server.target, "plain")])


def _upload(server: Server, **fields: str) -> Json:
    return server.upload(_content(server), **fields)


@check("files.upload.object", "must", "free", "spec: OpenAIFile")
def test_upload(server: Server) -> None:
    """The answer to an upload describes the file: id, size in bytes, name, purpose, time."""
    content = _content(server)
    file = server.upload(content, "named.jsonl")
    assert not missing(file, _FILE)
    assert (file["object"], file["purpose"]) == ("file", "batch")
    assert (file["bytes"], file["filename"]) == (len(content), "named.jsonl")
    assert type(file["created_at"]) is int


@check("files.upload.status", "cosmetic", "free", "spec: OpenAIFile")
def test_upload_status(server: Server) -> None:
    """The status of an upload is uploaded or processed; status_details is null."""
    file = _upload(server)
    assert file.get("status") in {"uploaded", "processed"}
    assert file.get("status_details", "absent") is None


@check("files.upload.expires", "should", "free", "guide: batch, file expiration")
def test_upload_expires(server: Server) -> None:
    """A batch file that is given no lifetime expires 30 days after its creation."""
    file = _upload(server)
    assert file.get("expires_at") == file["created_at"] + 30 * _DAY


@check("files.upload.expires-after", "should", "free", "spec: CreateFileRequest")
def test_upload_expires_after(server: Server) -> None:
    """A lifetime that is given is kept: the file expires so many seconds after its creation."""
    lifetime = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    file = _upload(server, **lifetime)
    assert file.get("expires_at") == file["created_at"] + 3600


_REFUSED: Mapping[Check, tuple[bytes | None, str, dict[str, str]]] = {
    Check(f"files.upload.{name}", "should", "free", source, reason): (content, file, fields)
    for name, source, reason, content, file, fields in (
        ("wrong-extension", "observed", "A batch file must be called .jsonl, else 400.",
         None, "lines.txt", {}),
        ("empty", "observed", "An empty batch file is answered with 400.", b"", "in.jsonl", {}),
        ("first-line-not-json", "observed", "A file whose first line is no JSON gets a 400.",
         b"custom_id,url\n", "in.jsonl", {}),
        ("no-purpose", "spec: CreateFileRequest", "An upload without a purpose gets a 400.",
         None, "in.jsonl", {"purpose": ""}),
        ("unknown-purpose", "spec: CreateFileRequest", "An unknown purpose gets a 400.",
         None, "in.jsonl", {"purpose": "conformance"}),
        ("expires-too-soon", "spec: FileExpirationAfter", "A lifetime below an hour gets a 400.",
         None, "in.jsonl",
         {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3599"}),
    )
}  # fmt: skip


@each("content, name, fields", _REFUSED)
def test_upload_refused(
    server: Server, content: bytes | None, name: str, fields: dict[str, str]
) -> None:
    sent = _content(server) if content is None else content
    refused(server.send(sent, name, **fields), 400)


@check("files.upload.bad-line-accepted", "should", "free", "observed")
def test_bad_lines_are_accepted(server: Server) -> None:
    """Lines after the first are not judged at upload: that is for the batch's validation."""
    server.upload(encoded([line(server.target, "good"), b"{", {}]))


@check("files.retrieve", "must", "free", "spec: retrieveFile")
def test_retrieve(server: Server) -> None:
    """A file is retrieved as it was told at upload."""
    file = _upload(server)
    found = server.get(f"/files/{file['id']}")
    assert {key: found.get(key) for key in _FILE} == {key: file[key] for key in _FILE}


@check("files.content.bytes", "must", "free", "spec: downloadFile")
def test_content(server: Server) -> None:
    """A file's content comes back byte for byte: separators, escapes, no newline at its end."""
    content = '{"custom_id":"é\u2028\\u0000 😀"}\r\n\n{"custom_id":"2"}'.encode()
    file = server.upload(content)
    assert server.content(file["id"]) == content


@check("files.list.shape", "should", "free", "spec: ListFilesResponse")
def test_list_shape(server: Server) -> None:
    """A list of files has object, data, first_id, last_id and has_more."""
    _upload(server)
    page = server.get("/files", purpose="batch", limit=1)
    assert not missing(page, ("object", "data", "first_id", "last_id", "has_more"))
    assert page["object"] == "list"
    assert page["first_id"] == page["last_id"] == page["data"][0]["id"]


@check("files.list.order", "should", "free", "spec: listFiles")
def test_list_order(server: Server) -> None:
    """Files are listed newest first, or oldest first with order=asc."""
    made: list[str] = []
    for _ in range(2):
        made.append(_upload(server)["id"])
        server.timeline.sleep(1.1)  # times are whole seconds
    newest = [file["id"] for file in server.get("/files", purpose="batch", limit=10)["data"]]
    assert [id_ for id_ in newest if id_ in made] == made[::-1]
    oldest = server.get("/files", purpose="batch", order="asc", limit=100)["data"]
    times = [file["created_at"] for file in oldest]
    assert times == sorted(times)


@check("files.list.cursor", "should", "free", "spec: listFiles")
def test_list_cursor(server: Server) -> None:
    """`after` continues a list behind a file, with nothing twice and nothing left out."""
    for _ in range(3):
        _upload(server)
    whole = [file["id"] for file in server.get("/files", purpose="batch", limit=3)["data"]]
    first = server.get("/files", purpose="batch", limit=1)
    rest = server.get("/files", purpose="batch", limit=2, after=first["data"][0]["id"])
    assert first["has_more"] is True
    assert [file["id"] for file in first["data"] + rest["data"]] == whole


@check("files.list.purpose", "should", "free", "spec: listFiles")
def test_list_purpose(server: Server) -> None:
    """A list can be narrowed to a purpose."""
    file = _upload(server)
    batch = {entry["id"] for entry in server.get("/files", purpose="batch")["data"]}
    other = {entry["id"] for entry in server.get("/files", purpose="batch_output")["data"]}
    assert file["id"] in batch
    assert file["id"] not in other


@check("files.delete", "must", "free", "spec: DeleteFileResponse")
def test_delete(server: Server) -> None:
    """A file can be deleted: the answer says so, and the file is gone."""
    file_id = _upload(server)["id"]
    answer = server.request("DELETE", f"/files/{file_id}").json()
    assert answer == {"id": file_id, "object": "file", "deleted": True}
    refused(server.request("GET", f"/files/{file_id}"), 404)
    refused(server.request("GET", f"/files/{file_id}/content"), 404)


@check("files.output.object", "should", "paid", "spec: OpenAIFile")
def test_output_file(server: Server, clean: Finished) -> None:
    """An output file can be retrieved; its purpose is batch_output, its size that of its bytes."""
    file_id = clean.batch["output_file_id"]
    file = server.get(f"/files/{file_id}")
    assert file["purpose"] == "batch_output"
    assert file["bytes"] == len(server.content(file_id))


@check("files.output.stable", "must", "paid", "guide: batch, retrieving results")
def test_output_is_stable(server: Server, clean: Finished) -> None:
    """An output file has the same bytes whenever it is downloaded."""
    file_id = clean.batch["output_file_id"]
    assert server.content(file_id) == server.content(file_id)
