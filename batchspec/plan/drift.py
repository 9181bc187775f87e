"""What the provider says against what is recorded: pure, one open batch at a time.

Normal progress is no drift, and neither is a cancellation that was asked for here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from batchspec.ids import BatchId, FileId, JobAddress, RemoteId
from batchspec.plan.changes import Finding, JobPlan, Kind
from batchspec.state.kinds import ReasonCode
from batchspec.state.records import TERMINAL, BatchRecord
from batchspec.state.remote import NotFound, RemoteBatch, RemoteError
from batchspec.state.stored import DraftTotals

_RETENTION = 30 * 86_400.0
"""Seconds a provider keeps result files at most, from the end of their batch."""
_WARN = 7 * 86_400.0
"""Seconds before that from which on one is told."""


@dataclass(frozen=True, slots=True)
class Look:
    """What came of looking at one batch.

    Attributes:
        remote: The batch as the provider tells it; None: it does not know it.
        why_not: The provider's words when it does not.
        gone: Result files of it that the provider does not have any more.
    """

    remote: RemoteBatch | None
    why_not: str = ""
    gone: Sequence[FileId] = ()


def not_known(error: NotFound) -> Look:
    """Return what it means that a provider does not know a batch."""
    return Look(None, str(error))


def drifted(record: BatchRecord, look: Look, lineage: str) -> list[Finding]:
    """Say what became of a batch that is not as recorded, beyond normal progress.

    Args:
        record: What is recorded of a batch that was submitted and is not collected.
        look: What the provider says.
        lineage: Of our state.
    """
    if record.double_of is not None:  # never read, and cancelled by us
        return []
    remote = look.remote
    if remote is None:
        return [_found(record, "BATCH_GONE", rows=record.members, note=look.why_not)]
    found: list[Finding] = []
    tag = remote.metadata.get("lineage")
    if tag not in {None, lineage} and not record.imported:
        found.append(_found(record, "FOREIGN_LINEAGE", note=f"…{str(tag)[-8:]}"))
    if look.gone:
        files = ", ".join(look.gone)
        found.append(_found(record, "OUTPUT_GONE", rows=record.members, note=files))
    elif (ended := _ended(record, remote)) is not None:
        found.append(ended)
    return found


def _ended(record: BatchRecord, remote: RemoteBatch) -> Finding | None:
    counts = remote.counts
    answered = min(record.members, counts.completed + counts.failed)
    rest = record.members - answered
    match remote.status:
        case "expired":
            return _found(record, "BATCH_EXPIRED", answered=answered, rows=rest, again=rest)
        case "cancelling" | "cancelled" if record.cancel_at is None:
            note = "under way" if remote.status == "cancelling" else None
            return _found(
                record, "BATCH_CANCELLED_REMOTELY", answered=answered, rows=rest, note=note
            )
        case "failed" if record.cancel_at is None:
            return _found(
                record,
                "BATCH_FAILED",
                answered=answered,
                rows=rest,
                again=rest,
                note=_told(remote.errors),
            )
        case _:
            return None


def _told(errors: Sequence[RemoteError]) -> str | None:
    if not errors:
        return None
    first, *more = errors
    line = f" (line {first.line})" if first.line else ""
    others = f", and {len(more)} more" if more else ""
    return f"{first.code}: {first.message}{line}{others}"


def elsewhere(record: BatchRecord, why: str) -> Finding:
    """Return what is told of a batch at another account than the one that would be asked."""
    return _found(record, "ACCOUNT_CHANGED", note=why)


def unknown_outcome(record: BatchRecord, note: str | None = None) -> Finding:
    """Return what is told of a batch whose creation got no answer.

    Args:
        record: What is recorded.
        note: What a look for it found, or why none was possible; None: what the last one said.
    """
    found = _found(record, "OUTCOME_UNKNOWN", rows=record.members, note=note or record.note)
    return replace(found, kind=Kind.UNKNOWN, since=record.create_at)


def is_unknown(record: BatchRecord) -> bool:
    """Tell whether a batch may have been created, and nobody knows yet."""
    return record.create_at is not None and record.remote_id is None


def _found(  # noqa: PLR0913 - what a finding has
    record: BatchRecord,
    code: ReasonCode,
    *,
    answered: int | None = None,
    rows: int = 0,
    again: int = 0,
    note: str | None = None,
) -> Finding:
    return Finding(
        kind=Kind.DRIFT,
        code=code,
        batch=record.id,
        remote_id=record.remote_id,
        jobs=record.jobs,
        requests=record.members,
        answered=answered,
        rows=rows,
        again=again,
        note=note,
    )


def expiring(record: BatchRecord, now: float, remote: RemoteBatch | None = None) -> str | None:
    """Return a warning that results not downloaded yet are deleted soon; None: no hurry.

    Files are deleted 30 days after their batch has ended; when it ended is not known better than
    that it was after its creation, and a day later at most.

    Args:
        record: What is recorded.
        now: Unix seconds.
        remote: What the provider says; None: it was not asked.
    """
    if record.submitted_at is None or record.account is None:  # not sent, or it runs here
        return None
    if remote is not None and remote.status not in TERMINAL:
        return None
    left = record.submitted_at + _RETENTION - now
    if left > _WARN:
        return None
    days = max(1, round(left / 86_400))
    soon = f"in about {days} day{'' if days == 1 else 's'}"
    when = soon if left > 0 else "any moment"
    return (
        f"The results of batch {record.remote_id} are not downloaded, and the provider deletes "
        f"them {when}: `batchspec refresh` fetches them, free."
    )


@dataclass(frozen=True, slots=True)
class Shares:
    """What drift means for jobs: rows concerned, and requests that go again without being asked."""

    rows: Mapping[JobAddress, int] = field(default_factory=dict[JobAddress, int])
    again: Mapping[JobAddress, DraftTotals] = field(default_factory=dict[JobAddress, DraftTotals])


def shares(findings: Iterable[Finding], sizes: Mapping[BatchId, int]) -> Shares:
    """Divide what was found over the jobs of each batch, in proportion to their requests.

    The provider tells how many of a batch, not which. A batch counts once.

    Args:
        findings: What was found.
        sizes: Bytes of the batches' input files.
    """
    rows: dict[JobAddress, int] = {}
    again: dict[JobAddress, DraftTotals] = {}
    seen: set[BatchId] = set()
    for finding in findings:
        if finding.kind is not Kind.DRIFT or not finding.rows or finding.batch in seen:
            continue
        seen.add(finding.batch)
        for job, members in finding.jobs.items():
            rows[job] = rows.get(job, 0) + _part(finding.rows, members, finding.requests)
            requests = _part(finding.again, members, finding.requests)
            size = sizes.get(finding.batch, 0) * requests // max(finding.requests, 1)
            before = again.get(job, DraftTotals(0, 0))
            if requests:
                again[job] = DraftTotals(before.requests + requests, before.bytes + size)
    return Shares(rows, again)


def _part(number: int, members: int, requests: int) -> int:
    """Return the share of a job, rounded up, so that an estimate is rather too high."""
    return -(-number * members // requests) if requests else 0


def with_drift(plan: JobPlan, rows: Mapping[JobAddress, int]) -> JobPlan:
    """Return a plan whose rows under way are told as drift where the provider changed them."""
    under_way = plan.counts.get(Kind.CONTINUE, 0)
    moved = min(rows.get(plan.address, 0), under_way)
    if not moved:
        return plan
    counts = {**plan.counts, Kind.CONTINUE: under_way - moved, Kind.DRIFT: moved}
    return replace(plan, counts={kind: n for kind, n in counts.items() if n})


__all__ = [
    "Finding",
    "Look",
    "RemoteId",
    "Shares",
    "drifted",
    "elsewhere",
    "expiring",
    "is_unknown",
    "not_known",
    "shares",
    "unknown_outcome",
    "with_drift",
]
