"""Shorthand for what a planner and a loop do with a store, so that tests can say what matters."""

from collections.abc import Mapping, Sequence
from typing import Any

from batchspec.desired.expand import DesiredRow
from batchspec.fingerprint import Fingerprinter, canonical_json
from batchspec.ids import BatchId, FileId, JobAddress, LaneId, RecordRef, RemoteId
from batchspec.messages import Contract, ToolCall, Usage
from batchspec.plan.changes import Kind
from batchspec.plan.diff import classify
from batchspec.reconcile.pack import pack
from batchspec.state.events import (
    BatchCollected,
    BatchIntended,
    BatchObserved,
    BatchSubmitted,
    CreateAttempted,
    InputUploaded,
    PlanAgreed,
)
from batchspec.state.records import RequestCounts
from batchspec.state.settlement import Answered, AskAgain, CallTools, SendAgain, Settlement
from batchspec.state.stored import Judged
from batchspec.store.draft import SqliteDraft
from batchspec.store.sqlite import StateStore

MODEL = Contract(provider="openai", endpoint="/v1/chat/completions", model="gpt-5-mini")
ANSWERED = Answered("succeeded")
CALLS = CallTools((ToolCall("call_1", "f", "{}"), ToolCall("call_2", "g", '{"x":1}')))
Rows = Mapping[str, str]


def desired(key: str, text: str, contract: Contract = MODEL) -> DesiredRow:
    messages = canonical_json([{"role": "user", "content": text}])
    fingerprint = Fingerprinter(contract.canonical())(messages)
    return DesiredRow(key, fingerprint, canonical_json({"id": key}), messages, None)


def drafted(
    store: StateStore,
    plan: str,
    jobs: Mapping[str, Rows],
    *,
    removed: Sequence[str] = (),
    replace: bool = False,
    contract: Contract = MODEL,
) -> tuple[SqliteDraft, list[PlanAgreed], list[Kind]]:
    """Plan some jobs into a draft, as the planner does."""
    draft = store.draft(plan)
    events: list[PlanAgreed] = []
    kinds: list[Kind] = []
    for name, texts in jobs.items():
        job = JobAddress(name)
        known = draft.begin(job, contract, b"policy")
        rows = [desired(key, text, contract) for key, text in texts.items()]
        found = [
            classify(row, was, known_job=known, replace_it=replace)[0]
            for row, was in zip(rows, draft.look(job, rows), strict=True)
        ]
        assert draft.put(job, list(zip(rows, found, strict=True)), lambda m: 100 + len(m)) == ()
        kinds += found
        events.append(PlanAgreed(plan=plan, job=job, added=len(rows), changed=0, removed=0, at=1.0))
    for name in removed:
        draft.forget_job(JobAddress(name))
    return draft, events, kinds


def agree(store: StateStore, plan: str, jobs: Mapping[str, Rows], **options: Any) -> list[Kind]:
    """Plan some jobs and agree to it; returns what happens to each row."""
    draft, events, kinds = drafted(store, plan, jobs, **options)
    store.agree(draft, plan, events)
    return kinds


def send(store: StateStore, name: str = "b1", lane: int = 1) -> BatchId:
    """Put what waits in a lane into one batch, and record that it ended."""
    batch = intend(store, name, lane)
    store.commit(
        InputUploaded(id=batch, file=FileId("file-in"), at=3.0),
        CreateAttempted(id=batch, at=4.0),
        BatchSubmitted(
            id=batch, remote_id=RemoteId(f"r-{name}"), status="validating", at=5.0, next_at=6.0
        ),
        BatchObserved(
            id=batch,
            status="completed",
            counts=RequestCounts(1, 1, 0),
            output_file_id=FileId("file-out"),
            error_file_id=None,
            ended=True,
            at=7.0,
            next_at=7.0,
        ),
    )
    return batch


def intend(store: StateStore, name: str = "b1", lane: int = 1) -> BatchId:
    """Put what waits in a lane into one batch."""
    packet = next(pack(store.pending(LaneId(lane)), max_requests=10**6, max_bytes=10**9))
    batch = BatchId(name)
    store.commit(
        BatchIntended(
            id=batch,
            lane=LaneId(lane),
            parts=packet.parts,
            members=packet.members,
            bytes=packet.bytes,
            at=2.0,
        )
    )
    return batch


def collect(
    store: StateStore, batch: BatchId, settlement: Settlement = ANSWERED, text: bytes = b"reply"
) -> BatchCollected:
    """Settle every member of a batch in the same way."""
    replies, further = store.open_segment("replies"), store.open_segment("requests")
    with store.collecting(batch, [replies, further]) as collection:
        members = list(collection.members().values())
        collection.record(
            [
                Judged(
                    member,
                    settlement,
                    None if isinstance(settlement, SendAgain) else replies.append(text),
                    Usage(10, 0, 5, 0),
                    0.5,
                    RecordRef(further.append(b"[]")) if isinstance(settlement, AskAgain) else None,
                    50,
                )
                for member in members
            ]
        )
        event = BatchCollected(
            id=batch, at=8.0, final=len(members), tools=0, pending=0, unmatched=0
        )
        store.apply_event(event)
    return event


def answer(
    store: StateStore, name: str, settlement: Settlement = ANSWERED, text: bytes = b"reply"
) -> None:
    """Send what waits and settle it."""
    collect(store, send(store, name), settlement, text)


def shown(store: StateStore, job: str = "m.j") -> dict[str, tuple[str | None, bytes | None, bool]]:
    """Return (outcome, reply, whether it is the old one) of the items of a job."""
    with store.reader() as reader:
        return {
            str(item.key): (item.outcome, item.line, item.previous)
            for item in reader.items(JobAddress(job))
        }


def phases(store: StateStore, job: str = "m.j") -> dict[str, int]:
    return dict(next(p.phases for p in store.progress() if p.address == job))
