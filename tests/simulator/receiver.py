"""A server that webhooks are sent to, in threads of its own."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any

import openai

PATIENCE = 60
"""Real seconds after which something that should come does not come any more."""


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    def unwrap(self, secret: str) -> Any:
        """Return the event, if the official SDK finds it genuine."""
        client = openai.OpenAI(api_key="none", webhook_secret=secret)
        return client.webhooks.unwrap(self.body, self.headers)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


class Receiver:
    """Notes what it gets, and answers with the given statuses, then 200.

    While `closed` is set, a request is noted and its answer held back.
    """

    def __init__(self, statuses: Iterable[int] = ()) -> None:
        self.statuses = list(statuses)
        self.received: Queue[Received] = Queue()
        self.open = threading.Event()
        self.open.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.port = self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def get(self) -> Received:
        return self.received.get(timeout=PATIENCE)

    def close(self) -> None:
        self.open.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(receiver: "Receiver") -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status = receiver.statuses.pop(0) if receiver.statuses else 200
                receiver.received.put(Received(self.path, headers, body))
                receiver.open.wait(PATIENCE)
                self.send_response(status)
                self.send_header("location", receiver.url + "/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        return Handler
