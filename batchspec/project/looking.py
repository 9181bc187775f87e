"""Looking at the provider's open batches while planning: reads only, and not for long.

Nothing is written and no lease is taken. Who cannot look is told so with the plan, which is then
made from the state alone.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import anyio

from batchspec.config import LiveSettings
from batchspec.errors import BatchspecError
from batchspec.ids import BatchId
from batchspec.plan.changes import Finding
from batchspec.plan.drift import (
    Look,
    drifted,
    elsewhere,
    expiring,
    is_unknown,
    not_known,
    unknown_outcome,
)
from batchspec.ports import Client, Provider
from batchspec.project.accounts import at_provider, switched
from batchspec.project.opened import OpenedProject
from batchspec.project.pacing import paced
from batchspec.project.wiring import Connections, Unconnected
from batchspec.state.records import TERMINAL, BatchRecord
from batchspec.state.remote import (
    CLOCK_SLACK,
    CallError,
    NotFound,
    Refused,
    RemoteBatch,
    is_of,
)
from batchspec.store.reader import StateReader

PATIENCE = 5.0
"""Seconds a plan waits for providers, all in all."""
_LEAVING = 1.0
"""Seconds more until a thread that hangs below Python, in the lookup of a name, is left alone."""
_PARALLEL = 16
Told = Callable[[int, int], None]
"""Is told how many batches were looked at, and of how many."""


def _quiet(_done: int, _total: int) -> None:
    return


@dataclass(slots=True)
class Looked:
    """What a look found.

    Attributes:
        findings: Batches that are not as recorded, and creations without an answer.
        warnings: What could not be looked at and why, and results that are deleted soon.
        sizes: Bytes of the input files of the open batches.
    """

    findings: list[Finding] = field(default_factory=list[Finding])
    warnings: list[str] = field(default_factory=list[str])
    sizes: Mapping[BatchId, int] = field(default_factory=dict[BatchId, int])


def look(
    project: OpenedProject, reader: StateReader, *, refresh: bool = True, told: Told | None = None
) -> Looked:
    """Say what became of the open batches; with `refresh` the providers are asked.

    Args:
        project: Whose providers.
        reader: Of its state.
        refresh: False looks at the state alone, and there is no network.
        told: Is told how far it is, from another thread.
    """
    batches = [b for b in reader.batches(open_only=True) if b.double_of is None]
    found = Looked(sizes={batch.id: batch.bytes - batch.data for batch in batches})
    looking = _Looking(project, found, told or _quiet, reader.lineage)
    if refresh and not project.simulated:
        looking.look(_by_provider(reader, batches), reader.accounts())
    # A thread that was left alone may still add to the lists it knows.
    found = replace(found, findings=[*found.findings], warnings=[*found.warnings])
    now = project.clock.now()
    for batch in batches:
        if is_unknown(batch):
            found.findings.append(unknown_outcome(batch, looking.unknown.get(batch.id)))
        if (warning := expiring(batch, now, looking.remotes.get(batch.id))) is not None:
            found.warnings.append(warning)
    order = {batch.id: place for place, batch in enumerate(batches)}
    found.findings.sort(key=lambda finding: order[finding.batch])
    return found


def _by_provider(
    reader: StateReader, batches: Iterable[BatchRecord]
) -> dict[str, list[BatchRecord]]:
    found: dict[str, list[BatchRecord]] = {}
    for batch in batches:
        if batch.via == "batch":
            found.setdefault(reader.lane(batch.lane).provider, []).append(batch)
    return found


@dataclass(slots=True)
class _Looking:
    """One look at every provider with open batches."""

    project: OpenedProject
    found: Looked
    told: Told
    lineage: str
    remotes: dict[BatchId, RemoteBatch] = field(default_factory=dict[BatchId, RemoteBatch])
    unknown: dict[BatchId, str] = field(default_factory=dict[BatchId, str])
    """What was found out about creations without an answer."""
    _done: int = 0
    _total: int = 0

    def look(
        self, batches: Mapping[str, Sequence[BatchRecord]], accounts: Mapping[str, str]
    ) -> None:
        project = self.project
        connections = Connections(
            project.settings, project.directory, project.root, project.simulated, retries=0
        )
        try:
            asked: list[tuple[Provider, Sequence[BatchRecord]]] = []
            for name, theirs in batches.items():
                there = at_provider(theirs, {batch.lane for batch in theirs})
                if there and (provider := self._connected(connections, name, there, accounts)):
                    asked.append((provider, there))
            self._total = sum(len(there) for _, there in asked)
            if asked:
                self._wait(asked)
        finally:
            connections.close()

    def _connected(
        self,
        connections: Connections,
        name: str,
        there: Sequence[BatchRecord],
        accounts: Mapping[str, str],
    ) -> Provider | None:
        """Return a provider that may be asked; None: it may not, which is told."""
        provider = self.project.providers.get(name)
        if provider is None:
            self._warn(name, f"[providers.{name}] is not in the configuration")
            return None
        own = self.project.settings.provider(name)
        if isinstance(own, LiveSettings) and isinstance(provider.client, Unconnected):
            return None  # they run here, where nobody else changes them
        try:
            account = connections.account(provider)
            if name in accounts and accounts[name] != account:
                why = switched(accounts[name], account)
                self.found.findings += [elsewhere(batch, why) for batch in there]
                return None
            return paced(self.project, connections.connect(provider), lambda _message: None)
        except BatchspecError as error:
            self._warn(name, str(error).rstrip("."))
            return None

    def _warn(self, provider: str, why: str) -> None:
        self.found.warnings.append(
            f"The open batches at {provider!r} were not looked at: {why}. What follows is from the "
            "state alone; with `--no-refresh` nothing is asked."
        )

    def _wait(self, asked: Sequence[tuple[Provider, Sequence[BatchRecord]]]) -> None:
        """Look in a thread, as a loop may run in this one, and leave it alone if it hangs."""
        failed: list[BaseException] = []

        def run() -> None:
            try:
                anyio.run(self._ask, asked)
            except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                failed.append(error)

        thread = threading.Thread(target=run, name="looking", daemon=True)
        thread.start()
        thread.join(PATIENCE + _LEAVING)
        if failed:
            raise failed[0]
        if thread.is_alive():
            self._warn(asked[0][0].name, f"no answer within {PATIENCE:.0f} seconds")

    async def _ask(self, asked: Sequence[tuple[Provider, Sequence[BatchRecord]]]) -> None:
        try:
            async with anyio.create_task_group() as group:
                for provider, batches in asked:
                    group.start_soon(self._ask_provider, provider, batches)
        finally:
            own = self.project.providers
            for provider, _ in asked:
                if provider.client is not own[provider.name].client:
                    await provider.client.close()

    async def _ask_provider(self, provider: Provider, batches: Sequence[BatchRecord]) -> None:
        errors: list[str] = []
        done: set[BatchId] = set()
        limiter = anyio.CapacityLimiter(_PARALLEL)
        with anyio.move_on_after(PATIENCE):
            async with anyio.create_task_group() as group:

                async def one(record: BatchRecord) -> None:
                    async with limiter:
                        try:
                            await self._ask_about(provider.client, record)
                        except CallError as error:
                            errors.append(str(error))
                            if isinstance(error, Refused):  # the others would be refused as well
                                group.cancel_scope.cancel()
                            return
                    done.add(record.id)
                    self._done += 1
                    self.told(self._done, self._total)

                for record in batches:
                    if record.remote_id is not None:
                        group.start_soon(one, record)
                unknown = [record for record in batches if is_unknown(record)]
                if unknown:
                    group.start_soon(self._search, provider.client, unknown)
        asked = [record for record in batches if record.remote_id is not None]
        if missed := len(asked) - len(done):
            why = errors[0].rstrip(".") if errors else f"no answer within {PATIENCE:.0f} seconds"
            self._warn(provider.name, f"{why} ({missed} of {len(asked)})")

    async def _ask_about(self, client: Client, record: BatchRecord) -> None:
        assert record.remote_id is not None  # noqa: S101 - the caller looks
        try:
            remote = await client.retrieve(record.remote_id)
        except NotFound as error:
            seen = not_known(error)
        else:
            self.remotes[record.id] = remote
            gone = []
            if remote.status in TERMINAL:
                files = [f for f in (remote.output_file_id, remote.error_file_id) if f]
                gone = [file for file in files if not await client.has_file(file)]
            seen = Look(remote, gone=gone)
        self.found.findings += drifted(record, seen, self.lineage)

    async def _search(self, client: Client, unknown: Sequence[BatchRecord]) -> None:
        """Look into the list for batches whose creation got no answer."""
        self.unknown |= {record.id: "the provider's list took too long" for record in unknown}
        since = min(record.intended_at for record in unknown) - CLOCK_SLACK
        names: dict[BatchId, str] = {}
        try:
            async for remote in client.recent(since):
                names |= {record.id: remote.id for record in unknown if is_of(remote, record)}
        except CallError as error:
            self.unknown |= {record.id: f"cannot list batches: {error}" for record in unknown}
            return
        for record in unknown:
            name = names.get(record.id)
            told = f"found as {name}: it will be adopted" if name else "not found yet"
            self.unknown[record.id] = told
