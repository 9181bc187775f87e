"""Deleting what a state has at the providers and on disk and does not need any more."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchspec.config import LiveSettings
from batchspec.errors import ConfigurationError
from batchspec.ports import Hook, Provider
from batchspec.project.atwork import at_work, disconnect
from batchspec.project.beating import beating
from batchspec.project.pacing import paced
from batchspec.project.wiring import Connections, Unconnected
from batchspec.state.events import InputDeleted, ResultsDeleted
from batchspec.state.records import OPEN
from batchspec.state.remote import CallError, NotFound
from batchspec.store.litter import Litter, RemoteLitter, delete_segments, find_litter
from batchspec.store.memo import forgettable
from batchspec.store.reader import StateReader
from batchspec.store.sqlite import StateStore

if TYPE_CHECKING:
    from batchspec.project.project import Project

UNUSED = 30 * 86_400.0
"""Seconds for which an answer of a pure tool is kept that no call asks for."""
_IN_A_ROW = 3
"""Calls that fail in a row before the rest of a provider is left to another time."""


@dataclass(slots=True)
class Garbage:
    """What was deleted, or would be.

    Attributes:
        dry_run: Nothing was.
        inputs: Input files at providers.
        results: Batches whose result files are there.
        input_bytes: Of the input files, as they were sent.
        segments: Files of bodies on this disk.
        segment_bytes: Of these.
        answers: Kept answers of pure tools that no call asked for in `UNUSED` seconds.
        answer_bytes: Of these.
        left: What could not be deleted, or was left alone, a sentence each.
        failed: Whether some call failed.
    """

    dry_run: bool
    inputs: int = 0
    results: int = 0
    input_bytes: int = 0
    segments: int = 0
    segment_bytes: int = 0
    answers: int = 0
    answer_bytes: int = 0
    left: list[str] = field(default_factory=list[str])
    failed: bool = False


def look(project: "Project", keep: float) -> Garbage:
    """Say what would be deleted; writes nothing and calls nobody."""
    found = Garbage(dry_run=True)
    with project.reader() as reader:
        litter = find_litter(reader.db, project.clock.now() - keep)
        before = project.clock.now() - max(keep, UNUSED)
        found.answers, found.answer_bytes = forgettable(reader.db, before)
        for provider, why in _left_alone(project, reader, litter).items():
            found.left.append(why)
            litter = _without(litter, provider)
    litter = _at_todays_accounts(project, litter, found)
    found.inputs, found.results = len(litter.inputs), len(litter.results)
    found.input_bytes = sum(one.bytes for one in litter.inputs)
    found.segments = len(litter.segments)
    found.segment_bytes = sum(size for _, size in litter.segments)
    return found


async def collect(project: "Project", keep: float, hook: Hook) -> Garbage:
    """Delete it; each deletion is recorded after it happened."""
    async with at_work(project, hook, "state gc") as (store, connections):
        with beating(store):
            return await sweep(project, store, connections, keep)


async def sweep(
    project: "Project", store: StateStore, connections: Connections, keep: float
) -> Garbage:
    """Delete it with a lease that is held already, and that somebody shows to be alive."""
    done = Garbage(dry_run=False)
    now = project.clock.now()
    with store.reader() as reader:
        litter = find_litter(reader.db, now - keep)
    await empty(project, store, connections, litter, done)
    event = delete_segments(store, project.clock.now())
    done.segments, done.segment_bytes = event.segments, event.bytes
    done.answers, done.answer_bytes = store.forget(now - max(keep, UNUSED))
    return done


async def empty(
    project: "Project",
    store: StateStore,
    connections: Connections,
    litter: Litter,
    done: Garbage,
) -> None:
    """Delete files at their providers; what fails or is left alone is told."""
    with store.reader() as reader:
        alone = _left_alone(project, reader, litter)
    done.left += alone.values()
    for name in sorted({one.provider for one in (*litter.inputs, *litter.results)} - alone.keys()):
        own = Litter(_of(litter.inputs, name), _of(litter.results, name), [])
        await _Emptying(project, store, done).run(connections, name, own)


def _of(litter: Iterable[RemoteLitter], provider: str) -> list[RemoteLitter]:
    return [one for one in litter if one.provider == provider]


def _at_todays_accounts(project: "Project", litter: Litter, found: Garbage) -> Litter:
    """Leave out the files that today's keys cannot delete, and say so; calls nobody."""
    connections = Connections(project.settings, project.directory, project.root, project.simulated)
    for name in sorted({one.provider for one in (*litter.inputs, *litter.results)}):
        try:
            account = connections.account(project.providers[name])
        except ConfigurationError as error:
            found.left.append(str(error))
            litter = _without(litter, name)
            continue
        inputs, results = (
            [one for one in files if one.provider != name or _is_at(one, account, found)]
            for files in (litter.inputs, litter.results)
        )
        litter = Litter(inputs, results, litter.segments)
    return litter


def _is_at(one: RemoteLitter, account: str | None, done: Garbage) -> bool:
    """Tell whether a file is at the account of today's key."""
    if one.account is None or account is None or one.account == account:
        return True
    done.left.append(f"Files of batch {one.batch} are at another account: {one.account}.")
    return False


def _without(litter: Litter, provider: str) -> Litter:
    inputs = [one for one in litter.inputs if one.provider != provider]
    results = [one for one in litter.results if one.provider != provider]
    return Litter(inputs, results, litter.segments)


def _left_alone(project: "Project", reader: StateReader, litter: Litter) -> dict[str, str]:
    """Return the providers that are not asked, with why."""
    found: dict[str, str] = {}
    at_work_here = {
        reader.lane(batch.lane).provider
        for batch in reader.batches(open_only=True)
        if batch.phase in OPEN
    }
    for name in sorted({one.provider for one in (*litter.inputs, *litter.results)}):
        provider = project.providers.get(name)
        if provider is None:
            found[name] = f"[providers.{name}] is not in the configuration any more."
            continue
        here = isinstance(project.settings.provider(name), LiveSettings)
        here = here and not project.simulated and isinstance(provider.client, Unconnected)
        if here and name in at_work_here:
            found[name] = f"Batches of {name} run in this process, and would go on: apply first."
    return found


@dataclass(slots=True)
class _Emptying:
    """Deletes the files of one provider."""

    project: "Project"
    store: StateStore
    done: Garbage
    in_a_row: int = 0

    async def run(self, connections: Connections, name: str, litter: Litter) -> None:
        project = self.project
        known = project.providers[name]
        try:
            account = connections.account(known)
            provider = paced(project, connections.connect(known), connections.warn)
        except ConfigurationError as error:
            self.done.left.append(str(error))
            self.done.failed = True
            return
        try:
            for one in litter.inputs:
                if _is_at(one, account, self.done) and await self._delete(provider, one):
                    self.store.commit(InputDeleted(id=one.batch, at=project.clock.now()))
                    self.done.inputs += 1
                    self.done.input_bytes += one.bytes
            for one in litter.results:
                if _is_at(one, account, self.done) and await self._delete(provider, one):
                    self.store.commit(ResultsDeleted(id=one.batch, at=project.clock.now()))
                    self.done.results += 1
        finally:
            await disconnect(project, {name: provider})

    async def _delete(self, provider: Provider, one: RemoteLitter) -> bool:
        """Delete the files of a batch; one that is gone already counts."""
        if self.in_a_row >= _IN_A_ROW:
            return False
        for file in one.files:
            try:
                await provider.client.delete_file(file)
            except NotFound:
                pass
            except CallError as error:
                self.in_a_row += 1
                self.done.failed = True
                self._tell(provider.name, f"File {file} could not be deleted: {error}.")
                return False
            self.in_a_row = 0
        return True

    def _tell(self, provider: str, failure: str) -> None:
        self.done.left.append(failure)
        if self.in_a_row == _IN_A_ROW:
            self.done.left.append(f"The rest at {provider} is left to another time.")
