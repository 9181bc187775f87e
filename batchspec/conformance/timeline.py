"""How the time of a server passes: as it does for everybody, or as we say."""

import os
import time
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

import httpx2

from batchspec.errors import ConfigurationError

HURRY = 100.0
"""How much faster than real time a clock runs when it may."""
_TOKEN_VARIABLE = "BATCHSPEC_SIMULATOR_ADMIN_TOKEN"  # noqa: S105  a name, no token


class Timeline(Protocol):
    """The time as a server sees it."""

    def sleep(self, seconds: float) -> None:
        """Return when that many seconds have passed for the server."""
        ...

    def running(self) -> AbstractContextManager[None]:
        """Let the time run by itself inside, as fast as the server allows."""
        ...


class RealTime:
    """The time of a server whose clock nobody can move."""

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def running(self) -> AbstractContextManager[None]:
        """Change nothing: it always runs."""
        return nullcontext()


class MovableTime:
    """The time of an embedded server in another process, moved by its admin endpoints."""

    def __init__(self, admin_url: str) -> None:
        """Take the URL of the admin endpoints, with `/admin`.

        Raises:
            ConfigurationError: Nothing there tells a time.
        """
        self._url = f"{admin_url.rstrip('/')}/clock"
        token = os.environ.get(_TOKEN_VARIABLE)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._http = httpx2.Client(headers=headers, timeout=60)
        try:
            self._speed = self._tell("GET")
        except ConfigurationError:
            self.close()
            raise

    def sleep(self, seconds: float) -> None:
        """Move the clock on."""
        self._tell("POST", advance=seconds)

    @contextmanager
    def running(self) -> Generator[None]:
        """Speed the clock up."""
        self._tell("POST", speed=HURRY)
        try:
            yield
        finally:
            self._tell("POST", speed=self._speed)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _tell(self, method: str, **move: float) -> float:
        """Read or move the clock; returns its speed."""
        try:
            response = self._http.request(method, self._url, json=move or None)
            response.raise_for_status()
            return float(response.json()["speed"])
        except (httpx2.HTTPError, ValueError, LookupError, TypeError) as error:
            raise ConfigurationError(
                f"--admin-url: {self._url} moves no clock ({error!r}). It is the /admin of "
                "`batchspec simulator serve`; leave it out for any other server."
            ) from error
