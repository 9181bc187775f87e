"""What to do next, from what is: the reconciler's heart, without I/O, clock, dice or ids.

Level-based: every pass reads the whole snapshot and says what each record needs, whatever happened
before. The number of records grows with jobs and open batches, never with rows.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from batchspec.ids import JobAddress, LaneId
from batchspec.reconcile.actions import (
    Action,
    Adopt,
    Cancel,
    Collect,
    Expand,
    Pack,
    Poll,
    Rejudge,
    RunHooks,
    RunTools,
    Submit,
    Tidy,
)
from batchspec.reconcile.admit import admits, under_way
from batchspec.state.records import BatchRecord, JobTools, LaneRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What is recorded and wanted, as far as the next step depends on it.

    Attributes:
        lanes: What waits, by provider, endpoint and model.
        batches: Batches that are neither collected nor rejected.
        untidy: Some of the batches that are done with and whose input file is still there.
        tools: Jobs with tool calls that can run now.
        caps: Prompt tokens that may be under way, by lane, where that is bounded.
        canaries: Lanes of models that never answered, which get one small batch to begin with.
        minimum: Requests below which a lane waits for more, where it is more than one.
        waiting: Jobs whose rows come from others that are not expanded yet, with those others.
        fresh: Those of them that are eager and whose others have answers nobody has looked at.
        coming: Provider, endpoint and model of each waiting job.
        unjudged: Jobs whose stored replies are to be judged again.
        unfinished: Jobs with an item that is not final.
        hooks: Jobs whose hooks are to be told something, and when, in unix seconds.
        draining: True after an interrupt: nothing new is begun.
    """

    lanes: Sequence[LaneRecord] = ()
    batches: Sequence[BatchRecord] = ()
    untidy: Sequence[BatchRecord] = ()
    tools: Sequence[JobTools] = ()
    caps: Mapping[LaneId, int] = field(default_factory=dict[LaneId, int])
    canaries: frozenset[LaneId] = frozenset()
    minimum: Mapping[LaneId, int] = field(default_factory=dict[LaneId, int])
    waiting: Mapping[JobAddress, Sequence[JobAddress]] = field(
        default_factory=dict[JobAddress, Sequence[JobAddress]]
    )
    fresh: frozenset[JobAddress] = frozenset()
    coming: Mapping[JobAddress, tuple[str, str, str]] = field(
        default_factory=dict[JobAddress, tuple[str, str, str]]
    )
    unjudged: Sequence[JobAddress] = ()
    unfinished: frozenset[JobAddress] = frozenset()
    hooks: Mapping[JobAddress, float] = field(default_factory=dict[JobAddress, float])
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done now, and when to look again if nothing happens before.

    `wake_at` is None when nothing waits for the time; with no actions either, all is done.
    """

    actions: tuple[Action, ...]
    wake_at: float | None

    @property
    def done(self) -> bool:
        """Tell whether there is nothing to do and nothing to wait for."""
        return not self.actions and self.wake_at is None


def decide(snapshot: Snapshot, now: float) -> Step:
    """Say what to do next.

    Args:
        snapshot: What is.
        now: Unix seconds.
    """
    if snapshot.draining:
        return Step((), None)
    actions: list[Action] = []
    times: list[float] = []
    for batch in snapshot.batches:
        _due(_for_batch(batch), batch.next_at, now, actions, times)
    for batch in snapshot.untidy:
        _due(Tidy(batch.id), batch.next_at, now, actions, times)
    actions += [Rejudge(job) for job in snapshot.unjudged]
    actions += [RunTools(tools.job) for tools in snapshot.tools]
    actions += _expansions(snapshot)
    _packs(snapshot, now, actions, times)
    # Last: requests wait for nobody who is told what became of others.
    for job, at in snapshot.hooks.items():
        _due(RunHooks(job), at, now, actions, times)
    return Step(tuple(actions), min(times, default=None))


def _due(action: Action, at: float, now: float, actions: list[Action], times: list[float]) -> None:
    if at <= now:
        actions.append(action)
    else:
        times.append(at)


def _for_batch(batch: BatchRecord) -> Action:
    if batch.phase == "ended":
        return Collect(batch.id)
    if batch.phase == "submitted":
        return Cancel(batch.id) if batch.to_cancel else Poll(batch.id)
    if batch.create_at is not None:
        return Adopt(batch.id)
    return Submit(batch.id) if batch.cancel_at is None else Cancel(batch.id)


def _expansions(snapshot: Snapshot) -> Iterator[Expand]:
    """Say of which jobs rows are known now: all of them, or more than before.

    Rows come from outcomes: those that may still change, by a reply or by a judgement, are none.
    """
    open_ = {*snapshot.unfinished, *snapshot.waiting, *snapshot.unjudged}
    # What is being read is in within seconds, and worth one batch instead of many.
    read = {job for batch in snapshot.batches if batch.phase == "ended" for job in batch.jobs}
    unsettled = read.union(snapshot.unjudged)
    for job, upstream in snapshot.waiting.items():
        if open_.isdisjoint(upstream):
            yield Expand(job)
        elif job in snapshot.fresh and unsettled.isdisjoint(upstream):
            yield Expand(job, whole=False)


def _packs(snapshot: Snapshot, now: float, actions: list[Action], times: list[float]) -> None:
    """Pack what waits in lanes, those with too little last: others may bring them more."""
    lanes = [record.lane for record in snapshot.lanes]
    few: list[LaneRecord] = []
    growing = {snapshot.coming.get(one.job) for one in actions if isinstance(one, Expand)}
    for lane in snapshot.lanes:
        if lane.ready_at is not None:
            times.append(lane.ready_at)
        others = under_way(lane.lane, lanes, snapshot.batches)
        if lane.lane.id in snapshot.canaries and _open_in(lane, snapshot):
            continue
        if not lane.pending or not admits(lane, snapshot.caps.get(lane.lane.id), others):
            continue
        if lane.pending < snapshot.minimum.get(lane.lane.id, 1):
            few.append(lane)
        elif _gathered(lane, snapshot, growing):
            _due(Pack(lane.lane.id), lane.hold_until, now, actions, times)
    busy = bool(snapshot.batches or actions or times)
    for lane in few:
        if not _more_may_come(lane, snapshot, busy=busy):
            _due(Pack(lane.lane.id, lone=True), lane.hold_until, now, actions, times)


def _more_may_come(lane: LaneRecord, snapshot: Snapshot, *, busy: bool) -> bool:
    """Tell whether requests may join those that wait in a lane.

    Members of its open batches may come back or go on, tool calls lead to next turns, requests
    wait for their time, and jobs for others, as long as anything is done that they can wait for.
    """
    if lane.later or (lane.tools and snapshot.tools):
        return True
    if _open_in(lane, snapshot):
        return True
    return busy and _model(lane) in snapshot.coming.values()


def _open_in(lane: LaneRecord, snapshot: Snapshot) -> bool:
    return any(batch.lane == lane.lane.id for batch in snapshot.batches)


def _model(lane: LaneRecord) -> tuple[str, str, str]:
    return lane.lane.provider, lane.lane.endpoint, lane.lane.model


def _gathered(
    lane: LaneRecord, snapshot: Snapshot, growing: Collection[tuple[str, str, str] | None]
) -> bool:
    """Tell whether a lane has all that is about to wait in it, so that batches become few and full.

    Tool calls that run, rows that are being made of answers, and results that are being read add to
    the lane within seconds; batches at the provider may take a day and are not waited for, nor are
    calls that cannot run now.
    """
    if (lane.tools and snapshot.tools) or _model(lane) in growing:
        return False
    return not any(b.phase == "ended" and b.lane == lane.lane.id for b in snapshot.batches)
