"""Reading the results of an ended batch: both files, line by line, each line judged alone.

First the files are downloaded into the state's own bodies, as they are; then all members are
settled in one transaction. A crash in between costs a second download, never an answer.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import anyio
from pydantic_core import from_json, to_json

from batchspec.apply.download import abandon, download_both
from batchspec.apply.failing import call_failed
from batchspec.apply.further import asked_again
from batchspec.apply.lost import LOOKS
from batchspec.apply.packing import heed_canary
from batchspec.apply.world import LocalJob, World, stored_row
from batchspec.ids import BatchId, JobAddress, RecordRef
from batchspec.messages import LineError, Reply, Usage
from batchspec.ports import (
    Body,
    Collection,
    Exchange,
    Provider,
    Tokens,
    Tracing,
)
from batchspec.ports.providers import line_overhead
from batchspec.reconcile.retry import again_at
from batchspec.reconcile.settle import Judge, settle
from batchspec.spec.context import RunContext
from batchspec.spec.output.members import DEFAULT_NAME
from batchspec.state.events import BatchCollected
from batchspec.state.records import BatchRecord
from batchspec.state.remote import CallError, Throttled
from batchspec.state.settlement import Answered, AskAgain, CallTools, SendAgain, Settlement
from batchspec.state.stored import (
    Judged,
    Member,
)

_CHUNK = 1000
_ORPHAN = Judge(output_retries=0, max_turns=1)
"""For conversations whose job was removed by agreement: the reply is kept, nothing is sent."""
_NO_USAGE = Usage()
_UNWANTED = Answered("cancelled", "No row wants it any more.")
_PHASE: dict[type, str] = {
    Answered: "final",
    CallTools: "tools",
    AskAgain: "pending",
    SendAgain: "pending",
}


class _NothingOfOurs(Exception):  # noqa: N818 - reads as what was found
    """Result files without any line of ours: an error page, or not written yet."""


async def do_collect(world: World, batch: BatchId) -> None:
    """Download both result files of an ended batch and settle its members."""
    record = await world.db(world.store.batch, batch)
    lane = await world.db(world.store.lane, record.lane)
    provider = world.provider(lane.provider, record.via)
    if record.double_of is not None:
        now = world.clock.now()
        await world.commit(
            BatchCollected(id=batch, at=now, final=0, tools=0, pending=0, unmatched=0, unread=True)
        )
        return
    removed = world.orphans | await world.db(world.store.removed_jobs)
    away = [job for job in record.jobs if job not in world.jobs and job not in removed]
    if away:
        world.held.add(batch)
        world.hook.warning(
            f"Batch {record.remote_id} has ended, but {', '.join(away)} is not in the specs now. "
            "Its replies cannot be judged; they wait at the provider until it is back."
        )
        return
    bodies: list[Body] = []
    try:
        lost = await download_both(world, provider, record, bodies)
    except CallError as error:
        await world.db(abandon, bodies)
        await call_failed(world, provider, record, error)
        return
    if lost is None:
        await world.db(abandon, bodies)
        return
    try:
        event, tokens = await world.db(_settle_all, world, provider, record, bodies, lost)
    except _NothingOfOurs:
        reason = "the result files hold no answer to ours, though some requests were answered"
        await call_failed(world, provider, record, Throttled(reason))
        return
    world.collected.set()
    world.collected = anyio.Event()
    if world.tracing is not None:
        world.tracing.took(batch, tokens)
    world.hook.event(event)
    await heed_canary(world, provider, record, event)


def _settle_all(
    world: World,
    provider: Provider,
    record: BatchRecord,
    bodies: Sequence[Body],
    lost: bool,  # noqa: FBT001
) -> tuple[BatchCollected, Mapping[Tokens, int]]:
    store = world.store
    for body in bodies:
        store.close_segment(body)
    further = store.open_segment("turns")
    with store.collecting(record.id, [further]) as collection:
        settling = _Settling(world, provider, record, collection, further)
        for body in bodies:
            if body.records:
                settling.read(body)
        if not (lost or settling.replies) and _answered(record) and record.failures < LOOKS:
            raise _NothingOfOurs
        settling.finish(lost=lost)
        event = settling.event(world.clock.now(), lost=lost)
        store.apply_event(event)
    return event, settling.tokens


def _answered(record: BatchRecord) -> bool:
    return record.counts.completed > 0 and bool(record.output_file_id)


class _Settling:
    """Settles the members of one batch inside one transaction, in chunks."""

    def __init__(
        self,
        world: World,
        provider: Provider,
        record: BatchRecord,
        collection: Collection,
        further: Body,
    ) -> None:
        self._world = world
        self._provider = provider
        self._record = record
        self._collection = collection
        self._further = further
        self._members = collection.members()
        self._chunk: list[Judged] = []
        lane = world.store.lane(record.lane)
        self._wire = provider.wire(lane.endpoint)
        self._meter = world.prices.meter(provider.name, lane.model, via=record.via)
        self._errors: dict[str, tuple[LineError, RecordRef]] = {}
        self._unmatched = 0
        self._orphaned: set[JobAddress] = set()
        self.replies = 0
        self._attempts = 0
        self._counts = {"final": 0, "tools": 0, "pending": 0}
        self._overheads: dict[int, int] = {}
        self._recorder = world.recorders.get(provider.name)
        self._tracing = world.tracing
        self._told = world.tracing is not None and world.tracing.contents
        self.tokens = Counter[Tokens]()

    def read(self, body: Body) -> None:
        """Settle the members a result file has replies for; the first reply of a member counts."""
        decode, judge = self._wire.decode, self._judge
        members, chunk = self._members, self._chunk
        for ref, line in self._world.store.scan(body.segment):
            custom_id, result = decode(line)
            if isinstance(result, LineError):
                self._note(custom_id, result, ref)
                continue
            member = members.pop(custom_id or "", None)
            if member is None:
                self._unmatched += 1
                continue
            self.replies += 1
            chunk.append(judge(member, result, ref, line))
            if len(chunk) >= _CHUNK:
                self._flush()

    def _note(self, custom_id: str | None, error: LineError, ref: RecordRef) -> None:
        """Keep an error until all is read: a reply for the same member counts more."""
        if custom_id in self._members and custom_id not in self._errors:
            self._errors[custom_id] = (error, ref)
        else:
            self._unmatched += 1

    def finish(self, *, lost: bool) -> None:
        """Settle the members no reply was for."""
        missing = (_missing(self._record, lost=lost), None)
        for custom_id, member in self._members.items():
            error, ref = self._errors.get(custom_id, missing)
            self._chunk.append(self._judge(member, error, ref, b""))
            if len(self._chunk) >= _CHUNK:
                self._flush()
        self._flush()
        self._collection.abandon()
        if self._attempts:
            pace = self._world.pace_of(self._provider)
            self._collection.delay(
                again_at(
                    self._world.clock.now(),
                    self._attempts,
                    first=pace.poll,
                    cap=pace.max_poll,
                    name=self._record.id,
                )
            )
        if self._recorder is not None:
            self._recorder.flush()
        self._collection.leave_unjudged(self._orphaned)

    def _judge(self, member: Member, result: Reply | LineError, ref: Any, line: bytes) -> Judged:
        local = self._world.jobs.get(member.job)
        judge = _ORPHAN if local is None else local.judge
        settlement = settle(
            result,
            judge,
            turn=member.turn,
            attempts=member.attempts,
            output_retries=member.output_retries,
            context=partial(self._context, member, local),
        )
        if local is None:
            self._orphaned.add(member.job)
            if isinstance(result, Reply) and result.tool_calls:
                settlement = _unjudged(result, wanted=member.wanted)
        if member.wanted and _we_cancelled(self._record, settlement):
            settlement = SendAgain("its batch was cancelled and a row wants it", wait=False)
        if self._recorder is not None and ref is not None and _lasts(result):
            self._keep(member, line or self._world.store.body(ref))
        if not isinstance(result, Reply):
            return Judged(member, settlement, ref, _NO_USAGE, 0.0)
        if self._tracing is not None:
            self._trace(self._tracing, member, result)
        cost = None if self._meter is None else self._meter(result.usage)
        if isinstance(settlement, Answered) and settlement.text:
            answer = self._further.append(to_json(settlement.text))
            return Judged(member, settlement, ref, result.usage, cost, answer)
        if isinstance(settlement, AskAgain):
            request, size = self._next(member, line, settlement)
            return Judged(member, settlement, ref, result.usage, cost, request, size)
        return Judged(member, settlement, ref, result.usage, cost)

    def _trace(self, tracing: Tracing, member: Member, reply: Reply) -> None:
        """Count what a reply took, and tell what it says to who asked for it."""
        usage = reply.usage
        self.tokens[Tokens(member.job, usage.input_tokens, usage.output_tokens)] += 1
        if self._told:
            said = Exchange(
                batch=self._record.id,
                job=member.job,
                custom_id=member.custom_id,
                messages=self._world.store.body(member.request).partition(b"\t")[0],
                reply=reply,
            )
            tracing.replied(said)

    def _keep(self, member: Member, line: bytes) -> None:
        """Keep what a request got."""
        store = self._world.store
        messages = from_json(store.body(member.request).partition(b"\t")[0])
        body = self._wire.body(store.contract(member.contract).at(member.turn), messages)
        if self._recorder is not None:
            self._recorder.record(member.custom_id, body, line)

    def _context(self, member: Member, local: LocalJob | None) -> RunContext[Any]:
        key, row = self._world.store.owner(member.conversation)
        return RunContext(
            deps=local.deps() if local else None,
            job=member.job,
            key=key or "",
            row={} if row is None else stored_row(self._world, row),
            turn=member.turn,
            retry=member.output_retries,
        )

    def _next(self, member: Member, line: bytes, ask: AskAgain) -> tuple[Any, int]:
        """Write the messages of the next turn; returns where they are and their line's size."""
        encoded = asked_again(self._world, self._wire, member.request, line, ask)
        size = self._wire.size(encoded) + self._overhead(member.contract)
        return self._further.append(encoded), size

    def _overhead(self, contract: int) -> int:
        if contract not in self._overheads:
            fixed = self._world.store.contract(contract).at(2)
            self._overheads[contract] = line_overhead(self._wire, fixed)
        return self._overheads[contract]

    def _flush(self) -> None:
        """Write what was judged, in place: `read` goes on with the same list."""
        self._collection.record(self._chunk)
        for judged in self._chunk:
            # What no row wants goes no further, and ends below.
            phase = _PHASE[type(judged.settlement)] if judged.member.wanted else "final"
            self._counts[phase] += 1
            if isinstance(judged.settlement, SendAgain) and judged.settlement.wait:
                self._attempts = max(self._attempts, judged.member.attempts + 1)
        self._chunk.clear()

    def event(self, now: float, *, lost: bool) -> BatchCollected:
        """Return what became of the batch."""
        return BatchCollected(
            id=self._record.id,
            at=now,
            final=self._counts["final"],
            tools=self._counts["tools"],
            pending=self._counts["pending"],
            unmatched=self._unmatched,
            replies=self.replies,
            unread=lost or (not self.replies and _answered(self._record)),
        )


def _unjudged(reply: Reply, *, wanted: bool) -> Settlement:
    """Return what becomes of calls that nobody is there to run or to judge."""
    if any(call.name.startswith(DEFAULT_NAME) for call in reply.tool_calls):
        return Answered("succeeded")  # an output: it is judged once its job is back
    return _UNWANTED if wanted else CallTools(reply.tool_calls)


def _we_cancelled(record: BatchRecord, settlement: Settlement) -> bool:
    """Tell whether a member did not run because we cancelled its batch, for no row or a person.

    Who still wants it gets it; what a person stopped ends once it is back.
    """
    cancelled = isinstance(settlement, Answered) and settlement.outcome == "cancelled"
    return cancelled and record.cancel_reason in {"unwanted", "requested"}


def _lasts(result: Reply | LineError) -> bool:
    """Whether the same request would get the same again; what may pass is no answer to replay."""
    return isinstance(result, Reply) or result.kind == "rejected"


def _missing(record: BatchRecord, *, lost: bool) -> LineError:
    """Say why a member has no line in either file."""
    if lost:
        message = "the provider does not have the result file any more; it was probably billed"
        return LineError("lost", "result_lost", message)
    if record.status == "cancelled":
        return LineError("never_ran", "batch_cancelled", "the batch was cancelled before it ran")
    if record.status == "expired":
        return LineError("never_ran", "batch_expired", "the batch expired before it ran")
    return LineError("retryable", "line_missing", "neither result file has a line for it")
