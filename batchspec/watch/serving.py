"""Serving HTTP beside the watcher's work, in a thread with an event loop of its own."""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchspec.errors import ConfigurationError

if TYPE_CHECKING:
    from starlette.applications import Starlette

_LONGEST = 5.0
"""Seconds the thread has to end; the process ends without it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may take.

    Attributes:
        connections: How many may be open; one more, and the one that has waited longest is closed.
        seconds: How long a request may take, from its first byte to the last one of its answer.
        stopping: Seconds that open requests have once the server is told to stop.
    """

    connections: int = 64
    seconds: float = 10.0
    stopping: float = 1.0


ORDINARY = Limits()


@contextmanager
def serving(
    app: "Starlette",
    host: str,
    port: int,
    warn: Callable[[str], None],
    limits: Limits = ORDINARY,
) -> Generator[str]:
    """Serve until the block ends; gives the base URL.

    Args:
        app: What is served.
        host: To listen on.
        port: 0 for any free one.
        warn: Is told what hinders it; in another thread.
        limits: What clients may take.

    Raises:
        ConfigurationError: It is not possible to listen there.
    """
    from batchspec.simulator.server import listen  # noqa: PLC0415 - only those who serve need it
    from batchspec.watch.connections import Server, config  # noqa: PLC0415 - so it is here

    try:
        listener = listen(host, port)
    except OSError as error:
        raise ConfigurationError(
            f"It is not possible to listen on {host}, port {port}: {error.strerror}."
        ) from error
    server = Server(config(app, limits), limits, warn)
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
            thread.join(_LONGEST)
