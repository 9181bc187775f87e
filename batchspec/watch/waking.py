"""When a watcher has something to do again that nobody tells it of."""

from batchspec.plan.consent import HeldCode, Verdict
from batchspec.project import Project
from batchspec.project.pending import Pending
from batchspec.store.sqlite import StateStore
from batchspec.store.watching import granted_since
from batchspec.watch.agenda import plan_again
from batchspec.watch.agreeing import HOUR
from batchspec.watch.tidying import tidy_at

_SURELY = 1.0
"""Seconds after a plan has left the hour."""
_AGAIN = 60.0
"""Seconds until consent that could not be read is looked at again."""
_AT_LEAST = 3600.0
"""Seconds a round goes on before housekeeping alone ends it."""


def next_due(
    project: Project,
    store: StateStore,
    read_at: float | None,
    verdict: Verdict,
    *,
    closed: bool,
) -> float | None:
    """Return when to begin a round after one that has ended; None: when somebody says so; blocking.

    Args:
        project: With specs that are pinned.
        store: Where it is recorded what was done when.
        read_at: When rows were read last, in unix seconds; None: there are no specs.
        verdict: On the plan that was made then.
        closed: Whether everything that was agreed to came to its end in that round.
    """
    now = project.clock.now()
    # What is at its end has cost less than it might have, and plans do not count it any more.
    moments = [now] if closed and verdict.held else []
    clock = None if read_at is None else plan_again(project, read_at)
    moments += [one for one in (clock, room_at(store, now, verdict)) if one is not None]
    if read_at is not None and Pending(project.directory).undone():
        moments.append(now + _AGAIN)
    tidy = tidy_at(project, store)
    return min([*moments, tidy] if tidy is not None else moments, default=None)


def break_off(
    project: Project, store: StateStore, read_at: float | None, verdict: Verdict
) -> float | None:
    """Return when a round ends that goes on until then, to begin another one; blocking.

    The arguments are those of `next_due`.
    """
    now = project.clock.now()
    clock = None if read_at is None else plan_again(project, read_at, coming=True)
    tidy = tidy_at(project, store)
    house = None if tidy is None else max(tidy, now + _AT_LEAST)
    moments = clock, room_at(store, now, verdict), house
    return min((one for one in moments if one is not None), default=None)


def room_at(store: StateStore, now: float, verdict: Verdict) -> float | None:
    """Return when an hour has more room for a plan that waits for that; blocking."""
    if not _holds(verdict, "MAX_COST_PER_HOUR"):
        return None
    granted = granted_since(store.db, now - HOUR, by="watch")
    # What does not fit into an hour that is empty never will.
    return granted[0][0] + HOUR + _SURELY if granted else None


def _holds(verdict: Verdict, code: HeldCode) -> bool:
    return any(held.code == code for held in verdict.held)
