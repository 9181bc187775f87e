"""A watcher's housekeeping: what nothing needs any more is deleted now and then."""

from collections.abc import Sequence

import anyio.to_thread

from batchspec.ports import Hook
from batchspec.project import Project
from batchspec.project.atwork import connecting
from batchspec.project.garbage import sweep
from batchspec.store.sqlite import StateStore
from batchspec.store.watching import note_tidied, tidied_at


def tidy_at(project: Project, store: StateStore) -> float | None:
    """Return when it is time to delete what nothing needs, None: never; blocking."""
    every = project.settings.watch.gc_every
    if not every:
        return None
    before = tidied_at(store.db)
    return project.clock.now() if before is None else before + every


async def tidied(project: Project, store: StateStore, hook: Hook) -> Sequence[str]:
    """Do what `state gc` does, if it is time; returns what could not be deleted, and why.

    What fails is left to the next time: an hour more or less does not matter.
    """
    due = await anyio.to_thread.run_sync(tidy_at, project, store)
    if due is None or due > project.clock.now():
        return ()
    # First, so that a provider which is away, or a crash, does not make it be tried all the time.
    await anyio.to_thread.run_sync(_note, store, project.clock.now())
    async with connecting(project, hook) as connections:
        done = await sweep(project, store, connections, project.settings.watch.keep)
    return done.left


def _note(store: StateStore, now: float) -> None:
    with store.transaction() as db:
        note_tidied(db, now)
