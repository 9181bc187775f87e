"""Looking at every open batch once: what has ended is read, nothing is sent and nothing paid."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import anyio.to_thread

from batchspec.apply.failing import stop_message
from batchspec.apply.loop import Loop
from batchspec.config import LiveSettings
from batchspec.errors import ProviderError, RefusedError, UsageError
from batchspec.ids import BatchId, RemoteId
from batchspec.plan.changes import Plan
from batchspec.ports import Hook, Provider
from batchspec.project.accounts import bindings, switched
from batchspec.project.applying import Applying
from batchspec.project.atwork import at_work, disconnect
from batchspec.project.refreshed import LookedAt, Refreshed
from batchspec.project.wiring import Connections, Unconnected
from batchspec.spec.suggest import did_you_mean
from batchspec.state.events import AccountBound
from batchspec.state.records import OPEN, BatchRecord
from batchspec.state.remote import CallError, NotFound
from batchspec.store.sqlite import StateStore

if TYPE_CHECKING:
    from batchspec.project.project import Project

_TRIED = 3
"""Batches a new key is tried with: the provider may have lost one of them."""


class Refreshing:
    """One refresh of one state.

    Args:
        project: Whose.
        hook: Is told what happens.
        rebind: Providers whose key was replaced by another one of the same account.
    """

    def __init__(self, project: "Project", hook: Hook, rebind: Sequence[str]) -> None:
        self._project = project
        self._hook = hook
        self._rebind = rebind

    async def run(self) -> Refreshed:
        """Take the lease, look at every open batch, and read what has ended."""
        project = self._project
        with project.reader():
            pass  # tells that there is no state, where a store would make one
        if (error := await anyio.to_thread.run_sync(project.load_or_nothing)) is not None:
            told = str(error.diagnostics[0]) if error.diagnostics else str(error)
            self._hook.warning(f"The specs do not load, so that no results are read: {told}")
        async with at_work(project, self._hook, "refresh") as (store, connections):
            for name in self._rebind:
                await self._bind_anew(store, connections, name)
            before = [batch for batch in store.open_batches() if batch.double_of is None]
            names = {batch.id: store.lane(batch.lane).provider for batch in before}
            asked = {name for name in set(names.values()) if self._is_asked(name)}
            elsewhere = {b.id for b in before if b.via == "batch" and names[b.id] in asked}
            signal = await self._look(store, connections, elsewhere, asked)
            return Refreshed(
                environment=project.environment,
                batches=tuple(
                    LookedAt(
                        provider=names[batch.id],
                        before=batch,
                        after=store.batch(batch.id),
                        looked=batch.id in elsewhere,
                    )
                    for batch in before
                ),
                to_send=sum(record.pending for record in store.lanes()),
                signal=signal,
            )

    def _is_asked(self, name: str) -> bool:
        """Tell whether a provider is asked; one whose batches run here would go on with them."""
        project = self._project
        provider = project.providers.get(name)
        if provider is None:
            self._hook.warning(f"[providers.{name}] is not in the configuration any more.")
            return False
        here = isinstance(project.settings.provider(name), LiveSettings)
        return not (here and not project.simulated and isinstance(provider.client, Unconnected))

    async def _look(
        self, store: StateStore, connections: Connections, batches: set[BatchId], names: set[str]
    ) -> int | None:
        """Look at some batches once, and return the interrupt that ended it."""
        project = self._project
        events = bindings(store, project.providers, names, connections, project.clock)
        if events:
            store.commit(*events)
        providers = {
            name: connections.connect(provider) if name in names else provider
            for name, provider in project.providers.items()
        }
        world = self._applying(store).world(connections, providers)
        loop = Loop(world, once=True, batches=frozenset(batches))
        try:
            with project.desired.imports():
                await loop.run()
        finally:
            await disconnect(project, providers)
        return loop.signals[0] if loop.signals else None

    def _applying(self, store: StateStore) -> Applying:
        project = self._project
        with store.reader() as reader:
            nothing = Plan(
                id=project.mint(),
                environment=project.environment,
                lineage=reader.lineage,
                serial=reader.serial(),
                jobs=(),
                batches=0,
                simulated=project.simulated,
            )
        return Applying(project, nothing, self._hook, detach=False)

    # --- another key of the same account

    async def _bind_anew(self, store: StateStore, connections: Connections, name: str) -> None:
        """Bind a provider to its new key, if that knows a batch of the old one.

        Raises:
            UsageError: There is no such provider, or its batches run in this process.
            RefusedError: The new key knows no batch that the old one has.
            ProviderError: The provider does not answer.
        """
        provider = self._project.providers.get(name)
        if provider is None:
            known = did_you_mean(name, self._project.providers)
            raise UsageError(f"There is no provider {name!r}. {known}")
        account = connections.account(provider)
        if account is None:
            raise UsageError(f"Batches of {name!r} run in this process and are bound to no key.")
        bound = store.accounts().get(name)
        if bound is None or bound == account:
            return
        tried = _tried(store, name, bound)
        connected = connections.connect(provider)
        try:
            known_there = await _knows(connected, tried)
        finally:
            await disconnect(self._project, {name: connected})
        if not known_there:
            why = "cannot be tried, because no batch of it has an id yet"
            if tried:
                why = f"knows none of its batches ({', '.join(tried)})"
            raise RefusedError(
                f"{name!r} stays bound as it is: {switched(bound, account)}, and the new key "
                f"{why}. Use the former key. Nothing was changed."
            )
        event = AccountBound(provider=name, account=account, at=self._project.clock.now())
        store.commit(event)
        self._hook.event(event)


def _tried(store: StateStore, provider: str, account: str) -> list[RemoteId]:
    """Return batches that the account of a provider has: open ones, then the newest others."""
    with store.reader() as reader:
        batches: list[BatchRecord] = [
            batch
            for batch in reversed(reader.batches())
            if batch.account == account and reader.lane(batch.lane).provider == provider
        ]
    batches.sort(key=lambda batch: batch.phase not in OPEN)
    return [batch.remote_id for batch in batches if batch.remote_id is not None][:_TRIED]


async def _knows(provider: Provider, batches: Sequence[RemoteId]) -> bool:
    for batch in batches:
        try:
            await provider.client.retrieve(batch)
        except NotFound:
            continue
        except CallError as error:
            raise ProviderError(stop_message(provider, error)) from error
        return True
    return False
