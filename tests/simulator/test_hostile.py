"""Whatever comes over a bare socket gets an answer of the service, or a closed connection."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE = 120
"""Real seconds after which a server counts as hanging."""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Serves in a process of its own, which must not have complained about anything at the end."""
    directory = tmp_path_factory.mktemp("hostile")
    options = ["--port", "0", "--json", "--directory", str(directory)]
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "batchspec.cli", "simulator", "serve", *options],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    yield int(told["base_url"].rsplit(":", 1)[1].split("/")[0])
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=PATIENCE)
    assert said[1] == "Stopped. Nothing that was recorded is lost.\n", said[1]


def send(port: int, *parts: bytes, hang_up: bool = False) -> bytes:
    """Send bytes as they are, and return all that comes back until the server hangs up."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        received = b""
        # A server that has heard enough may hang up, and what it said may be lost with that.
        with suppress(BrokenPipeError, ConnectionResetError):
            for part in parts:
                connection.sendall(part)
        with suppress(OSError):
            if hang_up:
                connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            while chunk := connection.recv(2**16):
                received += chunk
        return received


def post(path: str, body: bytes, kind: str | None = "application/json", length: int = -1) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "host: 127.0.0.1",
        "authorization: Bearer any",
        f"content-length: {len(body) if length < 0 else length}",
        "connection: close",
        *([] if kind is None else [f"content-type: {kind}"]),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def answer(received: bytes) -> tuple[int, dict[str, Any]]:
    """Return status and error envelope, which must have all its keys and a request id."""
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"\r\nx-request-id: req_" in head, received[:500]
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return int(head.split()[1]), error


def is_alive(port: int) -> bool:
    head = b"GET /admin/clock HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
    return send(port, head).startswith(b"HTTP/1.1 200 ")


JSON_PATHS = [
    "/v1/batches",
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/webhook_endpoints",
    "/admin/clock",
    "/admin/batches/batch_x",
]
each_path = pytest.mark.parametrize("path", JSON_PATHS)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\x01\x02\xff\xfe",
        b"\r\n\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /v1/files HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"GET /v1/files HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /v1/files HTTP/1.1\r\nhost: \xff\xfe\r\nna\x00me: x\r\n\r\n",
        b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 200_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\n" + b"x: y\r\n" * 50_000 + b"\r\n",
        b"POST /v1/batches HTTP/1.1\r\nhost: a\r\ncontent-length: -5\r\n\r\n",
        b"POST /v1/batches HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
        b"POST /v1/batches HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n{}",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
    ],
    ids=lambda sent: repr(sent[:70]),
)
def test_what_is_no_http_is_turned_away(port: int, sent: bytes) -> None:
    received = send(port, sent, hang_up=True)
    assert received == b"" or received.startswith((b"HTTP/1.1 4", b"HTTP/1.1 501 ")), received
    assert is_alive(port)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /nowhere", 404),
        (b"GET /v1/files/%00%ff%2e%2e%2f", 404),
        (b"GET /v1/batches/..%2f..%2fsimulator.db", 404),
        (b"GET /v1/batches?after=%ff&limit=%00", 400),
        (b"GET /v1/files?limit=" + b"9" * 5_000, 400),
        (b"DELETE /v1/batches", 405),
        (b"PATCH /v1/files", 405),
        (b"BREW /v1/chat/completions", 405),
        (b"OPTIONS *", 404),
        (b"GET http://example.com/v1/nowhere", 404),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_operation_gets_an_envelope(port: int, line: bytes, status: int) -> None:
    head = b" HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer any\r\nconnection: close\r\n\r\n"
    assert answer(send(port, line + head))[0] == status


def test_an_upgrade_is_not_made(port: int) -> None:
    sent = (
        b"GET /v1/files HTTP/1.1\r\nhost: a\r\nauthorization: Bearer any\r\n"
        b"connection: upgrade, close\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
        b"sec-websocket-key: AAAA\r\n\r\n"
    )
    assert send(port, sent).startswith(b"HTTP/1.1 200 ")


@each_path
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"\xff\xfe\x00",
        b'{"model": "\xff"}',
        b'\xef\xbb\xbf{"model": 1}',
        b'{"model": NaN}',
        b'{"model": "\\ud800"}',
        b'{"model": 1} {"model": 2}',
        b'{"model": ' + b"9" * 10_000 + b"}",
        b'{"model": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a": ' * 100_000 + b"1" + b"}" * 100_000,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_no_json_object_is_a_400(port: int, path: str, body: bytes) -> None:
    status, error = answer(send(port, post(path, body)))
    assert (status, error["type"]) == (400, "invalid_request_error")


@each_path
@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "\xff/json", "json"],
)
def test_another_content_type_is_a_415(port: int, path: str, kind: str) -> None:
    status, error = answer(send(port, post(path, b'{"model": "m"}', kind)))
    assert (status, error["code"]) == (415, "unsupported_content_type")


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON", None])
def test_json_may_be_named_in_any_way(port: int, kind: str | None) -> None:
    status, error = answer(send(port, post("/v1/chat/completions", b"{}", kind)))
    assert (status, error["param"]) == (400, "model")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b"--x\r\n"),
        ("multipart/form-data; boundary=x", b"no boundary at all"),
        ("multipart/form-data; boundary=x", b"--x\r\n\xff\xff\r\n\r\n--x--"),
        ("multipart/form-data; boundary=" + "x" * 5_000, b"--x"),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\ncontent-disposition: form-data\r\n\r\na\r\n--x--",
        ),
    ],
    ids=str,
)
def test_what_is_no_upload_is_a_400(port: int, kind: str, body: bytes) -> None:
    assert answer(send(port, post("/v1/files", body, kind)))[0] in {400, 415}


@each_path
def test_a_body_of_300_megabytes_is_a_413(port: int, path: str) -> None:
    size, chunk = 300_000_000, b" " * 2**20
    rest = size
    parts = [post(path, b"", length=size)]
    while rest:
        parts.append(chunk[: min(rest, len(chunk))])
        rest -= len(parts[-1])
    status, error = answer(send(port, *parts))
    assert (status, error["type"]) == (413, "invalid_request_error")
    assert is_alive(port)


@pytest.mark.parametrize("path", ["/v1/batches", "/v1/files", "/admin/clock"])
def test_a_client_that_hangs_up_hears_nothing(port: int, path: str) -> None:
    received = send(port, post(path, b'{"half', length=1_000), hang_up=True)
    assert b"Traceback" not in received
    chunked = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer any\r\n"
        "transfer-encoding: chunked\r\ncontent-type: application/json\r\n\r\n"
    ).encode()
    for rest in (b'5\r\n{"a":', b"zz\r\n{}\r\n0\r\n\r\n", b"ffffffffffffffffffffff\r\n{}"):
        received = send(port, chunked + rest, hang_up=True)
        assert b"Traceback" not in received
    assert is_alive(port)


def test_requests_in_one_go_are_answered_in_order(port: int) -> None:
    one = b"GET /v1/%d HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer any\r\n\r\n"
    last = one.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    received = send(port, *[one % number for number in range(49)], last % 49)
    assert received.count(b"HTTP/1.1 404 ") == 50
