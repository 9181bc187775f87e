"""What happened, as sentences: for the plain view, and as `@message` of JSON events."""

from collections.abc import Mapping
from decimal import Decimal
from typing import assert_never

from batchspec.cli.views.words import clean, counted, ended, money
from batchspec.ids import BatchId, RemoteId
from batchspec.state.events import (
    AccountBound,
    BatchAbsent,
    BatchCollected,
    BatchDoubled,
    BatchEvent,
    BatchImported,
    BatchIntended,
    BatchLost,
    BatchNotSeen,
    BatchObserved,
    BatchRejected,
    BatchSubmitted,
    CallFailed,
    CancelDropped,
    CancelTaken,
    CancelWanted,
    CreateAttempted,
    Event,
    InputDeleted,
    InputKept,
    InputUploaded,
    PlanAgreed,
    RepliesRejudged,
    RequestsDeclined,
    ResultsDeleted,
    ToolsRun,
    UploadAttempted,
)
from batchspec.state.housekeeping import (
    AddressMoved,
    AnswersDeleted,
    BodiesDeleted,
    HousekeepingEvent,
    ItemsCancelled,
    ItemsForgotten,
    ItemsTainted,
    LeaseBroken,
    StateReplaced,
)
from batchspec.state.records import BatchRecord, CancelReason, ConversationPhase, JobProgress
from batchspec.state.watching import (
    GOOD,
    ConditionChanged,
    PlanGranted,
    RowsAwaited,
    WatchBegan,
    WatchEvent,
)

_WAITING: Mapping[ConversationPhase, str] = {
    "batched": "in batches",
    "tools": "running tools",
    "pending": "to send",
}
_WHY: Mapping[CancelReason, str] = {
    "unwanted": "no row wants its requests any more",
    "requested": "somebody asked for it",
    "double": "another batch has the same requests",
}


_FULL = " Its requests wait until a batch of the model ends, or are tried again later."


def short(batch: BatchId) -> str:
    """Return the end of our id; the beginning is the time and much the same for all of a run."""
    return f"…{batch[-8:]}"


def named(batch: BatchRecord) -> str:
    """Return the provider's id of a batch, or ours as long as it has none."""
    return clean(batch.remote_id or short(batch.id))


class Narrator:
    """Tells events; remembers how the provider calls each batch, which later events do not say."""

    def __init__(self) -> None:
        self._remote: dict[BatchId, RemoteId] = {}
        self._status: dict[BatchId, str] = {}

    def known(self, batch: BatchRecord) -> None:
        """Take note of a batch that exists already."""
        if batch.remote_id:
            self._remote.setdefault(batch.id, batch.remote_id)
        if batch.status:
            self._status.setdefault(batch.id, batch.status)

    def named_by_provider(self, batch: BatchRecord) -> None:
        """Take note of a name only, for what happened before."""
        if batch.remote_id:
            self._remote.setdefault(batch.id, batch.remote_id)

    def tell(self, event: Event) -> tuple[str, bool]:  # noqa: C901, PLR0911 - one per event
        """Return a sentence, and whether it is news for people who do not debug."""
        match event:
            case BatchIntended():
                what = counted(event.members, "request")
                return f"Batch {self._name(event.id)} put together: {what}.", False
            case BatchImported():
                self._remote[event.id] = event.remote_id
                what = counted(event.members, "request")
                return f"Batch {clean(event.remote_id)} imported: {what}.", True
            case BatchDoubled():
                self._remote[event.id] = event.remote_id
                twin = self._name(event.of)
                return f"Batch {clean(event.remote_id)} doubles {twin}; it is cancelled.", True
            case ToolsRun():
                return f"{clean(event.job)}: {counted(event.calls, 'tool call')} run.", True
            case RepliesRejudged():
                replies = counted(event.replies, "reply", "replies")
                told = f"{clean(event.job)}: {replies} judged again, {event.changed} differently."
                return told, event.replies > 0
            case PlanAgreed():
                rows = counted(event.added + event.changed, "row")
                return f"{clean(event.job)}: {rows} agreed to.", False
            case RequestsDeclined():
                return _declined(event), True
            case (
                LeaseBroken()
                | AddressMoved()
                | ItemsForgotten()
                | ItemsTainted()
                | ItemsCancelled()
                | AnswersDeleted()
                | StateReplaced()
                | BodiesDeleted()
            ):
                return _kept_house(event), True
            case ConditionChanged() | WatchBegan() | PlanGranted() | RowsAwaited():
                return _watched(event)
            case AccountBound():
                told = f"Provider {clean(event.provider)} is used with {clean(event.account)}."
                return told, False
            case _:
                return self._batch(event)

    def _batch(self, event: BatchEvent) -> tuple[str, bool]:  # noqa: PLR0911 - one per event
        name = self._name(event.id)
        match event:
            case BatchObserved():
                return self._observed(event)
            case CallFailed():
                return f"Batch {name}: {ended(event.reason)[:-1]}; trying again.", True
            case BatchRejected():
                then = _FULL if event.hold == "full" else ""
                return f"Batch {name} was refused: {ended(event.reason)}{then}", True
            case BatchLost():
                return f"Batch {name} is lost: {clean(event.reason)}", True
            case BatchCollected():
                return f"Batch {name} collected: {_collected(event)}.", True
            case CancelWanted() | CancelDropped() | CancelTaken():
                return self._stopping(event)
            case ResultsDeleted():
                return (
                    f"Results of batch {name} deleted at the provider; they are kept here.",
                    False,
                )
            case InputDeleted():
                return f"Input of batch {name} deleted at the provider.", False
            case InputKept():
                return f"Input of batch {name} is not deleted yet: {ended(event.reason)}", False
            case _:
                return self._begun(event)

    def _begun(
        self,
        event: UploadAttempted
        | InputUploaded
        | CreateAttempted
        | BatchNotSeen
        | BatchAbsent
        | BatchSubmitted,
    ) -> tuple[str, bool]:
        name = self._name(event.id)
        match event:
            case UploadAttempted():
                return f"Input of batch {name} is about to be uploaded.", False
            case InputUploaded():
                return f"Input of batch {name} uploaded as {clean(event.file)}.", False
            case CreateAttempted():
                return f"Batch {name} is about to be created.", False
            case BatchSubmitted():
                self._remote[event.id] = event.remote_id
                how = "found again at the provider" if event.adopted else "submitted"
                return f"Batch {self._name(event.id)} {how}.", True
            case BatchNotSeen():
                told = f"Batch {name} is not at the provider yet; it is looked for once more"
                return f"{told} before anything is paid.", True
            case BatchAbsent():
                return f"Batch {name} does not exist at the provider; it will be created.", True
        assert_never(event)

    def _stopping(self, event: CancelWanted | CancelDropped | CancelTaken) -> tuple[str, bool]:
        name = self._name(event.id)
        match event:
            case CancelWanted():
                return f"Batch {name} is to be cancelled: {_WHY[event.reason]}.", True
            case CancelDropped():
                return f"Batch {name} is wanted again and goes on.", True
            case CancelTaken():
                self._status[event.id] = event.status
                told = f"Batch {name} is being cancelled; what it has by then is still collected."
                return told, True
        assert_never(event)

    def _name(self, batch: BatchId) -> str:
        return clean(self._remote.get(batch, short(batch)))

    def _observed(self, event: BatchObserved) -> tuple[str, bool]:
        news = self._status.get(event.id) != event.status
        self._status[event.id] = event.status
        done = f"{event.counts.completed:,} of {event.counts.total:,} done"
        return f"Batch {self._name(event.id)} is {event.status}, {done}.", news


def _kept_house(event: HousekeepingEvent) -> str:  # noqa: PLR0911 - one per event
    match event:
        case LeaseBroken():
            machine = clean(event.host.partition("/")[0])
            who = f"`{clean(event.operation)}` of process {event.pid} on {machine}"
            return f"The lease was taken away from {who}."
        case AddressMoved():
            return f"{clean(event.old)} is {clean(event.new)} now."
        case ItemsForgotten():
            return f"{clean(event.address)}: {counted(event.items, 'item')} forgotten."
        case ItemsTainted():
            what = "tainted" if event.tainted else "not tainted any more"
            return f"{clean(event.job)}: {counted(event.items, 'item')} {what}."
        case AnswersDeleted():
            return f"{clean(event.job)}: {counted(event.answers, 'answer')} deleted."
        case ItemsCancelled():
            stopped = counted(event.waiting, "waiting item")
            told = f"{clean(event.job)}: {stopped} cancelled"
            if not event.in_flight:
                return f"{told}."
            one = "1 in a batch is to end" if event.in_flight == 1 else ""
            more = one or f"{event.in_flight:,} in batches are to end"
            return f"{told}, {more}: with the answer that still comes, or as cancelled."
        case StateReplaced():
            return f"The state was replaced by a copy with serial {event.serial}."
        case BodiesDeleted():
            files = counted(event.segments, "file")
            return f"{files} of bodies without use deleted, {event.bytes:,} bytes."
    assert_never(event)


def _watched(event: WatchEvent) -> tuple[str, bool]:
    match event:
        case ConditionChanged():
            whose = f"{event.job}: " if event.job else ""
            good = GOOD.get(event.type, event.status)
            # How far jobs are is told by their counts.
            told = event.type not in {"Progressing", "Converged"}
            news = told and (event.status != good or event.before not in {None, good})
            return f"{whose}{event.message}", news
        case WatchBegan():
            return "What is spent from here on counts against --max-cost.", False
        case PlanGranted():
            who = "by a person" if event.by == "person" else "by the rules of --approve=all"
            cost = (
                ""
                if event.at_most is None
                else f": {money(Decimal(event.at_most), at_most=True)} at most"
            )
            return f"Plan {event.plan[:12]} was agreed to {who}{cost}.", True
        case RowsAwaited():
            return f"{', '.join(event.jobs)}: rows are made of answers that come.", False


def _collected(event: BatchCollected) -> str:
    parts = [counted(event.final, "item") + " final"]
    if event.tools:
        parts.append(f"{event.tools:,} with tools to run")
    if event.pending:
        parts.append(f"{event.pending:,} to send")
    if event.unmatched:
        parts.append(f"{counted(event.unmatched, 'stray line')}")
    return ", ".join(parts)


def standing(job: JobProgress) -> str:
    """Return how far a job is: `120 of 500 final, 3 failed`."""
    failed = f", {job.failed:,} failed" if job.failed else ""
    return f"{job.final:,} of {job.items:,} final{failed}"


def waiting(job: JobProgress) -> str:
    """Return where the items are that are not final; empty when all are."""
    return ", ".join(f"{job.phases[p]:,} {w}" for p, w in _WAITING.items() if job.phases.get(p))


def _declined(event: RequestsDeclined) -> str:
    return f"{counted(event.requests, 'request')} failed: {clean(event.reason)}"
