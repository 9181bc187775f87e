"""Going on from a reply that a bound had ended: it is judged again, free.

A conversation is marked by the plan that wants it; the mark goes with what the judgement asks for,
in one transaction, so that a run that dies in between judges once more and pays nothing.
"""

from pydantic_core import to_json

from batchspec.apply.further import asked_again, judged_again
from batchspec.apply.world import LocalJob, World
from batchspec.ids import JobAddress
from batchspec.messages import Reply
from batchspec.ports import Body
from batchspec.ports.providers import line_overhead
from batchspec.state.events import RepliesRejudged
from batchspec.state.settlement import Answered, AskAgain, CallTools
from batchspec.state.stored import Resumed, StoredReply

_CHUNK = 1000
_AWAY = Answered("cancelled", "No row wants it any more.")


async def do_resume(world: World, job: JobAddress, local: LocalJob | None) -> None:
    """Judge again the replies of a job that conversations are to go on from, until none is left."""
    while stored := await world.db(world.store.replies, job, _CHUNK):
        world.hook.event(await world.db(_resume, world, job, local, stored))


def _resume(
    world: World, job: JobAddress, local: LocalJob | None, replies: list[StoredReply]
) -> RepliesRejudged:
    further = world.store.open_segment("turns")
    try:
        resumed = [_judged(world, local, stored, further) for stored in replies]
    except BaseException:
        further.abandon()
        raise
    event = RepliesRejudged(
        job=job, replies=len(resumed), changed=sum(map(_changed, resumed)), at=world.clock.now()
    )
    world.store.resume(resumed, [further], event)
    return event


def _changed(resumed: Resumed) -> bool:
    settlement = resumed.settlement
    return not isinstance(settlement, Answered) or settlement.outcome == "succeeded"


def _judged(world: World, local: LocalJob | None, stored: StoredReply, further: Body) -> Resumed:
    if local is None:
        return Resumed(stored, _AWAY)
    contract = world.store.contract(stored.contract)
    wire = world.provider(contract.provider).wire(stored.endpoint)
    line = world.store.body(stored.reply)
    result = wire.decode(line).result
    if not isinstance(result, Reply):
        return Resumed(stored, Answered("failed", "Its last reply cannot be read any more."))
    settlement = judged_again(world, local, stored, result)
    match settlement:
        case AskAgain():
            messages = asked_again(world, wire, stored.request, line, settlement)
            size = wire.size(messages) + line_overhead(wire, contract.at(2))
            return Resumed(stored, settlement, further.append(messages), size)
        case Answered() if settlement.text:
            return Resumed(stored, settlement, further.append(to_json(settlement.text)))
        case Answered() | CallTools():
            return Resumed(stored, settlement)
        case _:
            raise TypeError(settlement)
