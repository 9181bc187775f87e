"""How long a run waits for hooks that fail, once nothing else is left to do."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from batchspec.reconcile.actions import Action, RunHooks
from batchspec.reconcile.decide import Snapshot, decide

HOOKS_WAIT = 120.0
"""Seconds a run waits for hooks that fail, once nothing else is left to do."""


@dataclass(slots=True)
class HookWait:
    """Since when all that is left is to tell hooks once more.

    Attributes:
        since: When something else was done last, in unix seconds.
    """

    since: float = 0.0

    def is_over(
        self, snapshot: Snapshot, running: Collection[type[Action]], told_at: float, now: float
    ) -> bool:
        """Tell whether it has been so for long.

        Args:
            snapshot: What is.
            running: The kinds of actions that run.
            told_at: When a hook was told something last, in unix seconds.
            now: Unix seconds.
        """
        if not snapshot.hooks:
            self.since = now
            return False
        alone = all(kind is RunHooks for kind in running)
        if not alone or not decide(replace(snapshot, hooks={}), now).done:
            self.since = now
        return not running and now - max(self.since, told_at) >= HOOKS_WAIT
