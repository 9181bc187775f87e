"""What a run holds: the lease on the state, and connections to providers."""

import threading
from collections.abc import AsyncGenerator, Mapping
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from batchspec.ports import Hook, Provider
from batchspec.project.wiring import Connections
from batchspec.store.lease import Watcher
from batchspec.store.sqlite import StateStore

if TYPE_CHECKING:
    from batchspec.project.project import Project

_GIVING_UP = 5.0
"""Seconds until a thread has given up, at most: SQLite itself waits for two."""


async def acquired(
    store: StateStore, holder: str, operation: str, watcher: Watcher | None = None
) -> None:
    """Take the lease in a thread, so that an interrupt ends the waiting for it.

    Raises:
        LockedError: Another process holds it.
    """
    store.patience.given_up.clear()
    ended = threading.Event()

    def take() -> None:
        try:
            store.acquire(holder, operation, watcher)
        finally:
            ended.set()

    try:
        await anyio.to_thread.run_sync(take, abandon_on_cancel=True)
    except anyio.get_cancelled_exc_class():
        store.patience.given_up.set()
        # Whoever was interrupted closes the state next, and it must not be in use then.
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(ended.wait, _GIVING_UP)
        raise


@asynccontextmanager
async def at_work(
    project: "Project", hook: Hook, operation: str
) -> AsyncGenerator[tuple[StateStore, Connections]]:
    """Hold the lease and what connections need, waiting as long as `lock_timeout` says.

    Raises:
        LockedError: Another process holds the lease.
    """
    async with holding(project, hook, operation) as store, connecting(project, hook) as connections:
        yield store, connections


@asynccontextmanager
async def holding(
    project: "Project", hook: Hook, operation: str, watcher: Watcher | None = None
) -> AsyncGenerator[StateStore]:
    """Hold the lease, waiting as long as `lock_timeout` says.

    Args:
        project: Whose state.
        hook: Is told who is waited for.
        operation: What for, as people read it.
        watcher: Whose engine takes it, if it is one.

    Raises:
        LockedError: Another process holds the lease.
    """
    with ExitStack() as stack:
        project.patience.tell = hook.warning
        store = project.store()
        stack.callback(store.release)
        await acquired(store, project.mint(), operation, watcher)
        yield store


@asynccontextmanager
async def connecting(project: "Project", hook: Hook) -> AsyncGenerator[Connections]:
    """Have what connections need, and close it in the end."""
    connections = Connections(
        project.settings, project.directory, project.root, project.simulated, warn=hook.warning
    )
    try:
        yield connections
    finally:
        await _closed(connections)


async def disconnect(project: "Project", providers: Mapping[str, Provider]) -> None:
    """Close the clients that were opened for a run."""
    for provider in providers.values():
        if provider.client is not project.providers[provider.name].client:
            await provider.client.close()
            if provider.live is not None:
                await provider.live.close()


async def _closed(connections: Connections) -> None:
    """Close what was opened; a second interrupt waits for no request that is answered here."""
    try:
        await anyio.to_thread.run_sync(connections.close, abandon_on_cancel=True)
    except anyio.get_cancelled_exc_class():
        connections.drop()
        raise
