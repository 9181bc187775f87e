"""Putting what waits into batches: records intents, sends nothing."""

from batchspec.apply.world import World
from batchspec.ids import LaneId
from batchspec.reconcile.pack import pack, room
from batchspec.state.events import (
    BatchIntended,
)


async def do_pack(world: World, lane: LaneId) -> None:
    """Cut what waits in a lane into batches and record the intents.

    Raises:
        RefusedError: They may cost more than the budget has left; nothing was recorded.
    """
    record = await world.db(world.store.lane, lane)
    provider = world.provider(record.provider)
    now = world.clock.now()

    def intend() -> list[BatchIntended]:
        waiting = next(found for found in world.store.lanes() if found.lane.id == lane)
        packets = pack(
            world.store.pending(lane),
            max_requests=room(waiting, world.store.open_batches(), provider.max_requests),
            max_bytes=provider.max_bytes,
        )
        events = [
            BatchIntended(
                id=world.mint(),
                lane=lane,
                first=packet.first,
                last=packet.last,
                members=packet.members,
                bytes=packet.bytes,
                at=now,
            )
            for packet in packets
        ]
        if world.budget is not None and events:
            requests, size = sum(e.members for e in events), sum(e.bytes for e in events)
            world.budget.check(record, requests, size)
        world.store.commit(*events)
        return events

    for event in await world.db(intend):
        world.hook.event(event)
