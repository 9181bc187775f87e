"""HTTP beside the watcher: clients that are slow, many, or deaf keep nothing from its work."""

import resource
import signal
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from batchspec.watch.endpoints import app
from batchspec.watch.serving import ORDINARY, Limits, serving
from tests.watch.rig import Watcher, free_port, project

LONGEST = 20
LARGE = 64 << 20
SHORT = Limits(seconds=0.3, stopping=0.1)
HEAD = b"GET /livez HTTP/1.1\r\nHost: x\r\n"
WEBHOOK = b"POST /webhooks/openai HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc"
SECRET = "whsec_c2VjcmV0c2VjcmV0"


class Served:
    """A server in this process, and what it said."""

    def __init__(self, url: str, heard: list[str]) -> None:
        self.url, self.heard = url, heard

    def client(self, sent: bytes) -> socket.socket:
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        client = socket.create_connection((host, int(port)), timeout=LONGEST)
        client.sendall(sent)
        return client

    def lives(self) -> bool:
        with urlopen(f"{self.url}/livez", timeout=LONGEST) as answer:
            return bool(answer.status == 200)


@contextmanager
def served(limits: Limits, application: Starlette | None = None) -> Generator[Served]:
    heard: list[str] = []
    ordinary = app(
        live=lambda: (),
        ready=lambda: (),
        metrics=None,
        secrets={"openai": SECRET},
        look_at=heard.append,
        heard=lambda _provider, result: heard.append(result),
    )
    with serving(application or ordinary, "127.0.0.1", 0, heard.append, limits) as url:
        yield Served(url, heard)


def everything(client: socket.socket) -> bytes:
    """Return what comes until the other side closes, or resets as it did not read everything."""
    found = b""
    with client, suppress(ConnectionResetError):
        while chunk := client.recv(1 << 16):
            found += chunk
    return found


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="says nothing"),
        pytest.param(HEAD, id="half a head"),
        pytest.param(WEBHOOK, id="half a body"),
    ],
)
def test_a_request_that_does_not_come_is_not_waited_for(sent: bytes) -> None:
    with served(SHORT) as server:
        assert everything(server.client(sent)).startswith(b"HTTP/1.1 408 ")
        assert server.lives()
        # It was no webhook, so its signature was not wrong.
        assert server.heard == []


def test_nor_is_the_one_after_it() -> None:
    with served(SHORT) as server:
        found = everything(server.client(HEAD + b"\r\n" + HEAD))
        assert found.startswith(b"HTTP/1.1 200 ")
        assert b"HTTP/1.1 408 " in found


def test_an_answer_that_is_not_read_is_not_kept() -> None:
    async def much(_request: object) -> Response:
        return Response(bytes(LARGE))

    with served(SHORT, Starlette(routes=[Route("/", much)])) as server:
        client = server.client(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        # One more that is not waited for: by then the first one's time is over, too.
        assert everything(server.client(b""))
        assert len(everything(client)) < LARGE


def test_of_many_clients_the_one_that_has_waited_longest_goes() -> None:
    with served(Limits(connections=8)) as server:
        clients = [server.client(HEAD) for _ in range(50)]
        assert server.lives()
        assert not any(b"200 OK" in everything(one) for one in clients[:40])
        clients[-1].sendall(b"Connection: close\r\n\r\n")
        assert everything(clients[-1]).startswith(b"HTTP/1.1 200 ")
        for one in clients:
            one.close()


def test_many_at_once_that_are_not_slow_are_all_answered() -> None:
    with served(ORDINARY) as server:
        clients = [server.client(HEAD + b"Connection: close\r\n\r\n") for _ in range(300)]
        answers = [everything(one) for one in clients]
    assert all(one.startswith(b"HTTP/1.1 200 ") for one in answers)


@pytest.mark.parametrize("sent", [b"", HEAD, WEBHOOK])
def test_the_end_waits_for_no_client(sent: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with served(Limits(stopping=0.1)) as server:
        client = server.client(sent)
        assert server.lives()
    everything(client)
    assert "watch-http" not in [thread.name for thread in threading.enumerate()]
    assert capfd.readouterr().err == ""


@pytest.fixture
def root(tmp_path: Path) -> Generator[Path]:
    project(tmp_path)
    yield tmp_path
    for watcher in Watcher.started:
        watcher.kill()


def test_a_watcher_without_file_descriptors_goes_on_once_there_are_some(root: Path) -> None:
    port = free_port()
    watcher = Watcher(root, "--listen", str(port), OPENAI_WEBHOOK_SECRET=SECRET)
    watcher.condition("Consented", "False")
    engines = watcher.engines()
    with _few_files(watcher.pid) as more:
        with socket.create_connection(("127.0.0.1", port), timeout=LONGEST):
            assert "Too many open files" in watcher.warning("A connection could not be taken")
        (root / "shared.py").write_text('PROMPT = "shout {id}"\n')
        said = watcher.condition("Running", "False")
        assert "No engine can be started: Too many open files." in said["message"]
        assert watcher.engines() == engines
        more()
        # What was planned anew is that of an engine that began after it.
        watcher.condition("Consented", "False")
    assert watcher.engines() != engines
    status, checks = watcher.told(port, "/livez", lambda found: "engine" in found)
    assert status == 200, checks
    # A client that says half of something keeps it from ending no more.
    with socket.create_connection(("127.0.0.1", port), timeout=LONGEST) as client:
        client.sendall(WEBHOOK)
        watcher.told(port, "/livez", bool)
        watcher.signal(signal.SIGTERM)
        code, complaints = watcher.end()
    assert code == 128 + signal.SIGTERM
    assert "Traceback" not in complaints


@contextmanager
def _few_files(pid: int) -> Generator[Callable[[], object]]:
    """Let a process open no further file until it is told otherwise."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))
    yield lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
