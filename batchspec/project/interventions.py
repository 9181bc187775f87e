"""What people do to batches and rows by hand: adopt, stop, remove."""

from functools import partial
from typing import TYPE_CHECKING, cast

import anyio
import anyio.to_thread

from batchspec.ids import JobAddress, RemoteId
from batchspec.ports import Hook
from batchspec.project import wiring
from batchspec.project.applying import SilentHook
from batchspec.project.imported import ImportResult
from batchspec.project.importing import Importing
from batchspec.project.opened import OpenedProject
from batchspec.project.removing import DestroyResult, Removing
from batchspec.project.stopping import CancelResult, Stopping
from batchspec.state.removed import Removal
from batchspec.state.stopped import Stop
from batchspec.store.foreign import Match

if TYPE_CHECKING:
    from batchspec.project.project import Project


class Interventions(OpenedProject):
    """The part of `Project` that takes over, stops and removes."""

    @property
    def _whole(self) -> "Project":
        return cast("Project", self)

    # --- adoption ------------------------------------------------------------------------------

    def import_batch(
        self, address: str, batch: str, *, match: Match = "auto", force: bool = False
    ) -> ImportResult:
        """Make the answers of a batch that was made by hand those of a job; nothing is sent.

        What waits for them is recorded as in progress, and the next `apply` collects it.

        Args:
            address: Of the job.
            batch: The provider's id.
            match: How lines find their row. custom-id: by key, address or our own id · request: by
                an equal body · auto: both, and the request must agree.
            force: Also take a batch that another state made.

        Raises:
            UsageError: There is no such job.
            RefusedError: The batch cannot hold answers of the job, or none that it waits for.
            ProviderError: The provider does not know it, or does not answer.
            LockedError: Another process is applying.
        """
        wiring.outside_a_loop()
        return anyio.run(partial(self.import_batch_async, address, batch, match=match, force=force))

    async def import_batch_async(
        self, address: str, batch: str, *, match: Match = "auto", force: bool = False
    ) -> ImportResult:
        """Do what `import_batch` does, inside a running event loop."""
        await anyio.to_thread.run_sync(self.load)
        job = self._job(JobAddress(address))
        return await Importing(self._whole, job, RemoteId(batch), match=match, force=force).run()

    # --- stopping ------------------------------------------------------------------------------

    def stoppable(self, *addresses: str) -> Stop:
        """Say what `cancel` would stop; changes nothing.

        Args:
            addresses: Of jobs, which may be globs, or of items; none: everything.

        Raises:
            UsageError: An address is not on record.
            RefusedError: A job is protected.
            StateError: There is no state yet.
        """
        self.load_or_nothing()
        return Stopping(self._whole, addresses).look()

    def cancel(
        self, *addresses: str, detach: bool = False, hook: Hook | None = None
    ) -> CancelResult:
        """Stop what is under way for some items; what was answered by then is kept, and paid.

        What waits is not sent, and batches nobody else needs are cancelled. Waits until they have
        ended. The next plan proposes what got no answer again.

        Args:
            addresses: Of jobs, which may be globs, or of items; none: everything.
            detach: Return once the provider has taken the cancellations.
            hook: Is told what happens.

        Raises:
            UsageError: An address is not on record.
            RefusedError: A job is protected.
            LockedError: Another process is applying.
            ProviderError: A person must mend something; what was recorded stays.
        """
        wiring.outside_a_loop()
        told = hook or SilentHook()
        if problem := self.load_or_nothing():
            told.warning(
                "The specs cannot be loaded, so that answers of cancelled batches wait at the "
                f"provider until they can be judged: {problem.diagnostics[0]}"
            )
        return anyio.run(partial(Stopping(self._whole, addresses).run, told, detach=detach))

    # --- removing ------------------------------------------------------------------------------

    def removable(self, *addresses: str) -> Removal:
        """Say what `destroy` would remove; changes nothing.

        Args:
            addresses: Of jobs, which may be globs, or of items; none: everything.

        Raises:
            UsageError: An address is not on record.
            RefusedError: A job is protected.
            StateError: There is no state yet.
        """
        self.load_or_nothing()
        return Removing(self._whole, addresses).removal()

    def destroy(
        self,
        *addresses: str,
        answers: bool = False,
        detach: bool = False,
        hook: Hook | None = None,
    ) -> DestroyResult:
        """Remove jobs or items: what is under way is cancelled, then everything is forgotten.

        Files of their batches are deleted at the provider. Answers stay in the state, where equal
        requests find them without paying, unless they are to go as well. Lineage and history stay.
        Interrupted at any moment, it goes on when it is called again.

        Args:
            addresses: Of jobs, which may be globs, or of items; none: everything.
            answers: Delete answers no other item wants.
            detach: Do not wait for cancelled batches; `apply` or `refresh` reads what they have.
            hook: Is told what happens.

        Raises:
            UsageError: An address is not on record.
            RefusedError: A job is protected.
            LockedError: Another process is applying.
            ProviderError: A person must mend something; what was recorded stays.
        """
        wiring.outside_a_loop()
        self.load_or_nothing()
        removing = Removing(self._whole, addresses)
        return anyio.run(
            partial(removing.destroy, hook or SilentHook(), answers=answers, detach=detach)
        )
