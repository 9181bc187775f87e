"""Who may administer a server: its own machine, or whoever has the token; never a web page."""

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from batchspec.simulator.wire import HTTPFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a call of the administration must have.

    Attributes:
        token: To be sent as `Authorization: Bearer …`; nothing where everybody who reaches the
            server may administer it.
        hosts: The names under which the server is called; nothing where any will do. A web page
            that has made its own name point to this machine is caught by the name it calls.
    """

    token: str | None = None
    hosts: Collection[str] | None = None

    def check(self, headers: Headers) -> None:
        """Raise the answer of the service for a call that may not be made."""
        host = headers.get("host", "")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            message = f"Web pages of {origin} may not administer this server."
            raise HTTPFailure(403, message, code="foreign_origin")
        if self.hosts is not None and _name(host) not in self.hosts:
            message = f"This server does not go by the name '{_name(host)}'."
            raise HTTPFailure(403, message, code="foreign_host")
        if self.token is not None:
            self._check_token(headers.get("authorization", ""), self.token)

    def _check_token(self, authorization: str, token: str) -> None:
        kind, _, given = authorization.partition(" ")
        # Headers are decoded so that every byte is a character.
        matches = secrets.compare_digest(given.strip().encode("latin-1"), token.encode())
        if kind.lower() != "bearer" or not matches:
            message = (
                "This server listens beyond its own machine: send 'Authorization: Bearer TOKEN' "
                "with its admin token."
            )
            raise HTTPFailure(401, message, code="invalid_admin_token")


class Guard:
    """An ASGI application in front of another one that lets through whoever has access."""

    def __init__(self, app: ASGIApp, *, access: Access) -> None:
        self.app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._access.check(Headers(scope=scope))
        await self.app(scope, receive, send)


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
