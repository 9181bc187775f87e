"""Runs the application as a server process."""

import socket
from collections.abc import Callable

from starlette.applications import Starlette


def serve(
    app: Starlette,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    on_listening: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until SIGTERM or SIGINT, and let open answers end first.

    Args:
        app: What `create_app` made.
        host: The address to listen on; the default is reached from this machine only.
        port: 0 for any free one.
        on_listening: Told the base URL for clients, once connections are accepted.
    """
    import uvicorn  # noqa: PLC0415  only those who serve need it

    from batchspec.simulator.connections import DroppingProtocol  # noqa: PLC0415  so does this

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                on_listening(_base_url(host, self.servers[0].sockets[0].getsockname()[1]))

    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=DroppingProtocol,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
    )
    Server(config).run()


def _base_url(host: str, port: int) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/v1"
