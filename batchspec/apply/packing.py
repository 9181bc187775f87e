"""Putting what waits into batches: records intents, sends nothing."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice

from batchspec.apply.world import OverBudgetError, Sending, World
from batchspec.errors import ProviderError
from batchspec.ids import JobAddress, LaneId, group_of
from batchspec.ports import Provider
from batchspec.reconcile.admit import Admission, admission, under_way
from batchspec.reconcile.pack import Packet, pack, room
from batchspec.state.events import BatchCollected, BatchIntended, Event, RequestsDeclined
from batchspec.state.records import BatchRecord, Lane, LaneRecord, Via


async def do_pack(world: World, lane: LaneId, *, lone: bool = False) -> None:
    """Cut what waits in a lane, as far as it may be sent now, into batches; record the intents.

    Args:
        world: What the loop works with.
        lane: Where it waits.
        lone: Less than the provider's minimum waits, and no more will come.

    Raises:
        OverBudgetError: They may cost more than the budget has left; nothing was recorded.
    """
    record = await world.db(world.store.lane, lane)
    provider = world.provider(record.provider)
    now = world.clock.now()

    def intend() -> Sequence[Event]:
        lanes = world.store.lanes(now)
        waiting = next(found for found in lanes if found.lane.id == lane)
        few = lone and waiting.pending < provider.min_requests
        if few and provider.lone_request == "error":
            events: Sequence[Event] = [_declined(provider, waiting, now)]
        else:
            via: Via = "live" if few and provider.lone_request == "live" else "batch"
            place = world.provider(record.provider, via)
            packets = _affordable(
                world, waiting.lane, via, partial(_packets, world, place, waiting, lanes, now)
            )
            events = [_intent(world, waiting.lane.id, packet, now, via) for packet in packets]
        world.store.commit(*events)
        return events

    for event in await world.db(intend):
        world.hook.event(event)


def _declined(provider: Provider, waiting: LaneRecord, now: float) -> RequestsDeclined:
    name = f"{provider.name}:{waiting.lane.model}"
    reason = (
        f"{name} takes no batch of fewer than {provider.min_requests} requests (min_requests), "
        f"{waiting.pending} waited, and no more would come. Set lone_request to batch or live "
        f"under [providers.{provider.name}.limits], then send it again with --failed."
    )
    return RequestsDeclined(lane=waiting.lane.id, requests=waiting.pending, reason=reason, at=now)


def _affordable(
    world: World, lane: Lane, via: Via, put_together: Callable[[frozenset[int]], Iterable[Packet]]
) -> Sequence[Packet]:
    """Return packets that no budget refuses; in a run that goes on, without jobs that are too dear.

    Raises:
        OverBudgetError: Nothing else waits.
    """
    without: frozenset[int] = frozenset()
    refused: OverBudgetError | None = None
    while True:
        packets = list(put_together(without))
        if not packets and refused is not None:
            raise refused
        try:
            _afford(world, lane, packets, via)
        except OverBudgetError as error:
            dear = _dear(world, packets, error.job) if world.goes_on else frozenset[int]()
            if not dear:
                raise
            without, refused = without | dear, error
        else:
            return packets


def _dear(world: World, packets: Sequence[Packet], job: JobAddress | None) -> frozenset[int]:
    """Return the jobs whose budget it is, or the one that would send the most."""
    sizes: dict[int, int] = {}
    for packet in packets:
        for part in packet.parts:
            sizes[part.job] = sizes.get(part.job, 0) + part.bytes
    if job is None:
        return frozenset(sorted(sizes, key=lambda one: (sizes[one], one))[-1:])
    return frozenset(one for one in sizes if group_of(world.store.job_name(one)) == job)


def _afford(world: World, lane: Lane, packets: Sequence[Packet], via: Via) -> None:
    if world.budget is not None and packets:
        world.budget.check(Sending(lane=lane, jobs=_jobs(world, packets), via=via))


def _intent(world: World, lane: LaneId, packet: Packet, now: float, via: Via) -> BatchIntended:
    return BatchIntended(
        id=world.mint(),
        lane=lane,
        parts=packet.parts,
        members=packet.members,
        bytes=packet.bytes,
        at=now,
        via=via,
        traceparent=None if world.tracing is None else world.tracing.traceparent,
    )


def _jobs(world: World, packets: Iterable[Packet]) -> dict[JobAddress, tuple[int, int]]:
    """Return requests, and the bytes of them that are prompt, by job."""
    totals: dict[JobAddress, tuple[int, int]] = {}
    each = ((part, packet.data.get(part.job, 0)) for packet in packets for part in packet.parts)
    for part, data in each:
        job = world.store.job_name(part.job)
        requests, size = totals.get(job, (0, 0))
        totals[job] = (requests + part.members, size + part.bytes - data)
    return totals


def _packets(  # noqa: PLR0913, PLR0917 - what it depends on
    world: World,
    provider: Provider,
    waiting: LaneRecord,
    lanes: Iterable[LaneRecord],
    now: float,
    without: frozenset[int],
) -> Iterable[Packet]:
    """Return what can be sent now, put together, but for some jobs; blocking.

    `now` is that of the intent: what is ready only a moment later is no member of it.
    """
    admission = _admission(world, provider, waiting, lanes, now)
    most = room(waiting, world.store.open_batches(), provider.max_requests)
    first = provider.canary and not waiting.proven and provider.via == "batch"
    canary = max(provider.canary, provider.min_requests) if first else 0
    requests = (one for one in world.store.pending(waiting.lane.id, now) if one.job not in without)
    packets = pack(
        admission.admitted(requests),
        max_requests=min(most, canary or most),
        max_bytes=min(provider.max_bytes, waiting.max_bytes or provider.max_bytes),
        min_requests=provider.min_requests,
    )
    # Where a queue was full one batch at a time shows whether it takes more: each is uploaded.
    probe = waiting.hold_kind is not None and provider.via == "batch"
    return islice(packets, 1) if probe or canary else packets


def _admission(
    world: World, provider: Provider, waiting: LaneRecord, lanes: Iterable[LaneRecord], now: float
) -> Admission:
    cap = provider.cap(waiting.lane.model)
    if cap is None:
        return Admission()
    everyone = (one.lane for one in lanes)
    others = under_way(waiting.lane, everyone, world.store.open_batches())
    return admission(waiting, cap, others, world.store.backlog(waiting.lane, now))


async def heed_canary(
    world: World, provider: Provider, record: BatchRecord, event: BatchCollected
) -> None:
    """End the run where a model answered none of the first requests sent to it.

    Raises:
        ProviderError: Every one of them was refused, and more wait.
    """
    if not provider.canary or event.replies or event.final < record.members:
        return
    lanes = await world.db(world.store.lanes, world.clock.now())
    lane = next(found for found in lanes if found.lane.id == record.lane)
    if lane.proven or not lane.pending + lane.later:
        return
    example = f"{next(iter(record.jobs), 'ADDRESS')} --failed"
    raise ProviderError(
        f"{provider.name}:{lane.lane.model} answered none of the first {record.members} requests, "
        f"so the other {lane.pending + lane.later} were not sent and wait (canary). What it said: "
        f"batchspec results {example}. Mend the cause, then apply again."
    )
