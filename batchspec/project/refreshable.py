"""What a project can do about its open batches without a plan."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

import anyio

from batchspec.ports import Hook
from batchspec.project import wiring
from batchspec.project.applying import SilentHook
from batchspec.project.looking import Looked, Told, look
from batchspec.project.opened import OpenedProject
from batchspec.project.refreshed import Refreshed
from batchspec.project.refreshing import Refreshing

if TYPE_CHECKING:
    from batchspec.project.project import Project


class RefreshableProject(OpenedProject):
    """A project whose open batches can be looked at."""

    def drift(self, *, told: Told | None = None) -> Looked:
        """Say what `refresh` would find out, by looking at the providers and changing nothing.

        Args:
            told: Called with the number of batches looked at, and of all, from another thread.

        Raises:
            StateError: There is no state yet.
        """
        with self.reader() as reader:
            return look(self, reader, told=told)

    def refresh(self, *, rebind: Sequence[str] = (), hook: Hook | None = None) -> Refreshed:
        """Look at every open batch once, and read what has ended; sends nothing and costs nothing.

        Args:
            rebind: Providers whose key was replaced by another one of the same account.
            hook: Is told what happens.

        Raises:
            RefusedError: The key belongs to another account than the open batches.
            LockedError: Another process is applying.
            ProviderError: A person must mend something; what was recorded stays.
            StateError: There is no state yet.
        """
        wiring.outside_a_loop()
        return anyio.run(partial(self.refresh_async, rebind=rebind, hook=hook))

    async def refresh_async(
        self, *, rebind: Sequence[str] = (), hook: Hook | None = None
    ) -> Refreshed:
        """Do what `refresh` does, inside a running event loop."""
        return await Refreshing(cast("Project", self), hook or SilentHook(), rebind).run()
