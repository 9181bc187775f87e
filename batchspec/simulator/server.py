"""Runs the application as a server process."""

import logging
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette

from batchspec.simulator.addresses import is_loopback
from batchspec.simulator.http.access import Access

if TYPE_CHECKING:
    import uvicorn

_log = logging.getLogger(__name__)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket for `serve`.

    Args:
        host: The address or the name to listen on.
        port: 0 for any free one.

    Raises:
        OSError: The port is taken, or there is no such address here.
    """
    family, *_, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    return socket.create_server(address[:2], family=family, backlog=2_048)


def serve(  # noqa: PLR0913  one keyword per way in which servers differ
    app: Starlette,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    listener: socket.socket | None = None,
    on_listening: Callable[[str], None] = lambda _: None,
    on_exposed: Callable[[str], None] = _log.warning,
) -> None:
    """Serve until SIGTERM or SIGINT, and let open answers end first.

    Args:
        app: What `create_app` made.
        host: The address to listen on; the default is reached from this machine only.
        port: 0 for any free one.
        listener: What `listen` made, where the caller had to know beforehand that it can be had.
        on_listening: Told the base URL for clients, once connections are accepted.
        on_exposed: Told in a sentence, before that, who can do what where others reach the server.

    Raises:
        OSError: It cannot listen there.
        ValueError: Others would reach it, and its administration asks them for no token.
    """
    with listener or listen(host, port) as taken:
        if not is_loopback(taken.getsockname()[0]):
            _check_token(app, host)
            on_exposed(
                f"listening on {host}: everyone who reaches this machine can read and run batches. "
                "Only /admin and webhook endpoints need the admin token."
            )
        _server(app, host, on_listening).run(sockets=[taken])


def _check_token(app: Starlette, host: str) -> None:
    if getattr(app.state, "access", Access()).token is None:
        raise ValueError(
            f"On {host} others could administer this server, and nobody is asked for a token: give "
            "create_app an access=Access(token=...), or listen on 127.0.0.1."
        )


@contextmanager
def serving(app: Starlette) -> Generator[str]:
    """Serve on a free port of this machine, in a thread of this process, until the block ends.

    Gives the base URL for clients.
    """
    urls: list[str] = []
    listening = threading.Event()

    def tell(url: str) -> None:
        urls.append(url)
        listening.set()

    def run() -> None:
        try:
            with listen("127.0.0.1", 0) as taken:
                server.run(sockets=[taken])
        finally:
            listening.set()

    server = _server(app, "127.0.0.1", tell)
    thread = threading.Thread(target=run, name="simulator-server")
    thread.start()
    listening.wait()
    if not urls:
        raise OSError("The embedded server could not be started; its log says why.")
    try:
        yield urls[0]
    finally:
        server.should_exit = True
        thread.join()


def _server(app: Starlette, host: str, on_listening: Callable[[str], None]) -> "uvicorn.Server":
    import uvicorn  # noqa: PLC0415  only those who serve need it

    from batchspec.simulator.connections import DroppingProtocol  # noqa: PLC0415  so does this

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                on_listening(_base_url(host, self.servers[0].sockets[0].getsockname()[1]))

    # What clients send wrong is their business: it is answered, and not logged.
    logging.getLogger("python_multipart").addHandler(logging.NullHandler())
    config = uvicorn.Config(
        app,
        http=DroppingProtocol,
        ws="none",
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
    )
    return Server(config)


def _base_url(host: str, port: int) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/v1"
