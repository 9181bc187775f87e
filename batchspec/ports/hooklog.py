"""The record of what hooks were told."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from batchspec.ids import JobAddress
from batchspec.spec.hooks import HookKind
from batchspec.state.hooks import Delivery, Told


class HookLog(Protocol):
    """Up to where hooks were told of what is final; part of `Store`.

    Nothing is kept for each item: items are read in the order in which they became final, and a
    position says up to where. It moves after what is before it was told, so that a crash has a part
    of it told again and leaves nothing out.
    """

    def begin_hooks(self, hooks: Mapping[JobAddress, Sequence[HookKind]]) -> None:
        """Let hooks that are new be told of what becomes final from now on.

        Those that a job of `hooks` does not have any more, and of removed jobs, are forgotten.
        """
        ...

    def hook_due(self, job: JobAddress, *, whole: bool) -> float | None:
        """Return when there is something to tell, unix seconds; None: there is nothing.

        `whole` tells whether all rows of the job are known, so that it can be final.
        """
        ...

    def deliveries(
        self, job: JobAddress, now: float, limit: int, *, whole: bool
    ) -> Sequence[Delivery]:
        """Return what is to be told now, at most about `limit`: first what is tried again."""
        ...

    def record_told(self, job: JobAddress, told: Sequence[Told], now: float) -> None:
        """Record what came of deliveries, those that were not tried before in their order."""
        ...

    def keep_looked(self) -> None:
        """Record up to where there is nothing to tell, so that no later process looks there."""
        ...

    def note_deliveries(self, payloads: Mapping[JobAddress, str], now: float) -> None:
        """Note errors that the hooks of some jobs are to be told, as JSON, durably."""
        ...
