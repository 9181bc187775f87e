"""A pass-through in front of the server that knows which request is which, and can spring traps."""

import hashlib
import http.client
import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Kind = Literal["upload", "create", "cancel", "poll", "list", "download", "delete", "other"]
When = Literal["before", "after", "inside"]
_KINDS: dict[tuple[str, ...], Kind] = {
    ("POST", "files"): "upload",
    ("POST", "batches"): "create",
    ("POST", "batches", "*", "cancel"): "cancel",
    ("GET", "batches"): "list",
    ("GET", "batches", "*"): "poll",
    ("GET", "files", "*", "content"): "download",
    ("DELETE", "files", "*"): "delete",
}
_HOP = {"connection", "transfer-encoding", "content-length", "host", "keep-alive"}


@dataclass
class Trap:
    """Springs at the nth request of a kind; the client gets no (further) answer to it.

    `before` it is passed on, `after` it was answered, or `inside`: half of the answer is delivered.
    """

    kind: Kind
    when: When
    nth: int = 1
    action: Callable[[], None] = lambda: None
    only_if: Callable[[dict[str, Any]], bool] | None = None
    """Looks at the answer's JSON, for `after`."""
    sprung: threading.Event = field(default_factory=threading.Event)


@dataclass
class Proxy:
    """What passed, and how to reach the server behind.

    Attributes:
        upstream: The server's port; it may move.
        counts: Requests by kind.
        uploads: From a file's id to the digests of the bodies of its lines, by custom_id.
    """

    upstream: int
    counts: Counter[str] = field(default_factory=Counter)
    uploads: dict[str, dict[str, str]] = field(default_factory=dict)
    trap: Trap | None = None
    _open: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def wait_until_idle(self) -> None:
        """Wait for requests that a dead client left behind."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._open == 0, timeout=30)

    def enter(self, change: int) -> None:
        with self._changed:
            self._open += change
            self._changed.notify_all()

    def due(self, kind: Kind, when: When, body: bytes = b"") -> Trap | None:
        """Return the trap if it springs here; it springs once."""
        with self._changed:
            trap = self.trap
            if trap is None or trap.kind != kind or trap.when != when:
                return None
            if trap.only_if is not None and not trap.only_if(json.loads(body)):
                return None
            trap.nth -= 1
            if trap.nth:
                return None
            self.trap = None
            return trap

    def passed(self, kind: Kind) -> None:
        with self._changed:
            self.counts[kind] += 1


def kind_of(method: str, path: str) -> Kind:
    """Tell what a request is for."""
    parts = path.partition("?")[0].strip("/").split("/")[1:]
    parts = ["*" if "_" in part or "-" in part else part for part in parts]
    return _KINDS.get((method, *parts), "other")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True  # the client was killed

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        del format, args

    def _pass(self) -> None:
        self.proxy.enter(+1)
        try:
            self._exchange()
        except ConnectionError:
            self.close_connection = True
        finally:
            self.proxy.enter(-1)

    do_GET = do_POST = do_DELETE = _pass  # noqa: N815 - the base's names

    def _exchange(self) -> None:
        proxy, kind = self.proxy, kind_of(self.command, self.path)
        body = self._body()
        if self._sprung(proxy.due(kind, "before")):
            return
        status, headers, answer = self._forward(body)
        proxy.passed(kind)
        if kind == "upload" and status == 200:
            proxy.uploads[json.loads(answer)["id"]] = lines_of(body)
        if self._sprung(proxy.due(kind, "after", answer)):
            return
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        inside = proxy.due(kind, "inside")
        self.wfile.write(answer[: len(answer) // 2] if inside else answer)
        self._sprung(inside)

    def _sprung(self, trap: Trap | None) -> bool:
        if trap is None:
            return False
        self.close_connection = True
        trap.action()
        trap.sprung.set()
        return True

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks: list[bytes] = []
        while size := int(self.rfile.readline().strip() or b"0", 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.upstream, timeout=30)
        try:
            headers = {n: v for n, v in self.headers.items() if n.lower() not in _HOP}
            connection.request(self.command, self.path, body or None, headers)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        except http.client.HTTPException as error:
            raise ConnectionResetError("the server died") from error
        finally:
            connection.close()


def lines_of(form: bytes) -> dict[str, str]:
    """Return the digest of each line's body, by custom_id, of an uploaded form."""
    found: dict[str, str] = {}
    for line in form.split(b"\n"):
        if line.startswith(b'{"custom_id"'):
            request = json.loads(line)
            text = json.dumps(request["body"], sort_keys=True)
            assert request["custom_id"] not in found, "one file has a line twice"
            found[request["custom_id"]] = hashlib.sha256(text.encode()).hexdigest()
    return found
