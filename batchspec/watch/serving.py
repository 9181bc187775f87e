"""Serving HTTP beside the watcher's work, in a thread with an event loop of its own."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from batchspec.errors import ConfigurationError

if TYPE_CHECKING:
    from starlette.applications import Starlette


@contextmanager
def serving(app: "Starlette", host: str, port: int) -> Generator[str]:
    """Serve until the block ends; gives the base URL.

    Args:
        app: What is served.
        host: To listen on.
        port: 0 for any free one.

    Raises:
        ConfigurationError: It is not possible to listen there.
    """
    import uvicorn  # noqa: PLC0415 - only those who serve need it

    from batchspec.simulator.server import listen  # noqa: PLC0415

    try:
        listener = listen(host, port)
    except OSError as error:
        raise ConfigurationError(
            f"It is not possible to listen on {host}, port {port}: {error.strerror}."
        ) from error
    config = uvicorn.Config(
        app, ws="none", log_level="error", access_log=False, server_header=False
    )
    server = uvicorn.Server(config)
    with listener:
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}, name="watch-http", daemon=True
        )
        thread.start()
        name = f"[{host}]" if ":" in host else host
        try:
            yield f"http://{name}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
