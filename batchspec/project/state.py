"""`ProjectState`: the recorded state, for people who look at it or mend it by hand."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import anyio

from batchspec.errors import RefusedError, UsageError
from batchspec.fingerprint import fingerprint
from batchspec.ids import (
    BatchId,
    Fingerprint,
    JobAddress,
    RecordRef,
    RowKey,
    group_of,
    item_address,
    names,
    parse_address,
)
from batchspec.ports import Hook
from batchspec.project.applying import SilentHook
from batchspec.project.garbage import Garbage, collect, look
from batchspec.project.transfer import Pushed, pull, push
from batchspec.project.wiring import outside_a_loop
from batchspec.spec.suggest import did_you_mean
from batchspec.state.browsed import ItemDetail, ItemEntry, JobDetail, JournalEntry, ListedBatch
from batchspec.state.housekeeping import AddressMoved, ItemsForgotten
from batchspec.store import browse, readdress
from batchspec.store.archive import Manifest
from batchspec.store.reader import StateReader
from batchspec.store.sqlite import StateStore
from batchspec.store.verify import verify

if TYPE_CHECKING:
    from batchspec.project.project import Project

_KEYS = 10_000
"""Keys among which the likeliest is looked for when one is not known."""


class ProjectState:
    """What is recorded in one environment; nothing here is sent anywhere.

    Every method raises `StateError` when there is no state yet; those that write raise
    `LockedError` when another process holds it.

    Args:
        project: Whose state.
    """

    def __init__(self, project: "Project") -> None:
        self._project = project

    # --- looking -------------------------------------------------------------------------------

    def jobs(self, pattern: str | None = None) -> list[JobAddress]:
        """Return the addresses of the jobs, or of those that a glob matches.

        Raises:
            UsageError: None matches.
        """
        with self._project.reader() as reader:
            return _matching(reader, pattern)

    def items(self, pattern: str | None = None) -> Iterator[ItemEntry]:
        """Yield items: of all jobs, of those that a glob matches, or the one of an address.

        Raises:
            UsageError: There is no such job or item.
        """
        with self._project.reader() as reader:
            key = parse_address(pattern)[1] if pattern else None
            if pattern is not None and key is not None:
                for job in _meant(reader, pattern):
                    yield _item(reader, job, key).entry
                return
            yield from browse.entries(reader, _matching(reader, pattern))

    def show(self, address: str) -> JobDetail | ItemDetail:
        """Return a job or an item in full; of a job with variants one of them.

        Raises:
            UsageError: There is none of this address, or several are.
        """
        _, key = parse_address(address)
        with self._project.reader() as reader:
            job, *more = _meant(reader, address)
            if more:
                raise _several(address, [job, *more])
            if key is not None:
                return _item(reader, job, key)
            found = browse.job_detail(reader, job)
            if found is None:
                raise _no_job(reader, job)
            return found

    def batches(self, address: str | None = None, *, every: bool = False) -> list[ListedBatch]:
        """Return batches, open ones first and newer ones before older ones.

        Args:
            address: Only those with requests of this job or item.
            every: Also those that are done with.

        Raises:
            UsageError: There is no such job or item.
        """
        with self._project.reader() as reader:
            found = browse.listed_batches(reader, open_only=not every)
            if address is None:
                return found
            _, key = parse_address(address)
            jobs = _meant(reader, address)
            if key is None:
                return [one for one in found if any(job in one.batch.jobs for job in jobs)]
            own: set[BatchId] = set()
            for job in jobs:
                _item(reader, job, key)
                own |= browse.batches_of(reader, job, key)
            return [one for one in found if one.batch.id in own]

    def history(self, address: str | None = None) -> Iterator[JournalEntry]:
        """Yield what happened, oldest first.

        Args:
            address: Only what is about this job or item, or about batches with requests of it.

        Raises:
            UsageError: There is no such job or item.
        """
        # Looked up first, so that a wrong address is told before anything is printed.
        own = None if address is None else {b.batch.id for b in self.batches(address, every=True)}
        with self._project.reader() as reader:
            jobs = [] if address is None else _meant(reader, address)
            for entry in browse.journal(reader):
                named = {entry.payload.get(field) for field in ("job", "address", "old", "new")}
                if own is None or entry.payload.get("id") in own or named & {*jobs, address}:
                    yield entry

    # --- mending -------------------------------------------------------------------------------

    def move(self, old: str, new: str) -> None:
        """Give a job or an item another address; free.

        Raises:
            UsageError: There is nothing at the old address, something at the new one, or the two
                do not go together.
        """
        (job, key), (new_job, new_key) = parse_address(old), parse_address(new)
        if (key is None) != (new_key is None) or (key is not None and job != new_job):
            raise UsageError(
                f"{old!r} cannot become {new!r}: a job is moved to the address of a job, and an "
                "item to another key of its job."
            )
        _check_address(new_job)
        with self._project.reader() as reader:
            _moves(reader, job, new_job, key)
        with self._project.leased("state mv") as store, store.reader() as reader:
            moves = _moves(reader, job, new_job, key)
            for to in moves.values():
                _is_free(reader, to, new_key)
            if key is not None and readdress.bound(reader.db, job, key):
                raise RefusedError(
                    f"{old} is in a batch, and its key is part of what was asked, because code of "
                    f"{job} sees the row. Nothing was moved: move it once it is answered."
                )
            with store.transaction() as db:
                for each, to in moves.items():
                    if key is None or new_key is None:
                        readdress.move_job(db, each, to)
                    else:
                        readdress.move_item(db, each, key, new_key, _asked(store, new_key))
                store.journal(AddressMoved(old=old, new=new, at=self._project.clock.now()))

    def forget(self, addresses: Sequence[str]) -> list[ItemsForgotten]:
        """Forget jobs or items; nothing at a provider is touched, and every answer is kept.

        Raises:
            UsageError: There is nothing at an address; nothing was forgotten.
            RefusedError: A job is protected; nothing was forgotten.
        """
        with self._project.reader() as reader:
            chosen = [
                (address, job, parse_address(address)[1])
                for address in addresses
                for job in _meant(reader, address)
            ]
            for _, job, key in chosen:
                _exists(reader, job, key)
        done: list[ItemsForgotten] = []
        with ExitStack() as stack:
            store = stack.enter_context(self._project.leased("state rm"))
            db = stack.enter_context(store.transaction())
            for _, job, _ in chosen:
                if readdress.protected(db, job):
                    raise RefusedError(
                        f"Job {job} is protected; nothing was forgotten. Set protect=False in its "
                        "spec and apply first."
                    )
            for named, job, key in chosen:
                address = named if job == parse_address(named)[0] else _address(job, key)
                items, in_flight = readdress.forget(db, job, key)
                now = self._project.clock.now()
                event = ItemsForgotten(address=address, items=items, in_flight=in_flight, at=now)
                store.journal(event)
                done.append(event)
        return done

    # --- as one file ---------------------------------------------------------------------------

    def pull(self, out: BinaryIO) -> Manifest:
        """Write the state, as it is at one moment, to a stream: one archive, without secrets."""
        return pull(self._project, out)

    def push(self, file: Path, *, force: bool = False) -> Pushed:
        """Put the state in an archive in the place of this one, which is kept under `backups/`.

        Args:
            file: An archive that `pull` wrote.
            force: Also one of another history, an older one, one that both went on from, or one
                of another environment, but never a simulated one beside paid ones.

        Raises:
            StateError: The archive is torn, foreign or broken; nothing was changed.
            RefusedError: It is no later moment of this state, or is of another environment.
        """
        return push(self._project, file, force=force)

    def gc(self, *, dry_run: bool = False, keep: float = 0.0, hook: Hook | None = None) -> Garbage:
        """Delete files at the providers, and bodies on disk, that nothing needs any more.

        Args:
            dry_run: Only say what would be deleted: nothing is written, nobody is called.
            keep: Leave the files of batches that ended less than so many seconds ago.
            hook: Is told warnings.
        """
        if dry_run:
            return look(self._project, keep)
        outside_a_loop()
        return anyio.run(partial(collect, self._project, keep, hook or SilentHook()))

    def verify(self) -> list[str]:
        """Return what is broken in the state, a sentence each."""
        return verify(self._project.directory)


def _matching(reader: StateReader, pattern: str | None) -> list[JobAddress]:
    known = browse.live_jobs(reader.db)
    found = [job for job in known if pattern is None or names(pattern, job)]
    if not found and pattern is not None:
        raise UsageError(f"No job matches {pattern!r}. {did_you_mean(pattern, known)}")
    return found


def _meant(reader: StateReader, address: str) -> list[JobAddress]:
    """Return the jobs on record that an address without a glob means: one, or its variants."""
    job, _ = parse_address(address)
    known = browse.live_jobs(reader.db)
    exact = [one for one in known if one == job]
    found = [one for one in known if names(address, one)] if not _is_glob(job) else exact
    if not found:
        raise _no_job(reader, job)
    return found


def _is_glob(job: JobAddress) -> bool:
    return any(character in job for character in "*?[")


def _address(job: JobAddress, key: RowKey | None) -> str:
    return job if key is None else item_address(job, key)


def _moves(
    reader: StateReader, job: JobAddress, new: JobAddress, key: RowKey | None
) -> dict[JobAddress, JobAddress]:
    """Return what becomes of the address of a job, or of those of its variants and samples."""
    meant = _meant(reader, _address(job, key))
    if key is not None:
        if meant != [job]:
            raise _several(_address(job, key), meant)
        _exists(reader, job, key)
        return {job: new}
    return {one: JobAddress(new + one.removeprefix(job)) for one in meant}


def _asked(store: StateStore, key: RowKey) -> Callable[[int, RecordRef, int], Fingerprint]:
    """Return what tells the fingerprint of a recorded request under another key."""

    def fingerprint_of(contract: int, request: RecordRef, sample: int) -> Fingerprint:
        messages = store.bodies.get(request).partition(b"\t")[0]
        return fingerprint(store.contract(contract).canonical(), messages, key, sample)

    return fingerprint_of


def _several(address: str, jobs: Sequence[JobAddress]) -> UsageError:
    listed = ", ".join(jobs)
    return UsageError(f"{address!r} is several jobs: {listed}. Name one of them.")


def _item(reader: StateReader, job: JobAddress, key: RowKey) -> ItemDetail:
    _exists(reader, job, None)
    found = browse.item_detail(reader, job, key)
    if found is None:
        known = did_you_mean(key, browse.keys(reader.db, job, _KEYS)[:_KEYS])
        close = f" {known}" if known.startswith("Did") else ""
        raise UsageError(f"Job {job} has no item with the key {key!r} on record.{close}")
    return found


def _exists(reader: StateReader, job: JobAddress, key: RowKey | None) -> None:
    if key is not None:
        _item(reader, job, key)
    elif job not in browse.live_jobs(reader.db):
        raise _no_job(reader, job)


def _is_free(reader: StateReader, job: JobAddress, key: RowKey | None) -> None:
    if key is None:
        if job in reader.jobs():
            raise UsageError(
                f"There is a job {job!r} on record already, perhaps one that was removed; nothing "
                "was moved. Answers are found by what was asked, so a renamed job costs nothing "
                "without `state mv` either."
            )
    elif browse.item_detail(reader, job, key) is not None:
        raise UsageError(f"Job {job} has an item with the key {key!r} already; nothing was moved.")


def _no_job(reader: StateReader, job: JobAddress) -> UsageError:
    known = did_you_mean(job, browse.live_jobs(reader.db))
    return UsageError(f"There is no job {job!r} on record. {known}")


def _check_address(job: JobAddress) -> None:
    parts = group_of(job).split(".")
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        raise UsageError(f"{job!r} is no address of a job, such as 'tickets.triage'.")
