"""Faults of the way to the server, on real sockets of a server process."""

import gzip
import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from .conftest import ENDPOINT, jsonl, request_line
from .test_server import Started, serve  # noqa: F401  a fixture

CONTENT = jsonl(*(request_line(str(number)) for number in range(2_000)))
Server = Callable[..., Started]


@pytest.fixture
def faulty(serve: Callable[..., Started], tmp_path: Path) -> Server:  # noqa: F811
    """Starts a server process with some faults, or again with the same ones."""

    def begin(*faults: dict[str, Any]) -> Started:
        path = tmp_path / "mine.json"
        if faults:
            path.write_text(json.dumps({"faults": faults}))
        return serve("--scenario", str(path), "--pace", "0")

    return begin


def ask(client: openai.OpenAI, request: bytes) -> bytes:
    """Send bytes over a connection of their own and read until it ends."""
    url = client.base_url
    with socket.create_connection((url.host, url.port), timeout=20) as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65_536):
            answer += part
    return answer


def uploaded(client: openai.OpenAI) -> str:
    return client.files.create(file=("in.jsonl", CONTENT), purpose="batch").id


def create(client: openai.OpenAI, file: str) -> Any:
    return client.batches.create(
        input_file_id=file,
        endpoint=ENDPOINT,
        completion_window="24h",  # type: ignore[arg-type]
    )


def test_01_a_connection_is_reset_before_its_request_is_read(faulty: Server) -> None:
    _, client = faulty({"fault": "connection_reset", "on": "files.create", "times": 1})
    # The body is announced and never sent, so that nobody can have read it.
    head = b"POST /v1/files HTTP/1.1\r\nhost: simulator\r\ncontent-length: 1000\r\n\r\n"
    with pytest.raises(ConnectionResetError):
        ask(client, head)
    assert client.files.list().data == []


def test_02_a_connection_is_reset_after_the_commit(faulty: Server) -> None:
    _, client = faulty({"fault": "reset_after_commit"})
    with pytest.raises(openai.APIConnectionError):
        uploaded(client)
    (file,) = client.files.list().data
    with pytest.raises(openai.APIConnectionError):
        create(client, file.id)
    (batch,) = client.batches.list().data
    with pytest.raises(openai.APIConnectionError):
        client.batches.cancel(batch.id)


@pytest.mark.parametrize("committed", [False, True])
def test_03_a_server_says_nothing(faulty: Server, *, committed: bool) -> None:
    _, client = faulty({"fault": "read_timeout", "on": "batches.create", "committed": committed})
    file = uploaded(client)
    with pytest.raises(openai.APITimeoutError):
        create(client.with_options(timeout=0.3), file)
    batches = client.batches.list().data
    assert len(batches) == committed
    for batch in batches:
        # Nobody waits for an answer, and yet the batch goes on.
        while client.batches.retrieve(batch.id).status != "completed":
            pass


@pytest.mark.parametrize("ending", ["close", "reset"])
def test_07_a_download_ends_in_the_middle(faulty: Server, ending: str) -> None:
    _, client = faulty({"fault": "truncated_download", "share": 0.5, "ending": ending})
    file = uploaded(client)
    read: list[bytes] = []

    def download() -> None:
        with client.files.with_streaming_response.content(file) as response:
            assert response.headers["content-length"] == str(len(CONTENT))
            read.extend(response.iter_bytes())

    with pytest.raises(httpx2.TransportError):
        download()
    assert CONTENT.startswith(b"".join(read))
    if ending == "close":
        # A reset may overtake what was sent before it.
        assert len(b"".join(read)) == len(CONTENT) // 2


def test_07_a_download_is_compressed(faulty: Server) -> None:
    _, client = faulty({"fault": "gzip_download"})
    file = uploaded(client)
    request = f"GET /v1/files/{file}/content HTTP/1.0\r\nauthorization: Bearer x\r\n\r\n".encode()
    head, _, body = ask(client, request).partition(b"\r\n\r\n")
    assert b"content-encoding: gzip" in head
    assert gzip.decompress(body) == CONTENT
    assert client.files.content(file).content == CONTENT


@pytest.mark.parametrize(("off_by", "fails"), [(10, True), (-10, False)])
def test_07_a_length_is_wrong(faulty: Server, off_by: int, *, fails: bool) -> None:
    _, client = faulty({"fault": "wrong_content_length", "off_by": off_by})
    file = uploaded(client)
    request = f"GET /v1/files/{file}/content HTTP/1.0\r\nauthorization: Bearer x\r\n\r\n".encode()
    head, _, body = ask(client, request).partition(b"\r\n\r\n")
    assert f"content-length: {len(CONTENT) + off_by}".encode() in head
    assert body == CONTENT[: len(CONTENT) + min(0, off_by)]
    if fails:
        with pytest.raises(openai.APIConnectionError):
            client.files.content(file)
    else:
        assert client.files.content(file).content == CONTENT[:off_by]


@pytest.mark.parametrize("committed", [False, True])
def test_51_a_server_is_killed_and_started_again(faulty: Server, *, committed: bool) -> None:
    process, client = faulty(
        {"fault": "server_killed", "on": "batches.create", "nth": 2, "committed": committed}
    )
    file = uploaded(client)
    first = create(client, file)
    with pytest.raises(openai.APIConnectionError):
        create(client, file)
    assert process.wait(20) == -signal.SIGKILL

    _, client = faulty()
    batches = client.batches.list().data
    assert len(batches) == 1 + committed
    # The counter goes on: the second create was drawn already.
    create(client, file)
    while client.batches.retrieve(first.id).status != "completed":
        pass


def test_a_scenario_that_is_none_is_told() -> None:
    from click.testing import CliRunner  # noqa: PLC0415

    from batchspec.cli.simulator import simulator  # noqa: PLC0415

    result = CliRunner().invoke(simulator, ["serve", "--scenario", "flaky"])
    assert result.exit_code == 2
    assert "Did you mean 'flaky-network'?" in result.output
