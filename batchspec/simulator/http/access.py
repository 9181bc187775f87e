"""Who may administer a server: its own machine, or whoever has the token; never a web page."""

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from batchspec.simulator.addresses import is_loopback
from batchspec.simulator.wire import HTTPFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a call of the administration must have.

    Attributes:
        token: To be sent as `Authorization: Bearer …`; nothing where everybody who reaches the
            server may administer it.
        hosts: The names under which the server is called. By default any, but for who needs no
            token and comes over this machine's own loopback: he must call it by a loopback name.
            A web page that has made its own name point here is caught by the name it calls.
    """

    token: str | None = None
    hosts: Collection[str] | None = None

    def check(self, scope: Scope) -> None:
        """Raise the answer of the service for a call that may not be made."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            message = f"Web pages of {origin} may not administer this server."
            raise HTTPFailure(403, message, code="foreign_origin")
        if not self._goes_by(_name(host), scope):
            message = f"This server does not go by the name '{_name(host)}'."
            raise HTTPFailure(403, message, code="foreign_host")
        if self.token is not None:
            self._check_token(headers.get("authorization", ""), self.token)

    def _goes_by(self, name: str, scope: Scope) -> bool:
        if self.hosts is not None:
            return name in self.hosts
        address, _ = scope.get("server") or ("", None)
        return self.token is not None or not is_loopback(address) or is_loopback(name)

    def _check_token(self, authorization: str, token: str) -> None:
        kind, _, given = authorization.partition(" ")
        # Headers are decoded so that every byte is a character.
        matches = secrets.compare_digest(given.strip().encode("latin-1"), token.encode())
        if kind.lower() != "bearer" or not matches:
            message = (
                "This call needs the admin token of the server: send it as "
                "'Authorization: Bearer TOKEN'."
            )
            raise HTTPFailure(401, message, code="invalid_admin_token")


class Guard:
    """An ASGI application in front of another one that lets through whoever has access."""

    def __init__(self, app: ASGIApp, *, access: Access) -> None:
        self.app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._access.check(scope)
        await self.app(scope, receive, send)


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
