"""Destroying: jobs or items are removed, with what is at the provider and, if wanted, answers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio.to_thread

from batchspec.errors import ExitCode
from batchspec.ids import BatchId, item_address
from batchspec.ports import Hook
from batchspec.project.atwork import at_work
from batchspec.project.beating import beating
from batchspec.project.garbage import Garbage, empty
from batchspec.project.stopping import Stopping
from batchspec.project.wiring import Connections
from batchspec.state.housekeeping import AnswersDeleted, ItemsForgotten
from batchspec.state.removed import Removal
from batchspec.store import removing, stopping
from batchspec.store.litter import Litter, files_of
from batchspec.store.readdress import forget
from batchspec.store.sqlite import StateStore
from batchspec.store.stopping import Named

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class DestroyResult:
    """What was removed."""

    removal: Removal
    """What there was to remove."""
    removed: bool = True
    """False: an interrupt came first; what was stopped stays stopped."""
    answers: bool = False
    """Answers are gone too."""
    cleared: int = 0
    """Batches of which the provider has no file any more, and had before."""
    left: tuple[str, ...] = ()
    """What could not be deleted there, a sentence each."""
    open_batches: int = 0
    """Cancelled batches that have not ended yet."""
    signal: int | None = None

    @property
    def exit_code(self) -> ExitCode:
        """Return what the command ends with."""
        if self.signal is not None:
            return ExitCode(128 + self.signal)
        return ExitCode.IN_PROGRESS if self.open_batches else ExitCode.DONE


class Removing(Stopping):
    """One removal of some items.

    Each step leaves a state in which the same command goes on: items are forgotten at the end.
    """

    def removal(self) -> Removal:
        """Say what would be removed; changes nothing.

        Raises:
            UsageError: An address is not on record.
            RefusedError: A job is protected.
        """
        with self._project.reader():
            pass  # tells that there is no state, where a store would make one
        store = self._project.store()
        return self._look(store, self._named(store, removed=True))

    def _look(self, store: StateStore, named: Named) -> Removal:
        with stopping.chosen(store.db, named):
            return Removal(
                jobs=removing.look(store.db, named),
                stop=stopping.look(store.db),
                everything=not self._addresses,
                environment=self._project.environment,
            )

    async def destroy(self, hook: Hook, *, answers: bool, detach: bool) -> DestroyResult:
        """Cancel, wait, delete files at the provider, and forget.

        Args:
            hook: Is told what happens.
            answers: Delete answers nobody else wants, too.
            detach: Do not wait for cancelled batches; their files and answers are left.
        """
        async with at_work(self._project, hook, "destroy") as (store, connections):
            named = await anyio.to_thread.run_sync(lambda: self._named(store, removed=True))
            removal = await anyio.to_thread.run_sync(self._look, store, named)
            whole = frozenset(job for job, keys in named.items() if keys is None)
            _, ids, signals = await self._stop(
                named, store, connections, hook, detach=detach, whole=whole
            )
            if signals:
                return DestroyResult(removal=removal, removed=False, signal=signals[0])
            with beating(store):
                own = removing.batches_of(store.db, whole)
                cleared, garbage = await self._delete_files(store, connections, own)
                await anyio.to_thread.run_sync(self._forget, store, named, answers)
            return DestroyResult(
                removal=removal,
                answers=answers,
                cleared=cleared,
                left=tuple(garbage.left),
                open_batches=sum(batch.id in ids for batch in store.open_batches()),
            )

    async def _delete_files(
        self, store: StateStore, connections: Connections, batches: set[BatchId]
    ) -> tuple[int, Garbage]:
        """Delete the files of batches at their providers; what fails is told, and left to gc."""
        done, now = Garbage(dry_run=False), self._project.clock.now()
        litter = files_of(store.db, batches, now)
        await empty(self._project, store, connections, litter, done)
        left = files_of(store.db, batches, now)
        return len(_batches(litter) - _batches(left)), done

    def _forget(self, store: StateStore, named: Named, answers: bool) -> None:  # noqa: FBT001
        """Forget the items, and delete their answers if that is wanted, in one transaction."""
        now = self._project.clock.now()
        with stopping.chosen(store.db, named), store.transaction() as db:
            doomed = removing.doom(db, named) if answers else None
            for job, keys in named.items():
                for key in [None] if keys is None else keys:
                    items, in_flight = forget(db, job, key)
                    if items:
                        address = job if key is None else item_address(job, key)
                        store.journal(
                            ItemsForgotten(
                                address=address, items=items, in_flight=in_flight, at=now
                            )
                        )
            if doomed:
                removing.delete_doomed(db)
                for job, number, cost in doomed:
                    store.journal(AnswersDeleted(job=job, answers=number, cost=cost, at=now))


def _batches(litter: Litter) -> set[BatchId]:
    return {one.batch for one in (*litter.inputs, *litter.results)}
