"""Making rows of answers: all of a job's once the others are final, or an eager one's as they come.

What an eager job was made of so far is remembered for a run only, as a serial of the state per job:
a run begins with a look at everything, and ends with one, so that a crash in between loses nothing.
"""

from batchspec.apply.cancel import cancel_unneeded
from batchspec.apply.world import World
from batchspec.ids import JobAddress, member
from batchspec.reconcile.actions import Expand
from batchspec.state.stored import Fresh, MadeOf


def fresh_jobs(world: World) -> frozenset[JobAddress]:
    """Return the eager jobs that wait and whose upstream has answers nobody has looked at."""
    return frozenset(job for job in world.eager & world.waiting.keys() if _is_fresh(world, job))


def _is_fresh(world: World, job: JobAddress) -> bool:
    upstream = world.waiting[job]
    if any(up in world.waiting and up not in world.seen for up in upstream):
        return False  # its items may be made of answers that are about to change
    seen = world.seen.get(job)
    if seen is None or any(world.store.settled_since(up, seen) for up in upstream):
        return True
    # What other jobs were answered meanwhile is not looked through again.
    world.seen[job] = world.store.serial()
    return False


def news_for(world: World, job: JobAddress) -> Fresh:
    """Say which answers are news for an eager job.

    An item of a job that itself waits counts only if it was made of what its own upstream answers
    now, which its key tells. Of several variants that wait the one counts that saw least.
    """
    made_of: list[MadeOf] = []
    above = world.waiting[job]
    while waiting := [up for up in above if up in world.waiting]:
        above = world.waiting[waiting[0]]
        seen, of, several = min(world.seen[up] for up in waiting), member(above[0]), len(above) > 1
        source = of.group if several else above[0]
        made_of.append(MadeOf(source, seen, several, of.variant is not None))
    return Fresh(since=world.seen.get(job, 0), made_of=tuple(made_of))


async def do_expand(world: World, action: Expand) -> None:
    """Plan and record rows; a job with all its rows, or one that is left alone, waits no longer."""
    job = action.job
    fresh = None if action.whole else news_for(world, job)
    seen = await world.db(world.expand, job, fresh)
    if action.whole or seen is None:
        world.waiting.pop(job, None)
    else:
        world.seen[job] = seen
    await cancel_unneeded(world)
