"""Worlds with two accounts at one provider: what a key sees is what was made with it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from worlds import BASE_URL, PACE, World

from batchspec.project import Project
from batchspec.simulator import create_app


class Accounts(World):
    """A world whose key can be changed; the key `other` is that of another account.

    Attributes:
        key: Of the next client; the keys `first` and `rotated` are of one account.
    """

    looks = True

    def __init__(self, root: Path, **options: Any) -> None:
        super().__init__(root, **options)
        self.key = "first"
        self.other = create_app(root / "other", clock=self.clock, pace=PACE, background=False)
        self._stack.callback(self.other.state.engine.close)
        self.wire.app = self._by_account
        self.asked: list[tuple[str, str]] = []
        """Method and key of every call."""

    async def _by_account(self, scope: Any, receive: Any, send: Any) -> None:
        headers = {name: value.decode() for name, value in scope["headers"]}
        key = headers[b"authorization"].removeprefix("Bearer ")
        self.asked.append((scope["method"], key))
        app = self.other if key == "other" else self.app
        await app(scope, receive, send)

    def client(self) -> Any:
        client = super().client()
        client._sdk.api_key = self.key
        return client

    def account(self) -> str:
        """Return what the state is bound to with the current key."""
        return f"{BASE_URL} key {self.key}"

    def open(self, **options: Any) -> Project:
        project = super().open(**options)
        for name, provider in project.providers.items():
            project.providers[name] = replace(provider, account=self.account())
        return project


MakeWorld = Callable[..., Accounts]


@pytest.fixture
def world_type() -> type[Accounts]:
    """Worlds with two accounts."""
    return Accounts
